"""What abbreviations stand for: “long form (ABC)” whose initials agree, asked in the article or section that uses them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sagecraft.artifact import keyed_hash
from sagecraft.literature import english
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate, Rule, fill, quoted

#: A document's abbreviations beyond these teach little more of it.
_MAX_PER_DOCUMENT = 3
_BRACKET = re.compile(r"(?P<before>(?:[\w’'/-]+ ){1,9})\((?P<short>[A-Z][A-Za-z-]{1,7})\)")
_SKIPPED = frozenset({"of", "the", "and", "for", "in", "on", "to", "a", "an", "with", "at", "by", "from"})
#: Question, and what the answer says of the abbreviation {A} and its long form {L} in the same words.
_EXPAND = (
    ("What does “{A}” stand for in {T}?", "In {T}, “{A}” stands for “{L}”."),
    ("In {T}, what does the abbreviation “{A}” mean?", "The abbreviation “{A}” means “{L}” in {T}."),
    ("In the context of {T}, what is “{A}” short for?", "In the context of {T}, “{A}” is short for “{L}”."),
    (
        "Which words does the abbreviation “{A}” stand for in {T}?",
        "The abbreviation “{A}” stands for the words “{L}” in {T}.",
    ),
    ("What do the letters “{A}” mean in {T}?", "The letters “{A}” mean “{L}” in {T}."),
)
_SHORTEN = (
    ("How is “{L}” abbreviated in {T}?", "In {T}, “{L}” is abbreviated as “{A}”."),
    ("Which abbreviation does {T} use for “{L}”?", "The abbreviation used in {T} for “{L}” is “{A}”."),
    ("In {T}, which letters stand for “{L}”?", "In {T}, the letters “{A}” stand for “{L}”."),
)


def long_form(before: str, short: str) -> str | None:
    """The words before a bracket that the letters in it abbreviate.

    Args:
        before: some words that stand before the bracket.
        short: what is in the bracket, as "SNe" or "FFTs".

    Returns:
        The shortest run of the last words whose initials are the letters ("fast Fourier transforms"), or None.
    """
    letters = short.removesuffix("s").replace("-", "")
    if sum(letter.isupper() for letter in letters) < 2 or not letters.isalpha():
        return None
    words = before.split()
    for number in range(1, len(words) + 1):
        run = words[-number:]
        parts = [part for word in run for part in re.split(r"[-/]", word) if part]
        initials = "".join(part[0] for part in parts)
        content = "".join(part[0] for part in parts if part.lower() not in _SKIPPED)
        if letters.upper() in {initials.upper(), content.upper()}:
            is_loose = run[0].lower() in _SKIPPED or run[0].lower() in english.DETERMINERS
            # "amplitude-colour (AC)" is part of a longer name.
            is_part = number == 1 and run[0].islower()
            return None if is_loose or is_part or len(parts) < 2 else " ".join(run)
    return None


def abbreviations(reading: Reading) -> Iterator[Candidate]:
    """One question for each abbreviation that a document explains in one way only, some of them."""
    title = quoted(reading.document.title)
    found: dict[str, dict[str, tuple[str, int]]] = {}
    for passage in reading.passages:
        for sentence in passage.sentences:
            for match in _BRACKET.finditer(sentence.text):
                long = long_form(match.group("before"), match.group("short"))
                if long is not None:
                    short = match.group("short")
                    found.setdefault(short, {}).setdefault(long.lower(), (long, sentence.position))
    clear = {short: next(iter(longs.values())) for short, longs in found.items() if len(longs) == 1}
    if not title:
        return
    drawn = sorted(
        clear, key=lambda short: (keyed_hash(reading.seed, "abbreviation", reading.document.id, short), short)
    )
    for short in drawn[:_MAX_PER_DOCUMENT]:
        yield _candidate(reading, title, short, *clear[short])


def _candidate(reading: Reading, title: str, short: str, long: str, position: int) -> Candidate:
    document = reading.document
    pick = keyed_hash(reading.seed, "abbreviation-form", document.id, short)
    plain = reading.names.lower_first(long) or long
    expands = pick % 4 > 0 or short in title
    forms = _EXPAND if expands else _SHORTEN
    question, answer = (fill(form, A=short, L=plain, T=title) for form in forms[pick // 4 % len(forms)])
    return Candidate(
        kind="definition" if expands else "term", question=question,
        focus=f"what “{short}” stands for in {title}" if expands else f"the abbreviation of “{plain}” in {title}",
        answer=answer, key=plain if expands else short, rule="abbreviation", positions=(position,), scope=document.id,
    )  # fmt: skip


RULES: dict[str, Rule] = {"abbreviation": abbreviations}
