"""The tokenizer of a GGUF file: text is cut by llama.cpp, which knows every pre-tokenizer that such files name.

The vocabulary, the special tokens and the chat template are read from the file here: they are data, and what is made of them
(`chat/`) is the same as for a model folder.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable
from functools import cached_property
from typing import Any

from sagecraft.errors import UserError
from sagecraft.models.gguf_header import GgufHeader
from sagecraft.models.tokenizer import Tokenizer

#: Cuts a text: the text, and whether special tokens in it are recognised.
Cut = Callable[[str, bool], list[int]]

#: Kinds of tokens in a GGUF.
_UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 2, 3, 4, 5, 6
#: `tokenizer.ggml.model` of byte-level BPE, and of vocabularies that write a space as a character of its own.
_BYTE_LEVEL, _SPACED = "gpt2", "llama"
_SPACE = "\u2581"
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
#: Letter → byte of byte-level BPE: bytes that print in Latin-1 stand for themselves, the others for letters from U+0100 on.
_PRINTING = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
_BYTES = {chr(byte): bytes([byte]) for byte in _PRINTING} | {
    chr(0x100 + rank): bytes([byte]) for rank, byte in enumerate(b for b in range(256) if b not in _PRINTING)
}
#: Template ← its name in a GGUF that holds several.
_TOOL_TEMPLATE = "tokenizer.chat_template.tool_use"


class GgufTokenizer(Tokenizer):
    """Stands where a tokenizer folder's does; what differs is who cuts."""

    def __init__(self, header: GgufHeader, cut: Cut) -> None:  # nothing of a folder is read
        fields = header.fields
        self.kind = fields.get("tokenizer.ggml.model")
        if self.kind not in (_BYTE_LEVEL, _SPACED):
            raise UserError(f"{header.path}: tokenizer of kind {self.kind!r}; {_BYTE_LEVEL} and {_SPACED} are known")
        tokens = fields.get("tokenizer.ggml.tokens")
        if not tokens:
            raise UserError(f"{header.path}: the GGUF file holds no vocabulary; fetch it again")
        kinds = fields.get("tokenizer.ggml.token_type") or []
        self.folder = header.path
        self._tokens: list[str] = tokens
        self._kinds: list[int] = [*kinds[: len(tokens)], *([1] * (len(tokens) - len(kinds)))]
        self._cut = cut
        self._fields = fields
        self.config = self._configuration()
        known = [self._tokens, self._kinds, fields.get("tokenizer.ggml.pre"), self.kind]
        self.sha256 = hashlib.sha256(repr(known).encode("utf-8", "replace")).hexdigest()

    def _configuration(self) -> dict[str, Any]:
        """What `tokenizer_config.json` says of a folder."""
        fields = self._fields
        named = {name: self._id_of(name) for name in ("bos", "eos", "unknown", "padding")}
        if self.kind == _SPACED:  # what such files mean where they say nothing
            usual = {"unknown": 0, "bos": 1, "eos": 2}
            named |= {name: i for name, i in usual.items() if named[name] is None and i < len(self._tokens)}
        keys = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}
        config: dict[str, Any] = {keys[name]: self._tokens[i] for name, i in named.items() if i is not None}
        config["add_bos_token"] = bool(fields.get("tokenizer.ggml.add_bos_token", self.kind == _SPACED))
        template, tools = fields.get("tokenizer.chat_template"), fields.get(_TOOL_TEMPLATE)
        if isinstance(template, str):
            config["chat_template"] = template
            if isinstance(tools, str):
                texts = {"default": template, "tool_use": tools}
                config["chat_template"] = [{"name": name, "template": text} for name, text in texts.items()]
        return config

    def _id_of(self, name: str) -> int | None:
        value = self._fields.get(f"tokenizer.ggml.{name}_token_id")
        return value if isinstance(value, int) and 0 <= value < len(self._tokens) else None

    def encode(self, text: str, parse_special: bool = False) -> list[int]:
        """Token ids of `text`; special tokens are recognised only if `parse_special`."""
        return self._cut(text, parse_special) if text else []

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """`encode` of many texts of plain data."""
        return [self.encode(text) for text in texts]

    def encode_with_offsets(self, text: str, parse_special: bool = False) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids and, for each, the range of characters it came from.

        Raises:
            UserError: the tokenizer rewrites the text, so that tokens come from no range of it.
        """
        ids = self.encode(text, parse_special)
        data = text.encode()
        character = list(itertools.accumulate((byte & 0xC0 != 0x80 for byte in data), initial=-1))[1:]
        offsets: list[tuple[int, int]] = []
        at = 0
        for token in ids:
            begin, piece = at, self.piece(token)
            if not data.startswith(piece, at):
                # a space that the tokenizer puts before a text, or one beside a special token that is swallowed
                piece = piece.strip()
                at = data.find(piece, at)
                if at < 0 or data[begin:at].strip():
                    raise UserError(
                        f"{self.folder}: its tokenizer rewrites texts, so that prompts cannot be made safely"
                    )
            at += len(piece)
            first = character[begin] if begin < len(data) else len(text)
            # tokens that share a character come from the whole of it
            offsets.append((first, character[at - 1] + 1 if at > begin else first))
        return ids, offsets

    def piece(self, token: int) -> bytes:
        """The bytes that a token stands for."""
        text = self._tokens[token]
        kind = self._kinds[token]
        if kind in (_CONTROL, _USER_DEFINED, _UNKNOWN, _UNUSED):
            return text.encode()
        if kind == _BYTE or (self.kind == _SPACED and _BYTE_TOKEN.fullmatch(text)):
            found = _BYTE_TOKEN.fullmatch(text)
            return bytes([int(found.group(1), 16)]) if found else text.encode()
        if self.kind == _SPACED:
            return text.replace(_SPACE, " ").encode()
        return b"".join(_BYTES.get(letter, letter.encode()) for letter in text)

    def decode(self, ids: list[int], skip_special: bool = True) -> str:
        """The text of token ids; bytes that are no character are shown as the replacement character."""
        kept = [i for i in ids if 0 <= i < len(self._tokens) and not (skip_special and self._kinds[i] == _CONTROL)]
        text = b"".join(map(self.piece, kept)).decode("utf-8", "replace")
        puts_space = self.kind == _SPACED and self._fields.get("tokenizer.ggml.add_space_prefix", True)
        return text.removeprefix(" ") if puts_space else text

    def token_text(self, token_id: int) -> str:
        """The vocabulary's entry for one id, or an empty string for a padded row."""
        return self._tokens[token_id] if 0 <= token_id < len(self._tokens) else ""

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return len(self._tokens)

    @cached_property
    def special_tokens(self) -> dict[str, int]:
        """Special token → id."""
        return {text: i for i, text in enumerate(self._tokens) if self._kinds[i] == _CONTROL}

    @cached_property
    def added_tokens(self) -> dict[str, int]:
        """Token that is matched whole wherever its text stands → id; the special ones are among them."""
        return {text: i for i, text in enumerate(self._tokens) if self._kinds[i] in (_CONTROL, _USER_DEFINED)}

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {text: i for i, text in enumerate(self._tokens)}

    def _id(self, text: str) -> int | None:
        return self._ids.get(text)

    @cached_property
    def eos_id(self) -> int:
        """The token that ends a reply."""
        found = self._named("eos_token")
        if found is None:
            raise UserError(f"{self.folder}: tokenizer.ggml.eos_token_id is missing or no token; fetch the file again")
        return found

    @cached_property
    def stop_ids(self) -> tuple[int, ...]:
        """Tokens that end a generation: EOS, end of document, and the end of a turn where the file names one."""
        stops = {self.eos_id, self.eod_id}
        stops |= {found for name in ("eot", "eom") if (found := self._id_of(name)) is not None}
        return tuple(sorted(stops))
