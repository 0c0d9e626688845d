"""The record of a document: who wrote it, when, with whom, under which heading and number. Answered from the record, not from the text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from sagecraft.artifact import keyed_hash
from sagecraft.corpus.documents import UNKNOWN_LICENSE, Document
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate, Rule, quoted
from sagecraft.synthesis.rules.reported import IDENTIFIER

_MIN_TITLE_WORDS = 3
#: Names in full up to so many; of more, the first three and a count.
_MAX_NAMES = 6
#: Questions a document: more of one record would be one fact in many words.
_MAX_PER_DOCUMENT = 4

#: What stands where a licence is not known.
_NO_LICENSES = frozenset({"", UNKNOWN_LICENSE, "none", "n/a", "null", "not specified", "unspecified", "not stated"})

Fact = tuple[Sequence[str], str, str, str]


def listed(names: Sequence[str]) -> str:
    """Names as a phrase: "A", "A and B", "A, B, C and 5 others"."""
    names = [name.strip() for name in names if name.strip()]
    if len(names) > _MAX_NAMES:
        return f"{', '.join(names[:3])} and {len(names) - 3} others"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def _authors(document: Document) -> list[str]:
    """The names on record; none if they are those of a group ("The … authors")."""
    names = [name.strip() for name in document.authors if name.strip()]
    return (
        []
        if any(re.search(r"\bauthors?\b|\bcollaborations?\b|\bteam\b", name, re.IGNORECASE) for name in names)
        else names
    )


def _writers(document: Document, title: str) -> Iterator[Fact]:
    names = _authors(document)
    if not names:
        return
    forms: Sequence[str] = (
        f"Who wrote {title}?",
        f"By whom is {title}?",
        f"Who {'are the authors' if len(names) > 1 else 'is the author'} of {title}?",
    )
    yield forms, f"the authors of {title}", f"{title} was written by {listed(names)}.", listed(names)
    if len(names) > 1:
        forms = (f"Who is the first author of {title}?", f"Whose name stands first among the authors of {title}?")
        yield forms, f"the first author of {title}", f"The first author of {title} is {names[0]}.", names[0]
        forms = (f"How many authors does {title} have?", f"How many people wrote {title}?")
        yield forms, f"the number of authors of {title}", f"{title} has {len(names)} authors.", str(len(names))
    if len(names) > 2:
        forms = (f"Who is the last of the authors of {title}?", f"Whose name ends the list of authors of {title}?")
        yield forms, f"the last author of {title}", f"The last of the authors of {title} is {names[-1]}.", names[-1]
        one = names[1]
        forms = (f"Did {one} take part in writing {title}?", f"Is {one} among the authors of {title}?")
        yield forms, f"whether {one} wrote {title}", f"Yes, {one} is one of the {len(names)} authors of {title}.", one
    if 2 <= len(names) <= _MAX_NAMES:
        forms = (f"With whom did {names[0]} write {title}?", f"Who wrote {title} together with {names[0]}?")
        yield (
            forms,
            f"the co-authors of {names[0]}",
            f"{names[0]} wrote {title} with {listed(names[1:])}.",
            listed(names[1:]),
        )


def _dates(document: Document, title: str) -> Iterator[Fact]:
    names, year = _authors(document), document.year
    if year is None:
        return
    forms: Sequence[str] = (
        f"In which year was {title} published?",
        f"When did {title} appear?",
        f"From which year is {title}?",
    )
    yield forms, f"the year of {title}", f"{title} appeared in {year}.", str(year)
    if names:
        forms = (f"Who wrote {title}, and when did it appear?", f"Give the authors and the year of {title}.")
        yield (
            forms,
            f"authors and year of {title}",
            f"{title} is by {listed(names)} and appeared in {year}.",
            f"{listed(names)}, {year}",
        )
        short = f"{names[0]} et al." if len(names) > 3 else listed(names)
        forms = (f"How can {title} be cited?", f"Give a short reference to {title}.")
        yield forms, f"a reference to {title}", f"It can be cited as: {short} ({year}), {title}.", f"{short} ({year})"
    if len(names) > 1:
        some = listed(names) if len(names) <= 3 else f"{names[0]}, {names[1]} and others"
        forms = (f"Name an article that {some} published in {year}.",)
        yield forms, f"an article by {some}", f"In {year}, {some} published {title}.", title


def _places(document: Document, title: str) -> Iterator[Fact]:
    stripped = [category.strip() for category in document.categories if category.strip()]
    categories = [quoted(category) if " " in category else category for category in stripped]
    if categories:
        forms: Sequence[str] = (
            f"Under which {'subject' if len(categories) == 1 else 'subjects'} is {title} filed?",
            f"Which {'category is' if len(categories) == 1 else 'categories are'} named for {title}?",
            f"To which {'category' if len(categories) == 1 else 'categories'} does {title} belong?",
        )
        yield forms, f"the category of {title}", f"{title} is filed under {listed(categories)}.", listed(categories)
    if categories and document.year is not None:
        what = "category" if len(categories) == 1 else "categories"
        forms = (f"When did {title} appear, and under which {what}?", f"Give the year and the {what} of {title}.")
        yield (
            forms,
            f"year and category of {title}",
            f"{title} appeared in {document.year} under {listed(categories)}.",
            f"{document.year}",
        )
    if IDENTIFIER.fullmatch(document.id):
        scheme = "DOI" if document.id.startswith("10.") and "/" in document.id else "arXiv identifier"
        forms = (f"What is the {scheme} of {title}?", f"Under which {scheme} can {title} be found?")
        yield forms, f"the {scheme} of {title}", f"The {scheme} of {title} is {document.id}.", document.id
        forms = (
            f"Which article has the {scheme} {document.id}?",
            f"What is the title of the article with the {scheme} {document.id}?",
        )
        yield forms, f"the article {document.id}", f"The article with the {scheme} {document.id} is {title}.", title
    if document.license.strip().casefold() not in _NO_LICENSES:
        forms = (f"Under which licence is {title} available?", f"What is the licence of {title}?")
        yield (
            forms,
            f"the licence of {title}",
            f"{title} is available under the licence {document.license}.",
            document.license,
        )


_PARTS: tuple[Callable[[Document, str], Iterator[Fact]], ...] = (_writers, _dates, _places)


def metadata(reading: Reading) -> Iterator[Candidate]:
    """Some questions about the record of a document, drawn by hash from those that the record answers."""
    document = reading.document
    title = quoted(document.title)
    if not title or len(document.title.split()) < _MIN_TITLE_WORDS:
        return
    made = []
    for part in _PARTS:
        for forms, focus, answer, key in part(document, title):
            pick = keyed_hash(reading.seed, "metadata", document.id, forms[0])
            made.append((pick, Candidate("metadata", forms[pick % len(forms)], focus, answer, key, rule="record")))
    for _, candidate in sorted(made, key=lambda entry: entry[0])[:_MAX_PER_DOCUMENT]:
        yield candidate


RULES: dict[str, Rule] = {"record": metadata}
