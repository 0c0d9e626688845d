"""Rules for measured values: a number with its unit, and what it is the value of."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sagecraft.literature import english
from sagecraft.synthesis.candidate import Candidate, Clause
from sagecraft.synthesis.shapes import subject_of

_HEDGE = (
    r"(?:(?:about|roughly|approximately|nearly|around|close to|near|some|only|at least|at most|up to|more than|less than|over|"
    r"below|above|between|almost|just|typically|of order|from|slightly (?:more|less) than|an estimated) ){0,3}"
)
_NUMBER = r"(?:[-−+±]?\d+(?:[.,]\d+)*(?:[–-]\d+(?:[.,]\d+)*)?(?![\d]|[,.]\d)|\ue000\d+\ue001)"
_WORDS = r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|half|a (?:few|hundred|thousand|million|billion|dozen))"
_STOP = r"(?:and|but|which|that|at|in|for|with|when|from|by|on|than|as|so|while|where|of|after|before|because|or|until|if|is|are|was|were|has|since|within|along|around|above|below|near|during|about|across|between|through|under|over|into|behind|ahead|away|only|every)"
#: A number with up to five words of unit: from its hedge to the next function word or comma.
VALUE = (
    rf"{_HEDGE}(?:{_NUMBER}|{_WORDS}\b)(?: (?:±|×|to|and|-|or) {_NUMBER})*(?: (?!{_STOP}\b)[^\s,;:()]+){{0,5}}"
    rf"(?: per (?!{_STOP}\b)[^\s,;:()]+(?: (?!{_STOP}\b)[^\s,;:()]+){{0,2}})?"
)
_END = r"(?=$|[,;:(]| (?:and|but|which|at|in|for|with|when|from|by|on|as|so|while|where|after|before|because|or|until|if|since|within|along|near|during|across|between|of|above|below|around)\b)"
#: A formula that is a figure: a number (or one symbol set equal to a number) and nothing else but its unit.
_FIGURE = re.compile(
    r"^\$(?:[^=\d]{1,24}(?:=|\\approx|\\simeq|\\sim|<|>)\s*)?(?:\\(?:pm|sim|approx|simeq)\s*)?[-+−]?\d"
    r"(?:[\d.,{}^+\-−\s~%]|\\[,;:! ]|\\(?:times|pm|cdot|odot|circ|deg|mu|%)|\\(?:mathrm|text|rm|textrm)\s*\{[^}]*\}|_\\odot|[A-Z]_)*\$$"
)
_TIME = re.compile(r"\b(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?|ms|µs|s|h|Myr|Gyr|yr)\b")
_LENGTH = {
    "long": "How long {be} {x}?", "wide": "How wide {be} {x}?", "across": "How large {be} {x} across?",
    "thick": "How thick {be} {x}?", "deep": "How deep {be} {x}?", "high": "How high {be} {x}?", "tall": "How tall {be} {x}?",
    "away": "How far away {be} {x}?", "old": "How old {be} {x}?", "in diameter": "What {be} the diameter of {x}?",
    "in radius": "What {be} the radius of {x}?", "in length": "What {be} the length of {x}?",
}  # fmt: skip


def _is_value(clause: Clause, value: str) -> bool:
    """Whether this is a figure: a number, or a short formula that holds one."""
    if re.search(r"\btimes\b", value) or not re.search(r"\d|\ue000", value):
        return False
    shown = [clause.formulas[int(found.group(1))] for found in re.finditer("\ue000(\\d+)\ue001", value)]
    return all(len(formula) <= 48 and re.search(r"\d", formula) and _FIGURE.match(formula) for formula in shown)


def values(clause: Clause) -> Iterator[Candidate]:
    """All rules for values; the first that fits a clause speaks."""
    for rule in (_attribute, _possessed, _extent, _counted, _duration, _circumstance):
        made = list(rule(clause))
        if made:
            yield from made
            return


def _attribute(clause: Clause) -> Iterator[Candidate]:
    """“The mass of X is about 3 kg” → “What is the mass of X?”."""
    found = re.match(
        rf"^(.{{3,90}}?) (is|are|was|were|lies at|lay at|equals|amounts to|reaches|has a value of|has the value|ranges|range|lies|lie|is estimated at|is measured to be) ({VALUE}){_END}",
        clause.text,
    )
    if not found or not _is_value(clause, found.group(3)):
        return
    name, verb = found.group(1), found.group(2)
    subject = subject_of(clause, name)
    if subject is None or not re.match(r"^(?:the|an?|typical) ", subject) or "\ue000" in name:
        return
    # What can have a value is measured in something: "The star is 3 kpc …" is a place, not a value.
    if re.match(
        r"^(?:away|old|long|wide|thick|deep|high|tall|across)\b", clause.text[found.end() :].strip()
    ) or re.search(
        r"\b(?:away|old|long|wide|thick|deep|high|tall|across|larger|smaller|higher|lower|brighter|fainter|more|less)$",
        found.group(3),
    ):
        return
    is_named = bool(re.search(r"[A-Z]", subject)) and not re.search(r" of |[’']s ", subject)
    is_place = re.match(
        r"^(?:from|away|to|in (?:diameter|radius|length|width|size|extent|mass))\b", clause.text[found.end() :].strip()
    )
    if len(subject.split()) < 3 or is_named or is_place:
        return
    be = "are" if english.is_plural(subject) else "is"
    be = verb if verb in ("is", "are", "was", "were") else "was" if verb == "lay at" else be
    # "… is 8.4 km for air at 288 K": without its condition another value would be as right.
    condition = re.match(
        r"^ ((?:for|at|in|near|within|under|around) [^,;:()]{2,60})(?:$|,)", clause.text[found.end() :]
    )
    if condition and verb in ("is", "are", "was", "were") and subject_of(clause, condition.group(1).partition(" ")[2]):
        subject = f"{subject} {condition.group(1)}"
    yield Candidate("number", f"What {be} {subject}?", subject, clause.statement, found.group(3))


def _possessed(clause: Clause) -> Iterator[Candidate]:
    """“X has a mass of 3 kg” → “What is the mass of X?”."""
    found = re.match(
        rf"^(.{{2,80}}?) (has|have|had) (an?|typical) ((?:[a-z-]+ ){{0,3}}[a-z-]+?s?) (?:of|near|close to) ({VALUE}){_END}",
        clause.text,
    )
    if not found or not _is_value(clause, found.group(5)):
        return
    subject = subject_of(clause, found.group(1))
    attribute = found.group(4)
    if (
        subject is None
        or not english.is_noun_phrase(attribute, 4)
        or attribute.split()[-1] in ("number", "total", "factor", "probability", "few")
    ):
        return
    be = "was" if found.group(2) == "had" else "is"
    whose = f"the {attribute} of {subject}"
    yield Candidate("number", f"What {be} {whose}?", whose, clause.statement, found.group(5))


def _extent(clause: Clause) -> Iterator[Candidate]:
    """“X is 9 m long” → “How long is X?”."""
    found = re.match(
        rf"^(.{{2,80}}?) (is|are|was|were) ({VALUE}?) (long|wide|across|thick|deep|high|tall|away|old|in diameter|in radius|in length)\b",
        clause.text,
    )
    if found and _is_value(clause, found.group(3)) and (subject := subject_of(clause, found.group(1))):
        question = _LENGTH[found.group(4)].format(be=found.group(2), x=subject)
        yield Candidate(
            "number", question, f"a measure of {subject}", clause.statement, f"{found.group(3)} {found.group(4)}"
        )


def _counted(clause: Clause) -> Iterator[Candidate]:
    """“X contains about 170 clusters” → “How many clusters does X contain?”."""
    found = re.match(
        rf"^(.{{2,80}}?) (contains?|contained|lists?|listed|includes?|included|comprises?|comprised|carries|carry|carried|uses?|has|have|had|discovered|found|detected|observed|hosts?|requires?) "
        rf"({_HEDGE}(?:\d[\d,]*|{_WORDS}(?<!half)(?<!few))) ((?!per\b|million|billion|hundred|thousand|degrees|times|days|years|hours|metres|meters|percent|solar|of\b)[a-z-]+(?: (?!{_STOP}\b)[a-z-]+){{0,2}}s)\b(?! (?:long|wide|old|of mass))(.*)$",
        clause.text,
    )
    if not found or found.group(4).split()[-1] in (
        "years",
        "months",
        "weeks",
        "days",
        "hours",
        "metres",
        "kilometres",
        "parsecs",
        "seconds",
        "minutes",
        "degrees",
        "times",
        "volts",
        "kelvins",
        "tonnes",
        "grams",
        "is",
        "was",
        "has",
        "units",
        "percents",
    ):
        return
    subject = subject_of(clause, found.group(1))
    if subject is None:
        return
    if found.group(3) == "one" or found.group(4).endswith("ous"):
        return
    verb = found.group(2)
    base = (
        {"has": "have", "had": "have", "have": "have"}.get(verb)
        or english.THIRD.get(verb)
        or english.PAST.get(verb)
        or verb
    )
    do = "does" if verb in english.THIRD or verb == "has" else "did" if verb in english.PAST or verb == "had" else "do"
    noun = found.group(4)
    yield Candidate(
        "number",
        f"How many {noun} {do} {subject} {base}?",
        f"the number of {noun} that {subject} {verb}",
        clause.statement,
        f"{found.group(3)} {noun}",
    )


def _duration(clause: Clause) -> Iterator[Candidate]:
    """“X lasts 53 days” → “How long does X last?”."""
    found = re.match(rf"^(.{{2,80}}?) (lasts?|lasted|takes?|took) ({VALUE}){_END}", clause.text)
    if (
        found
        and _is_value(clause, found.group(3))
        and _TIME.search(found.group(3))
        and (subject := subject_of(clause, found.group(1)))
    ):
        verb = found.group(2)
        base = "last" if verb.startswith("last") else "take"
        do = "did" if verb in ("lasted", "took") else "does" if verb.endswith("s") else "do"
        yield Candidate(
            "number", f"How long {do} {subject} {base}?", f"how long {subject} {verb}", clause.statement, found.group(3)
        )


def _circumstance(clause: Clause) -> Iterator[Candidate]:
    """“X was detected at a wavelength of 21 cm” → “At what wavelength was X detected?”."""
    found = re.match(
        rf"^(.{{2,80}}?) (is|are|was|were) ((?:first |now )?[a-z]+(?: [\w-]+){{0,5}}?),? (at|with|over) (?:an? )((?:[a-z-]+ )?(?:[a-z-]+)) of ({VALUE}){_END}",
        clause.text,
    )
    if not found or not _is_value(clause, found.group(6)):
        return
    subject, be, done = subject_of(clause, found.group(1)), found.group(2), found.group(3)
    if (
        subject is None
        or done.split()[-1 if done.startswith(("first ", "now ")) and len(done.split()) == 2 else 0]
        not in english.PARTICIPLES
    ):
        return
    attribute = found.group(5)
    if attribute.split()[-1] in ("factor", "result", "total", "set", "pair", "number", "sample", "series") or re.search(
        r"\b(?:and|that|which)\b", done
    ):
        return
    asked = f"{found.group(4)} what {attribute}"
    yield Candidate(
        "number",
        f"{asked[0].upper()}{asked[1:]} {be} {subject} {done}?",
        f"{asked} {subject} {be} {done}",
        clause.statement,
        found.group(6),
    )
