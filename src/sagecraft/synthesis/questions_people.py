"""Rules for people and what they did: "In 1912 Henrietta Leavitt showed that …"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sagecraft.literature import english
from sagecraft.synthesis.candidate import Candidate, Clause
from sagecraft.synthesis.questions_relations import is_finite
from sagecraft.synthesis.shapes import DATE, subject_of

_NAME = r"[A-Z][a-zà-ÿ’'-]+(?: (?:[A-Z]\.)+)*(?: (?:van|von|de|der|den|la|le|du|di))*(?: [A-Z][a-zà-ÿ]*[A-Z’'-]?[A-Za-zà-ÿ’'-]+)+|(?:[A-Z]\. ?)+(?:(?:van|von|de|der) )*[A-Z][a-zà-ÿ’'-]+"
_SURNAMES = r"[A-Z][a-zà-ÿ]+[A-Za-zà-ÿ’'-]*(?:, [A-Z][A-Za-zà-ÿ’'-]+)* and (?:[A-Z][A-Za-zà-ÿ’'-]+|colleagues|collaborators|co-workers)"
PERSONS = rf"(?:(?:{_NAME})(?:(?:, (?:{_NAME}))* and (?:{_NAME}|his colleagues|her colleagues|colleagues|collaborators))?|{_SURNAMES})"
_NOT_PEOPLE = re.compile(rf"\b(?:{'|'.join(english.NOT_PEOPLE)})\b")
_ACTS = (
    "discovered|proposed|showed|recognised|recognized|found|announced|measured|derived|predicted|introduced|suggested|argued|"
    "published|identified|noticed|calculated|computed|demonstrated|invented|detected|observed|described|explained|estimated|"
    "obtained|reported|formulated|established|developed|postulated|deduced|determined|coined|built|devised|pointed out|"
    "interpreted|realised|realized|confirmed|reached|used|compared|solved|named|attributed|concluded|assembled|turned"
)


def people(clause: Clause) -> Iterator[Candidate]:
    """“Leavitt showed that …” → “Who showed that …?” and “What did Leavitt show in 1912?”."""
    found = re.match(
        rf"^(?:(?P<lead>(?:In|On) {DATE}),? )?(?P<who>{PERSONS})(?P<year>,? in {DATE},?)? "
        rf"(?P<adverb>first |later |independently |correctly )?(?P<verb>{_ACTS})(?P<year2> in {DATE})? (?P<rest>.+)$",
        clause.text,
    )
    if found:
        yield from _acted(clause, found)
    found = re.match(
        rf"^(?P<what>.{{3,80}}?) (?P<be>was|were) (?P<adverb>first |independently )?(?P<verb>{_ACTS})(?P<where>(?: [\w-]+){{0,8}}?) by "
        rf"(?P<who>{PERSONS})(?P<after>.*)$",
        clause.text,
    )
    if found and not _NOT_PEOPLE.search(found.group("who")):
        subject = subject_of(clause, found.group("what"))
        where = found.group("where")
        if subject and not re.search(r"\b(?:and|but|that|which)\b", where):
            verb = f"{found.group('adverb') or ''}{found.group('verb')}"
            yield Candidate(
                "person", f"Who {verb} {subject}{where}?", f"who {verb} {subject}", clause.statement, found.group("who")
            )


def _acted(clause: Clause, found: re.Match[str]) -> Iterator[Candidate]:
    who, verb, rest = found.group("who"), found.group("verb"), found.group("rest")
    if who.split()[0].lower() in english.OPENERS | english.DETERMINERS:
        return  # "What Darwin calculated …"
    if _NOT_PEOPLE.search(who) or english.PRONOUN.search(rest.split(",")[0]):
        return
    date = next((found.group(name) for name in ("lead", "year", "year2") if found.group(name)), "").strip(" ,")
    when = f" {date[0].lower()}{date[1:]}" if date else ""
    adverb = found.group("adverb") or ""
    deed = _deed(rest)
    if deed is None:
        return
    if verb in ("used", "compared", "reached", "turned", "assembled", "described", "observed"):
        if date and not re.search(rf"\b{DATE}\b", rest):
            yield _did(clause, who, f"{verb} {deed}", when.strip())
        return
    lead = f"Who,{when}, {adverb}{verb} {deed}?" if when else f"Who {adverb}{verb} {deed}?"
    yield Candidate("person", lead, f"who {adverb}{verb} {deed}", clause.statement, who)
    base = english.PAST.get(verb)
    if rest.startswith("that ") and base:
        yield Candidate("person", f"What did {who} {base}{when}?", f"what {who} {verb}{when}", clause.statement, rest)
    elif date and not re.search(rf"\b{DATE}\b", rest):
        yield _did(clause, who, f"{verb} {deed}", when.strip())


def _did(clause: Clause, who: str, deed: str, when: str) -> Candidate:
    return Candidate("person", f"What did {who} do {when}?", f"what {who} did {when}", clause.statement, deed)


def _deed(rest: str) -> str | None:
    """The deed without what follows it: the part before a comma, if it is whole."""
    deed = re.split(r"[,;:]| and (?=\w+(?:ed|s)\b)| (?:which|who|where|whose) ", rest, maxsplit=1)[0].strip()
    long_enough = len(deed.split()) >= 2
    if not long_enough or len(deed.split()) > 26 or deed.split()[-1].lower() in english.DETERMINERS:
        return None
    if deed.startswith("that ") and not any(is_finite(word) for word in deed.split()[2:]):
        return None
    if "\ue000" in deed and len(deed) > 160:
        return None
    if deed.count("(") != deed.count(")"):
        return None
    return deed
