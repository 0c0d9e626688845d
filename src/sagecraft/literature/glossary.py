"""Glossaries: terms with their glosses, as the readers write them (`**term**: gloss`), and what a gloss is good for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from sagecraft.corpus.documents import Document
from sagecraft.corpus.sections import GLOSSARY, Sections
from sagecraft.corpus.sentences import clean_markdown, heading_of
from sagecraft.literature import english

_ENTRY = re.compile(
    r"(?:[-*+] )?\*\*(?P<term>[^*\n]+(?:\*[^*\n]+\*[^*\n]*)*)\*\*(?: ?:| [–—]) ?(?P<gloss>\S.*)", re.DOTALL
)
_PLAIN_ENTRY = re.compile(r"(?:[-*+] )?(?P<term>[^:.–—|]{2,60})(?:: | [–—] )(?P<gloss>\S.*)", re.DOTALL)
_BRACKET = re.compile(r" ?\(([^()]+)\)$")
_OPENING_BRACKET = re.compile(r"^\(([^()]+)\) ?(?=\S)")
#: Brackets that say where a term is used that way, not how else it is called.
_DOMAIN = re.compile(r"^(?:of|in|for|on|about|as|used|when)\b")
#: Glosses of two times or two uses: which is meant, a question about the term alone does not say.
_TWO_SENSES = re.compile(
    r"^(?:today|originally|formerly|historically|now)\b|\bin ancient times\b|\b(?:in|of) another sense\b|^1[.)]"
)
#: How a gloss begins that is a clause and no phrase: it can follow "means", not "is".
_CLAUSE = re.compile(
    r"^(?:toward|towards|between|around|within|of|on|at|by|with|when|if|for every|for each|for any|because|since|that|where|while|how|to|as|latin|from)\b",
    re.IGNORECASE,
)
#: A finite verb before any relative clause makes a sentence of the gloss.
_SENTENCE = re.compile(
    r"^(?:(?!\b(?:that|which|who|whose|where|when|what|how)\b)[^,;:])*? (?:is|are|was|were|has|have|can|will) "
)
_ARTICLE = r"(?:an? |the |any |each |all |one of (?:the |several |a class of |about \d+ )?|either of (?:the |two )?|two or more )?"
_WORD = r"[^\W\d_][\w’'–-]*"
_BEHIND_NOUN = (
    "of|that|which|in|with|whose|from|for|at|by|on|to|where|caused|produced|between|near|along|around|within|having|made|"
    "used|measured|called|consisting|containing|composed|formed|needed|surrounding|resulting|beyond|relating|orbiting|when|"
    "inside|outside|through|across|whereby|as|against|during|over|under|proposed|describing|responsible|such"
)
_HEAD = re.compile(
    rf"^{_ARTICLE}((?:{_WORD},? (?:\([^()]*\) )?){{0,5}}?{_WORD})"
    rf"(?= (?:{_BEHIND_NOUN})\b|, (?:which|that|such|especially|including|in|or|used|usually|specifically|generally|composed)\b| ?[;(—]|$)"
)
_NO_HEADS = frozenset(
    [
        "any",
        "all",
        "most",
        "some",
        "other",
        "another",
        "one",
        "up",
        "down",
        "away",
        "toward",
        "towards",
        "nearly",
        "about",
        "large",
        "small",
        "still",
        "seen",
        "outer",
        "inner",
    ]
)
_STEM_CHARS = 6


@dataclass(frozen=True)
class Gloss:
    """One entry of a glossary.

    Attributes:
        document: id of the document.
        term: without what stood in brackets behind it.
        symbol: short form or symbol in brackets ("(ABC)"); empty if none.
        domain: what the entry is restricted to ("of a bridge"); empty if nothing.
        aliases: other names that the entry gives.
        text: the gloss, cleaned, without its opening bracket and full stop.
    """

    document: str
    term: str
    symbol: str
    domain: str
    aliases: tuple[str, ...]
    text: str

    @cached_property
    def brief(self) -> str:
        """The gloss up to its first semicolon outside brackets."""
        depth = 0
        for place, character in enumerate(self.text):
            depth += {"(": 1, ")": -1}.get(character, 0)
            if character == ";" and depth <= 0:
                return self.text[:place].rstrip()
        return self.text

    @cached_property
    def head(self) -> str | None:
        """The noun that the gloss puts the term under ("a beam that …" → "beam"); None where no rule finds it."""
        found = _HEAD.match(self.brief) if self.is_phrase else None
        noun = found.group(1).split()[-1] if found else ""
        is_noun = noun and not noun.endswith("ed") and noun.lower() not in _NO_HEADS | english.PREPOSITIONS
        return noun if is_noun else None

    @property
    def is_phrase(self) -> bool:
        """Whether the gloss is a phrase, which can stand behind "is", and no clause."""
        return not _CLAUSE.match(self.text) and not _SENTENCE.match(self.brief)

    @property
    def has_one_sense(self) -> bool:
        """Whether the gloss tells one meaning, of all times."""
        return not _TWO_SENSES.search(self.text)

    @property
    def holds_term(self) -> bool:
        """Whether the gloss gives the term away: it holds one of its words, or another of the same beginning."""
        gloss = self.text.lower()
        words = re.findall(r"[^\W\d_]{4,}", " ".join((self.term, *self.aliases)).lower())
        return any(word[:_STEM_CHARS] in gloss for word in words)


def glosses_of(document: Document) -> Iterator[Gloss]:
    """The glosses of a document, in order: entries of its glossaries, and lines of that form elsewhere."""
    sections = Sections()
    for block in document.text.split("\n\n"):
        if heading := heading_of(block):
            sections.enter(*heading)
            continue
        if sections.kind_of(block) != GLOSSARY:
            continue
        for entry in re.split(r"\n(?=[-*+] )", block):
            found = _ENTRY.match(entry) or _PLAIN_ENTRY.match(entry)
            gloss = _gloss(document.id, found.group("term"), found.group("gloss")) if found else None
            if gloss:
                yield gloss


def _gloss(document: str, term: str, gloss: str) -> Gloss | None:
    term, text = clean_markdown(term), clean_markdown(gloss).rstrip(".")
    notes: list[str] = []
    for bracket, holder in ((_BRACKET, term), (_OPENING_BRACKET, text)):
        if found := bracket.search(holder):
            notes.append(found.group(1))
    term, text = _BRACKET.sub("", term), _OPENING_BRACKET.sub("", text)
    if not re.search(r"[^\W\d_]{2}", term) or len(text.split()) < 2:
        return None
    symbol, domain, aliases = "", "", []
    for note in notes:
        bare = re.sub(r"^(?:or|also|also called|also known as|called) ", "", note)
        if _DOMAIN.match(note):
            domain = note
        elif note.startswith(("plural", "singular", "pl.", "abbreviat")):
            continue
        elif bare == note and (len(note) <= 3 or _is_short_form(note)):
            symbol = note
        elif bare != note or note[0].isupper() or len(note.split()) > 1:
            aliases.append(bare)
        else:
            domain = note
    return Gloss(document, term, symbol, domain, tuple(aliases), text)


def _is_short_form(note: str) -> bool:
    return " " not in note and sum(character.isupper() for character in note) >= 2
