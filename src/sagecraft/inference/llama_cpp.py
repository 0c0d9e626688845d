"""The engine for GGUF files: llama.cpp, in a process of its own.

Its server is asked for a few tokens at a time, of all replies that are being written at once. So which sequences are computed
together follows from the requests alone and not from when they arrive, and the figures of two runs are the same: a
product's last digits depend on how many rows it has. With four tokens a request that costs 2 % of the speed of
whole replies (SmolLM2-135M in Q4_1, 8 replies, two cores: 243 of 249 tokens a second).

Probabilities are those of the logits, before anything is sampled: the server tells the likeliest tokens of a place with
theirs, and that of a token which is forced by a bias. Longer continuations therefore cost a request a token.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from sagecraft import artifact
from sagecraft.artifact import keyed_hash
from sagecraft.chat.template import ChatTemplate
from sagecraft.errors import MachineError, UserError
from sagecraft.hardware import machine_cores, machine_memory_gib
from sagecraft.inference.llama_process import LlamaProcess
from sagecraft.inference.llama_tokenizer import GgufTokenizer
from sagecraft.inference.protocol import Question, Sampling, Take, room_for
from sagecraft.models.gguf_header import GgufHeader, read_header

#: The longest context that is opened: models promise 131,072 tokens, whose keys and values fill a machine.
MAX_POSITIONS = 8192
#: Replies that are written at once, where a quarter of the memory holds their keys and values.
NUM_SLOTS = 8
_MEMORY_SHARE = 0.25
#: Tokens of each reply that one request brings.
_ROUND_TOKENS = 4
#: Likeliest tokens of a place that are told with their probabilities: letters are nearly always among them, and 512 take no
#: measurable time, while all 49,152 of a small vocabulary take 0.3 s.
_NUM_TOLD = 512
#: Added to the logit of a token that is forced: larger than any difference of logits.
_FORCE = 1e6
#: The likeliest token. llama.cpp's own defaults would leave out unlikely ones first.
_GREEDY: dict[str, Any] = {"temperature": 0.0, "samplers": ["temperature"]}


class LlamaCppEngine:
    """A GGUF file, ready to generate and to score; to be closed.

    Raises:
        UserError: no GGUF file, a damaged one, one that llama.cpp or we do not know, or llama.cpp is not installed.
    """

    def __init__(self, path: Path, num_slots: int = NUM_SLOTS) -> None:
        header = read_header(path)
        if header.fields.get("split.count", 1) != 1:
            raise UserError(f"{path}: a part of a GGUF file; join the parts with llama-gguf-split --merge")
        if importlib.util.find_spec("xllamacpp") is None:
            raise UserError(f"{path}: GGUF files are run by llama.cpp; pip install 'sagecraft[gguf]'")
        self.path = path
        self.name = path.resolve().name
        self.max_positions = min(header.size("context_length"), MAX_POSITIONS)
        held = _cache_bytes(header) * self.max_positions
        self.num_slots = max(1, min(num_slots, int(_MEMORY_SHARE * machine_memory_gib() * 2**30 / held)))
        threads = max(1, round(machine_cores()))
        self._process = LlamaProcess(path, self.num_slots, self.max_positions, threads)
        try:
            self.tokenizer = GgufTokenizer(header, self._cut)
        except BaseException:
            self.close()
            raise
        self._shared: list[int] | None = None

    @cached_property
    def identity(self) -> str:
        """Weights and program."""
        return f"{artifact.input_digest(self.path)} llama.cpp {importlib.metadata.version('xllamacpp')}"

    @cached_property
    def template(self) -> ChatTemplate:
        """The file's chat template."""
        return ChatTemplate.for_tokenizer(self.tokenizer)

    def close(self) -> None:
        """Ends the process."""
        self._process.close()

    def _cut(self, text: str, parse_special: bool) -> list[int]:
        body = {"content": text, "add_special": False, "parse_special": parse_special}
        ids: list[int] = self._process.ask("/tokenize", body)["tokens"]
        return ids

    def _complete(self, prompts: Sequence[Sequence[int]], **settings: Any) -> list[dict[str, Any]]:
        """What follows each prompt, computed side by side."""
        body = {"prompt": [list(ids) for ids in prompts], "return_tokens": True, **settings}
        found = self._process.ask("/completion", body)
        rows = found if isinstance(found, list) else [found]
        if len(rows) != len(prompts):
            raise MachineError(f"{self.path}: llama.cpp answered {len(rows)} of {len(prompts)} prompts")
        return sorted(rows, key=lambda row: int(row["index"]))

    def _write(
        self, prompts: Sequence[Sequence[int]], num_tokens: int, sampling: Sampling, position: int, *, afresh: bool
    ) -> list[tuple[list[int], bool]]:
        """The next tokens of each prompt, and whether the reply ends behind them."""
        drawn = _GREEDY
        if sampling.temperature > 0:
            drawn = {
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "samplers": ["temperature", "top_p"],
                "seed": keyed_hash(sampling.seed, "draw", position) % 2**32,
            }
        found = self._complete(prompts, n_predict=num_tokens, cache_prompt=not afresh, **drawn)
        stops = set(self.tokenizer.stop_ids)
        replies = []
        for row in found:
            ids: list[int] = row["tokens"]
            if row["stop_type"] == "eos":  # the token that ends the reply is the last one
                ids = ids[:-1]
            at = next((n for n, token in enumerate(ids) if token in stops), len(ids))
            replies.append((ids[:at], at < num_tokens))
        return replies

    def stream(self, prompt_ids: Sequence[int], sampling: Sampling) -> Iterator[int]:
        """Yields token ids until a stop token (not yielded), `max_tokens`, or the end of the context.

        Raises:
            UserError: the prompt is empty or longer than the model's context.
        """
        room = min(sampling.max_tokens, room_for(self, prompt_ids))
        ids = list(prompt_ids)
        self._shared = None
        for position in range(room):
            ((written, ended),) = self._write([ids], 1, sampling, position, afresh=False)
            yield from written
            if ended:
                return
            ids += written

    def write_each(self, prompts: Sequence[Sequence[int]], sampling: Sampling, take: Take) -> None:
        """Writes a reply to each prompt, several at once; each token goes to `take`, which may end the reply.

        Draws differ from those of `LocalEngine`: keyed alike, but made by llama.cpp.

        Raises:
            UserError: a prompt is empty or longer than the model's context.
        """
        rooms = [min(sampling.max_tokens, room_for(self, prompt)) for prompt in prompts]
        waiting = iter(range(len(prompts)))
        replies: dict[int, list[int]] = {}
        written = dict.fromkeys(range(len(prompts)), 0)
        self._shared = None
        afresh = True  # what the last call left behind would change last digits
        while True:
            while len(replies) < self.num_slots and (number := next(waiting, None)) is not None:
                replies[number] = list(prompts[number])
            if not replies:
                return
            # those that are being written come first, so that a new one cannot take the slot that holds their past
            numbers = list(replies)
            position = written[numbers[0]]
            found = self._write([replies[n] for n in numbers], _ROUND_TOKENS, sampling, position, afresh=afresh)
            afresh = False
            for number, (ids, ended) in zip(numbers, found, strict=True):
                for token in ids[: rooms[number] - written[number]]:
                    written[number] += 1
                    if not take(number, token):
                        ended = True
                        break
                replies[number] += ids
                if ended or written[number] >= rooms[number]:
                    del replies[number]

    def score(self, questions: Sequence[Question], shared: int = 0) -> list[list[list[float]]]:
        """Log-probabilities (natural) of the tokens of each continuation of each question, one question after the other.

        Args:
            questions: of each, the ids before its continuations, and the ids of these; none empty.
            shared: tokens that all questions begin with; they run once for all.
        """
        if not all(prefix and all(continuations) for prefix, continuations in questions):
            raise ValueError("prefixes and continuations of at least one token are needed")
        return [self._score_one(list(prefix), continuations, shared) for prefix, continuations in questions]

    def _score_one(self, prefix: list[int], continuations: Sequence[Sequence[int]], shared: int) -> list[list[float]]:
        if shared:
            # leaves exactly these in the slot: what more the last question happened to begin with would change last digits
            self._told(prefix[:shared], afresh=self._shared != prefix[:shared])
        self._shared = prefix[:shared] if shared else None
        first = self._told(prefix, afresh=not shared)
        found = []
        for ids in continuations:
            values = [self._forced(prefix, ids[0]) if ids[0] not in first else first[ids[0]]]
            values += [self._forced([*prefix, *ids[:n]], ids[n]) for n in range(1, len(ids))]
            found.append(values)
        return found

    def _told(self, ids: Sequence[int], *, afresh: bool, num_told: int | None = None) -> dict[int, float]:
        """Log-probabilities of the likeliest tokens behind some."""
        place = self._place(ids, self._plain, num_told or _NUM_TOLD, afresh=afresh)
        return {told["id"]: told["logprob"] for told in place["top_logprobs"]}

    def _forced(self, ids: Sequence[int], token: int) -> float:
        """Log-probability of one token behind some."""
        if not _is_text(self.tokenizer.piece(token)):
            return self._told(ids, afresh=False, num_told=self.tokenizer.vocab_size)[token]
        place = self._place(ids, token, 1, afresh=False)
        if place["id"] != token:
            raise MachineError(f"{self.path}: llama.cpp told another token's probability than the one asked for")
        return float(place["logprob"])

    def _place(self, ids: Sequence[int], token: int, num_told: int, *, afresh: bool) -> dict[str, Any]:
        """What the server tells of the place behind some tokens, where a token is forced.

        It tells nothing of a token that is part of a character, for which it waits: so it must be another.
        """
        bias = [[token, _FORCE]]
        drawn = {"n_predict": 1, "n_probs": num_told, "logit_bias": bias, **_GREEDY}
        (row,) = self._complete([ids], id_slot=0, cache_prompt=not afresh, **drawn)
        place: dict[str, Any] = row["completion_probabilities"][0]
        return place

    @cached_property
    def _plain(self) -> int:
        """A token that is text by itself."""
        every, tokenizer = range(self.tokenizer.vocab_size), self.tokenizer
        special = set(tokenizer.added_tokens.values())
        return next(i for i in every if i not in special and tokenizer.piece(i).isalpha())


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _cache_bytes(header: GgufHeader) -> int:
    """Bytes of keys and values of one token, in float16."""
    heads = header.size("attention.head_count")
    groups = header.size("attention.head_count_kv", heads)
    width = header.size("attention.key_length", max(1, header.size("embedding_length") // heads))
    return 2 * 2 * header.size("block_count") * groups * width
