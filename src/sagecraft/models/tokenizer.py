"""A tokenizer folder as tokens, offsets and special tokens, on the `tokenizers` library.

Text is data: a `<|im_end|>` that a user typed is encoded as ordinary text unless the caller says that the text is
markup (`parse_special=True`). BOS and EOS are never added behind the caller's back (anchors: double BOS).
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

from sagecraft.artifact import read_json
from sagecraft.errors import UserError

#: Where newer checkpoints keep their second chat template.
TOOL_TEMPLATE = "additional_chat_templates/tool_use.jinja"
#: Files that make up a tokenizer; whichever exist travel with a checkpoint.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "generation_config.json",
    TOOL_TEMPLATE,
)

#: End-of-document tokens by name, best first. An instruct model's EOS ends a turn (`<|im_end|>`, `<|eot_id|>`),
#: which is not the end of a document, so the pre-training token is looked for before it.
_END_OF_DOCUMENT = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>")
_PADDING = ("<|finetune_right_pad_id|>", "<pad>", "[PAD]", "<|pad|>", "<|endoftext|>")


class Tokenizer:
    """The tokenizer of one model folder."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer as Backend

        path = folder / "tokenizer.json"
        if not path.is_file():
            raise UserError(f"{folder}: no tokenizer.json; save the model with its fast tokenizer")
        try:
            self._markup = Backend.from_file(str(path))
            self._plain = Backend.from_file(str(path))
        except Exception as error:  # the library raises bare Exception for every fault of the file
            raise UserError(f"{path}: not a tokenizer ({error})") from error
        for backend in (self._markup, self._plain):
            backend.no_padding()
            backend.no_truncation()
        self._plain.encode_special_tokens = True
        self.folder = folder
        config_path = folder / "tokenizer_config.json"
        self.config: dict[str, Any] = read_json(config_path) if config_path.is_file() else {}
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        """Reads `tokenizer.json` and its configuration."""
        return cls(Path(folder))

    def encode(self, text: str, parse_special: bool = False) -> list[int]:
        """Token ids of `text`; special tokens are recognised only if `parse_special`."""
        backend = self._markup if parse_special else self._plain
        ids: list[int] = backend.encode(text, add_special_tokens=False).ids
        return ids

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """`encode` of many texts of plain data at once (all cores)."""
        return [row.ids for row in self._plain.encode_batch(texts, add_special_tokens=False)]

    def encode_with_offsets(self, text: str, parse_special: bool = False) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids and, for each, the range of characters it came from."""
        backend = self._markup if parse_special else self._plain
        encoding = backend.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def decode(self, ids: list[int], skip_special: bool = True) -> str:
        """The text of token ids."""
        text: str = self._markup.decode(ids, skip_special_tokens=skip_special)
        return text

    def token_text(self, token_id: int) -> str:
        """The vocabulary's entry for one id (byte-level form), or an empty string for a padded row."""
        return self._markup.id_to_token(token_id) or ""

    @property
    def vocab_size(self) -> int:
        """Number of tokens; a model's table may have more rows (padding)."""
        return int(self._markup.get_vocab_size(with_added_tokens=True))

    @cached_property
    def special_tokens(self) -> dict[str, int]:
        """Special token → id."""
        added = self._markup.get_added_tokens_decoder()
        return {token.content: index for index, token in sorted(added.items()) if token.special}

    @cached_property
    def added_tokens(self) -> dict[str, int]:
        """Token that is matched whole wherever its text stands → id; the special ones are among them."""
        added = self._markup.get_added_tokens_decoder()
        return {token.content: index for index, token in sorted(added.items())}

    def _named(self, key: str) -> int | None:
        value = self.config.get(key)
        text = value.get("content") if isinstance(value, dict) else value
        return self._id(text) if isinstance(text, str) else None

    def _id(self, text: str) -> int | None:
        """The id of a vocabulary's entry."""
        found: int | None = self._markup.token_to_id(text)
        return found

    @cached_property
    def bos_id(self) -> int | None:
        """The token a document starts with, or None where the model was trained without one."""
        if not self._adds_bos():
            return None
        return self._named("bos_token")

    def _adds_bos(self) -> bool:
        """Whether the tokenizer itself puts BOS before a text: its own word decides, not the token's existence."""
        if "add_bos_token" in self.config:
            return bool(self.config["add_bos_token"])
        first: list[int] = self._markup.encode("a", add_special_tokens=True).ids
        return bool(first) and first[0] == self._named("bos_token")

    @cached_property
    def eos_id(self) -> int:
        """The token that ends a reply."""
        found = self._named("eos_token")
        if found is None:
            raise UserError(f"{self.folder / 'tokenizer_config.json'}: eos_token is missing or not in the vocabulary")
        return found

    @cached_property
    def eod_id(self) -> int:
        """The token that ends a document."""
        # special ones only: Gemma's vocabulary has "</s>" as a tag of HTML
        found = [self.special_tokens[text] for text in _END_OF_DOCUMENT if text in self.special_tokens]
        return found[0] if found else self.eos_id

    @cached_property
    def pad_id(self) -> int:
        """The token that fills up a row; never trained on."""
        found = self._named("pad_token")
        if found is not None:
            return found
        for text in _PADDING:
            found = self._id(text)
            if found is not None:
                return found
        return self.eos_id

    @cached_property
    def stop_ids(self) -> tuple[int, ...]:
        """Tokens that end a generation: EOS, end of document, and what generation_config.json adds."""
        stops = {self.eos_id, self.eod_id}
        path = self.folder / "generation_config.json"
        if path.is_file():
            value = read_json(path).get("eos_token_id")
            stops.update(value if isinstance(value, list) else [value] if isinstance(value, int) else [])
        return tuple(sorted(stops))

    @cached_property
    def chat_template(self) -> str | None:
        """The checkpoint's own chat template, or None."""
        path = self.folder / "chat_template.jinja"
        if path.is_file():
            return path.read_text(encoding="utf-8")
        value = self.config.get("chat_template")
        if isinstance(value, list):
            named = self._named_templates
            value = named.get("default") or next(iter(named.values()), None)
        return value

    @cached_property
    def tool_template(self) -> str | None:
        """The checkpoint's other template, for conversations with tools, where it has one (transformers' `tool_use`)."""
        return self._named_templates.get("tool_use") if self.chat_template is not None else None

    @cached_property
    def _named_templates(self) -> dict[str, str]:
        """Templates by name: `[{"name": "default", "template": …}, …]`, or the files that newer checkpoints have."""
        value = self.config.get("chat_template")
        named = {entry["name"]: entry["template"] for entry in value} if isinstance(value, list) else {}
        path = self.folder / TOOL_TEMPLATE
        return named | ({"tool_use": path.read_text(encoding="utf-8")} if path.is_file() else {})


def copy_tokenizer(source: Path, target: Path, chat_template: str | None = None) -> None:
    """Copies a tokenizer beside new weights; `chat_template` replaces the one that stands there."""
    target.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            (target / name).parent.mkdir(exist_ok=True)
            (target / name).write_bytes((source / name).read_bytes())
    if chat_template is not None:
        write_chat_template(target, chat_template)


def write_chat_template(folder: Path, text: str) -> None:
    """Makes `text` the only chat template of a tokenizer folder.

    It goes into both places: transformers reads the file before the configuration since 4.43, and older versions, like
    most other programs, read the configuration alone.
    """
    config_path = folder / "tokenizer_config.json"
    config = read_json(config_path) if config_path.is_file() else {}
    config["chat_template"] = text
    config_path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "chat_template.jinja").write_text(text, encoding="utf-8")
    (folder / TOOL_TEMPLATE).unlink(missing_ok=True)
