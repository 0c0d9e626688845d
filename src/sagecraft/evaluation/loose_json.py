"""The `answer` of JSON in a reply: strict, amid other text, or as broken as models write it.

Broken objects are read as far as they can be: quotes of any kind or none, line breaks and quotes within texts, trailing commas,
a missing brace. Only ends of replies come here (`extract.py`), objects tried are counted, and every pattern is of bounded
length, so hostile text takes bounded time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sagecraft.evaluation.claims import is_placeholder
from sagecraft.evaluation.json_escapes import latex_kept, unescaped

#: Names that models give the answer, the one asked for first, and names that are an answer only where nothing stands beside the
#: object: `option` may be one that is being discussed.
_NAMES = ("answer", "final_answer", "correct_answer", "answer_letter", "correct_option")
_WEAK_NAMES = ("choice", "option", "letter", "final")
#: Opening braces that are tried as the beginning of an object (the last ones), and depth of broken objects.
_MAX_OBJECTS, _MAX_DEPTH = 64, 4
#: Opening braces that `records` tries: ten questions, and a draft of each.
_MAX_RECORDS = 256
_CURLY = str.maketrans("“”", '""')
_MAX_LIST_CHARS = 400

_START = re.compile(r"\{\s{0,64}[\"'`]?[A-Za-z][\w \-]{0,40}[\"'`]?\s{0,8}[:=]")
_KEY = re.compile(r"([\"'`]?)([A-Za-z][\w \-]{0,40}?)\1\s{0,8}[:=]\s{0,64}")
_FIELD = re.compile(r"[\"'`](?:final_|correct_)?answer[\"'`]\s{0,8}[:=]\s{0,64}", re.IGNORECASE)
_BARE = re.compile(r"[^,{}\n\"']{1,400}")
_TEXT_ENDS = re.compile(r"\s{0,64}(?:[,}\]]|\Z|[\"'`]?[A-Za-z][\w \-]{0,40}[\"'`]\s{0,8}:)")
_UNCLOSED = re.compile(r"\"?\s{0,8}[}\n]|,\s{0,8}[\"'`]")


class Found:
    """An object's answer: its value, where the object ends, and whether what names the answer was cut off."""

    def __init__(self, value: Any, end: int) -> None:
        self.value, self.end = value, end


def strict(text: str) -> Found | None:
    """The answer of a reply that is JSON as a whole; a list of objects with answers that differ has none."""
    try:
        value = json.loads(text, object_pairs_hook=_joined)
    except (ValueError, RecursionError):
        return None
    parts = [_answer(part, len(text)) for part in value] if isinstance(value, list) else []
    given = [part.value for part in parts if part is not None]
    if any(one != given[0] for one in given):
        return Found(None, len(text))
    return _answer(value, len(text), (*_NAMES, *_WEAK_NAMES))


def amid(text: str) -> Found | None:
    """The last answer of valid objects that stand in a fence or in other text."""
    decoder = json.JSONDecoder(object_pairs_hook=_joined)
    found, at = None, 0
    for start in [match.start() for match in re.finditer(r"\{", text)][-_MAX_OBJECTS:]:
        if start < at:
            continue
        try:
            value, at = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        found = _answer(value, at) or found
    return found


def repaired(text: str, cut: bool) -> Found | None:
    """The last answer of objects that are not valid, or the last field of that name where there is none.

    Args:
        text: with plain quotes.
        cut: the text was cut off, so that what reaches its end is not whole.
    """
    found, at = None, 0
    for start in [match.start() for match in _START.finditer(text)][-_MAX_OBJECTS:]:
        if start < at:
            continue
        pairs, at = _object(text, start + 1, cut, 0)
        found = _answer(_joined(pairs), at) or found
    if found is None:
        for match in list(_FIELD.finditer(text))[-_MAX_OBJECTS:]:
            value, end = _value(text, match.end(), cut, 0)
            found = _answer({"answer": value}, end) or found
    return found


def records(text: str, name: str, cut: bool = False) -> list[dict[str, Any]]:
    """All objects that hold a key of this name, in their order: in valid JSON, amid text, or broken.

    Args:
        text: a reply.
        name: in small letters, words joined by `_`.
        cut: the text was cut off, so that what reaches its end is not whole.
    """
    text = latex_kept(text)
    return _records(text, name, cut) or (_records(text.translate(_CURLY), name, cut) if "“" in text else [])


