"""One sentence → its questions: the sentence is cut into clauses that stand alone, and every rule looks at each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from sagecraft.corpus.sentences import mask_math, unmask
from sagecraft.literature import english
from sagecraft.literature.names import Names
from sagecraft.synthesis.candidate import Candidate, Clause
from sagecraft.synthesis.questions import RULES

#: "In the core of a star, …": said before the question instead of being lost.
_LEAD = re.compile(
    r"^((?:In|At|For|With|On|After|During|Within|Around|Near|Under|Above|Below|Between|Beyond|Without|Unlike|Outside|Inside|To) "
    r"[^,;:]{4,70}), (?=\w)(.+)$"
)
_VAGUE_LEAD = re.compile(
    r"^(?:In (?:practice|principle|general|particular|addition|fact|short|turn|contrast|all|part|reality|the end|detail)|"
    r"For (?:comparison|many|most|the present|instance)|At (?:first|present|last|least|best|the time|that time|once|(?:the )?(?:opposite|other) (?:extreme|end))|"
    r"On (?:average|the whole)|After (?:all|some)|To (?:first order|a good approximation|date))\b|\b(?:two|three|others?|ways?|reason|case|"
    r"cases|years?|decades?|later)$",
    re.IGNORECASE,
)


#: Whoever says so says it of all parts of the sentence: "Tests suggest that X; Y comes from Z".
_SAID = re.compile(
    r"\b(?:suggest|indicat|impl(?:y|ies)|argu|propos|infer|hypothesi|speculat|conclud|claim|predict|believ|expect)\w*|"
    r"\b(?:shows?|shown|finds?|found|demonstrates?d?|reveals?|revealed|confirms?|confirmed|assum(?:es?|ed|ing)|think|thought|says?|said) that\b"
)


def ask(sentence: str, names: Names) -> Iterator[Candidate]:
    """All questions that the rules make of one sentence, each at most once."""
    masked, formulas = mask_math(sentence)
    if not masked.rstrip().endswith((".", "\ue001")):
        return  # a question or an exclamation states nothing
    asked: set[str] = set()
    kinds: set[str] = set()
    for lead, text in _clauses(masked.rstrip().rstrip(".")):
        clause = Clause(text=text, formulas=formulas, names=names)
        for rule in RULES.values():
            for made in rule(clause):
                candidate = _led(made, lead, text) if lead else made
                # A part of a sentence adds nothing where the whole gave a question of the kind.
                if candidate.question in asked or (candidate.kind in kinds and text != masked.rstrip(".")):
                    continue
                asked.add(candidate.question)
                yield _unmasked(candidate, formulas)
        kinds |= {made.kind for rule in RULES.values() for made in rule(clause)}


def _unmasked(candidate: Candidate, formulas: list[str]) -> Candidate:
    return replace(
        candidate,
        question=_tidy(unmask(candidate.question, formulas)),
        focus=unmask(candidate.focus, formulas),
        answer=_tidy(unmask(candidate.answer, formulas)),
        key=None if candidate.key is None else unmask(candidate.key, formulas).strip(" ,;:"),
    )


def _tidy(text: str) -> str:
    """One full stop at the end, also where the last formula carries its own."""
    text = re.sub(r"[.,;]\s*(\${1,2})\s*\.$", r"\1.", text)
    return re.sub(r"\s+([,;.?])", r"\1", text).replace(",.", ".")


def _led(candidate: Candidate, lead: str, text: str) -> Candidate:
    question = candidate.question[0].lower() + candidate.question[1:]
    statement = candidate.answer
    if statement[0].upper() == text[0].upper():
        statement = f"{lead}, {text[0]}{statement[1:]}"
    return replace(candidate, question=f"{lead}, {question}", answer=statement)


def _clauses(text: str) -> Iterator[tuple[str, str]]:
    """The sentence, then its parts, each as (adverbial before it, clause)."""
    yield "", text
    parts = [part.strip() for part in re.split(r";", text)]
    if len(parts) == 1:
        # Two main clauses; the parts are only used where both begin like a clause with a subject of its own.
        found = re.match(r"^([^:]{20,}?), (?:and|but|while|whereas) ((?:the|an?|[A-Z]\w+|[a-z]+s) .{15,})$", text)
        parts = [found.group(1), found.group(2)] if found and _has_verb(found.group(2)) else parts
    if _SAID.search(parts[0]):
        parts = [text]
    for part in parts:
        if len(parts) > 1 and len(part.split()) >= 5 and english.tie(part) is None and not _leans(part):
            yield "", part
        found = _LEAD.match(part)
        if found and len(found.group(2).split()) >= 4 and not _bad_lead(found.group(1)):
            yield found.group(1), found.group(2)


def _leans(part: str) -> bool:
    """A later part of a sentence whose pronouns speak of the part before."""
    return bool(english.PRONOUN.search(part))


def _bad_lead(lead: str) -> bool:
    return bool(
        _VAGUE_LEAD.search(lead)
        or english.PRONOUN.search(lead)
        or re.search(r"\b(?:which|that|who|and|is|are|was|were)\b", lead)
    )


def _has_verb(text: str) -> bool:
    return any(
        word in english.THIRD or word in english.PAST or word in english.AUXILIARIES.split("|")
        for word in text.split()[1:9]
    )
