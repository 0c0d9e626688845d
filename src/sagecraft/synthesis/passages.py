"""Questions that need no parsing of a sentence: accounts of a whole section, and the record of the document itself."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from sagecraft.artifact import keyed_hash
from sagecraft.corpus.documents import Document
from sagecraft.corpus.sentences import Sentence
from sagecraft.literature import english
from sagecraft.synthesis.candidate import Candidate

#: Headings that name a part of a text and no subject.
_GENERIC_HEADING = re.compile(
    r"^(?:[\d.]*\s*)?(?:introduction|abstract|conclusions?|summary|discussion|results?|methods?|background|references|overview|"
    r"acknowledge?ments?|appendix.*|data(?: and .*)?|observations?|outlook|key (?:terms|concepts|equations)|exercises|problems|"
    r"further reading|further exploration|for further exploration|key concepts and summary|thought questions|learning objectives|"
    r"articles|books|websites|videos|contents|history|notes?|glossary|review questions|.*\bthis\b.*|.*[?:!$\ue000].*|.{0,5})$",
    re.IGNORECASE,
)
_ACCOUNT = (
    "What is worth knowing about {heading} on the subject of {topic}?",
    "On the subject of {topic}, what can be said about {heading}?",
    "Give a short account of {heading} in the context of {topic}.",
    "Tell me about {heading}, as part of the subject {topic}.",
)
_MAX_ACCOUNT_WORDS = 110


def accounts(
    document: Document, sentences: Sequence[Sentence], seed: int
) -> Iterator[tuple[Candidate, list[Sentence]]]:
    """One question a section, answered by the sentences that open it (two to four of them, in order, unchanged)."""
    topic = quoted(document.title)
    for heading, group in itertools.groupby(sentences, key=lambda sentence: sentence.heading):
        members = list(group)
        if _GENERIC_HEADING.match(heading) or heading == document.title or not topic or len(heading.split()) > 9:
            continue
        opening: list[Sentence] = []
        num_words = 0
        for sentence in members[:4]:
            num_words += len(sentence.text.split())
            is_opening = not opening and english.tie(sentence.text) is not None
            if is_opening or num_words > _MAX_ACCOUNT_WORDS or _shows_elsewhere(sentence.text):
                break
            opening.append(sentence)
        if len(opening) < 2 or num_words < 25:
            continue
        form = _ACCOUNT[keyed_hash(seed, "account", document.id, heading) % len(_ACCOUNT)]
        question = form.format(heading=quoted(heading), topic=topic)
        answer = " ".join(sentence.text for sentence in opening)
        yield Candidate("account", question, f"{quoted(heading)} within {topic}", answer), opening


def _shows_elsewhere(text: str) -> bool:
    """Whether a sentence points out of the passage (a table, an equation elsewhere, an author's "we") or states nothing.

    Questions, exercises and entries of a list of references state nothing.
    """
    return bool(
        re.search(
            r"\b(?:Table|Figure|Fig\.|Section|Chapter|Appendix|Eq\.|Equation|Exercise)\b|"
            r"(?i:\b(?:we|our|us|the table|the figure|the text|this paper|this article|this section|this chapter|above|below)\b)|"
            r"\(see |[?:,][”\"]?$|\.”|\([A-Z][a-z]+ (?:1[5-9]|20)\d\d\):",
            text,
        )
    )


def quoted(text: str) -> str:
    """A title or heading inside a sentence: between quotation marks, its own ones turned into single ones."""
    text = re.sub(r"\s+", " ", text).strip().rstrip(".")
    inner = re.sub('[“”"]', "’", text)
    return f"“{inner}”" if inner else ""


def metadata(document: Document, seed: int) -> Iterator[Candidate]:
    """Who wrote it, when, and what it is about: answered from the record, not from the text."""
    title = quoted(document.title)
    if not title or len(document.title.split()) < 3:
        return
    pick = keyed_hash(seed, "metadata", document.id)
    authors = _listed(document.authors)
    if authors and not re.search(r"\bauthors?\b", authors, re.IGNORECASE):
        question = (
            f"Who wrote {title}?",
            f"Who are the authors of {title}?" if len(document.authors) > 1 else f"Who is the author of {title}?",
        )
        verb = "was written by" if pick % 3 else "is by"
        yield Candidate(
            "metadata", question[pick % 2], f"the authors of {title}", f"{title} {verb} {authors}.", authors
        )
    if document.year is not None:
        question = (f"In which year was {title} published?", f"When did {title} appear?")
        yield Candidate(
            "metadata", question[pick % 2], f"the year of {title}",
            (f"{title} was published in {document.year}.", f"{title} appeared in {document.year}.")[pick % 2], str(document.year),
        )  # fmt: skip


def _listed(names: Sequence[str]) -> str:
    names = [name.strip() for name in names if name.strip()]
    if len(names) > 6:
        return f"{', '.join(names[:3])} and {len(names) - 3} others"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