def _records(text: str, name: str, cut: bool) -> list[dict[str, Any]]:
    # A formula has braces too, more than could be tried: an object's is followed by a key. What a text breaks off in ends no object.
    decoder = json.JSONDecoder(object_pairs_hook=_joined, strict=False)
    last = max((match.start() for match in re.finditer(name.replace("_", "[_ -]"), text, re.IGNORECASE)), default=-1)
    found: list[dict[str, Any]] = []
    at = 0
    for start in [match.start() for match in _START.finditer(text) if match.start() < last][:_MAX_RECORDS]:
        if start < at:
            continue
        try:
            value, at = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            pairs, end = _object(text, start + 1, cut, 0)
            value = _joined(pairs)
            if value.get(name) in (None, ...):
                continue  # what stands in it may be whole
            value, at = _read(value), end
        found += _holding(value, name, 0)
    return found


def _read(value: Any) -> Any:
    """A value of a broken object with the escapes of its texts read."""
    if isinstance(value, str):
        return unescaped(value)
    if isinstance(value, list):
        return [_read(part) for part in value]
    return {key: _read(part) for key, part in value.items()} if isinstance(value, dict) else value


def _holding(value: Any, name: str, depth: int) -> Iterator[dict[str, Any]]:
    """The objects in a value that hold a key, the outermost of those within each other."""
    if isinstance(value, dict) and name in value and not isinstance(value[name], dict | list):
        yield value
    elif depth < _MAX_DEPTH:
        for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from _holding(part, name, depth + 1)


def _joined(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of a key that stands there twice with different values both are kept, which makes it no answer."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        key = "_".join(key.strip().lower().replace("-", " ").split())
        found[key] = [found[key], value] if key in found and found[key] != value else value
    return found


def _answer(value: Any, end: int, names: Sequence[str] = _NAMES) -> Found | None:
    """The answer of an object, or of an object in it; None if it has none, or repeats the form that was asked for."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return None
    for name in names:
        if name in value and value[name] is not ...:
            given = value[name]
            if isinstance(given, dict):
                return _answer(given, end, (*_NAMES, *_WEAK_NAMES)) or Found(None, end)
            return None if is_placeholder(given) else Found(given, end)
    inner = [part for part in value.values() if isinstance(part, dict)]
    return _answer(inner[0], end, names) if len(inner) == 1 else None


def _object(text: str, at: int, cut: bool, depth: int) -> tuple[list[tuple[str, Any]], int]:
    """Pairs of a broken object whose brace stands before `at`, and where it ends; what cannot be read ends it."""
    pairs: list[tuple[str, Any]] = []
    while at < len(text):
        while at < len(text) and text[at] in " \t\r\n,;":
            at += 1
        if at < len(text) and text[at] == "}":
            return pairs, at + 1
        key = _KEY.match(text, at)
        if key is None:
            return pairs, at
        value, at = _value(text, key.end(), cut, depth)
        pairs.append((key[2], value))
    return pairs, at


def _value(text: str, at: int, cut: bool, depth: int) -> tuple[Any, int]:
    """The value at a place and where it ends; `...` for what was cut off."""
    if at >= len(text):
        return ..., at
    if text[at] in "\"'`":
        return _text(text, at, cut)
    if text[at] == "{" and depth < _MAX_DEPTH:
        pairs, end = _object(text, at + 1, cut, depth + 1)
        return _joined(pairs), end
    if text[at] == "[":
        end = text.find("]", at, at + _MAX_LIST_CHARS)
        if end < 0:
            return None, len(text)
        parts = [part.strip(" \t\r\n\"'`") for part in text[at + 1 : end].split(",")]
        return [part for part in parts if part], end + 1
    bare = _BARE.match(text, at)
    if bare is None:
        return None, at + 1
    return (... if cut and bare.end() == len(text) else bare[0].strip()), bare.end()


def _text(text: str, at: int, cut: bool) -> tuple[Any, int]:
    """A text in quotes. It ends at a quote that something follows which can follow a text, not at a quote within it."""
    quote, end = text[at], at
    while (end := text.find(quote, end + 1)) >= 0:
        if text[end - 1] != "\\" and _TEXT_ENDS.match(text, end + 1):
            return re.sub(r"\\([\"'/])", r"\1", text[at + 1 : end]), end + 1
    if cut:
        return ..., len(text)
    stop = _UNCLOSED.search(text, at + 1)
    end = stop.start() if stop else len(text)
    return text[at + 1 : end], end
