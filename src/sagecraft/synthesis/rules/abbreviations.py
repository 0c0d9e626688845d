"""What abbreviations stand for: “long form (ABC)” whose initials agree, asked in the article or section that uses them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sagecraft.artifact import keyed_hash
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate, Rule, fill, quoted

#: A document's abbreviations beyond these teach little more of it.
_MAX_PER_DOCUMENT = 3
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


def abbreviations(reading: Reading) -> Iterator[Candidate]:
    """One question for each of some abbreviations of a document, drawn by hash."""
    name, title = reading.document.id, quoted(reading.document.title)
    if not title:
        return
    drawn = sorted(
        reading.abbreviations, key=lambda one: (keyed_hash(reading.seed, "abbreviation", name, one.short), one.short)
    )
    texts = {sentence.position: sentence.text for passage in reading.passages for sentence in passage.sentences}
    for one in drawn[:_MAX_PER_DOCUMENT]:
        # Where the document spells out a plural, so does the question.
        is_plural = one.long.endswith("s") and re.search(rf"\b{re.escape(one.short)}s\b", texts[one.position])
        yield _candidate(reading, title, f"{one.short}s" if is_plural else one.short, one.long, one.position)


def _candidate(reading: Reading, title: str, short: str, long: str, position: int) -> Candidate:
    document = reading.document
    pick = keyed_hash(reading.seed, "abbreviation-form", document.id, short)
    # A name keeps all its capitals.
    plain = long if re.search(r"[ -][A-Z]", long) else reading.names.lower_first(long) or long
    expands = pick % 4 > 0 or short in title
    forms = _EXPAND if expands else _SHORTEN
    question, answer = (fill(form, A=short, L=plain, T=title) for form in forms[pick // 4 % len(forms)])
    return Candidate(
        kind="definition" if expands else "term", question=question,
        focus=f"what “{short}” stands for in {title}" if expands else f"the abbreviation of “{plain}” in {title}",
        answer=answer, key=plain if expands else short, rule="abbreviation", positions=(position,), scope=document.id, recall=answer,
    )  # fmt: skip


RULES: dict[str, Rule] = {"abbreviation": abbreviations}
