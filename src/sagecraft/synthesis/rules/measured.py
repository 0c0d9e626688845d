"""Questions about figures, numbers of things, formulas, dates and places that an article gives."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sagecraft.literature import english
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate, Rule
from sagecraft.synthesis.rules.articles import Part, Saying, Stated, asked_by
from sagecraft.synthesis.rules.asker import Asker, is_plural, predicate
from sagecraft.synthesis.rules.reported import LISTS, Told

_ABOUT = r"(?:(?:about|approximately|around|roughly|only|nearly|almost|at least|at most|up to|less than|greater than|more than|below|above|as \w+ as|some|typically|just|over|under) )*"
_FIGURE = re.compile(rf"{_ABOUT}(?:[~<>≈∼±-]? ?\d[\d.,]*|\ue000(?P<formula>\d+)\ue001)")
_NUMBER = re.compile(r"\d")
_VALUE = (
    "What figure does {T} state for {S}?",
    "Which value does {T} give for {S}?",
    "What number is put on {S} in {T}?",
    "According to {T}, which value {do} {S} have?",
    "Going by {T}, which figure holds for {S}?",
    "Which figure for {S} is to be found in {T}?",
)
_IS_FIGURE = re.compile(
    r"^ (?:(?:is|are|was|were|has been|have been|can be|may be|could be|must be|should be|remains?|reach(?:es)?|equals?|amounts? to|lies? (?:at|between|in)|ranges? (?:from|between)|spans?|peaks? at|"
    r"exceeds?|has a value of|have values of|drops? to|decreases? to|increases? to|rises? to|corresponds? to)) (?:\w+ly )?"
    r"(?:(?:measured|estimated|found|constrained|determined|inferred|calculated|computed|derived|observed|known|set|limited|predicted|equal|consistent|located) )?"
    r"(?:to be |at |as |to |by |within |between |from |in the range |of )*(?P<figure>.+)$"
)
_HAS_FIGURE = re.compile(
    r"^ (?:has|have|had|exhibits?|shows?|reach(?:es)?|achieves?|attains?) (?:an? |the )?(?P<what>[a-z][\w /-]{3,60}?) of (?P<figure>.+)$"
)


def _is_quantity(phrase: str) -> bool:
    """Whether a phrase names a quantity: "a mean pitch", not "published a list"."""
    words = phrase.split()
    is_verbal = words[0] in english.PARTICIPLES or words[0].endswith("ed")
    return english.is_noun_phrase(phrase, 5) and not is_verbal and not {"with", "the", "a", "an", "of"} & set(words)


def _is_figure(told: Told, text: str) -> bool:
    """Whether a masked text begins with a number, or a formula that has one."""
    found = _FIGURE.match(text)
    # "3 times higher" than what?
    is_relative = re.match(
        r"[\s%\\]*(?:to [\d.]+ ?%? )?(?:times|orders?|percent|per cent|higher|lower|larger|smaller|more|less|greater|fainter|brighter|sigma)\b",
        text[found.end() :] if found else "",
    )
    if found is None or is_relative or re.match(r"\d+ (?:of|out of) |[\d.]+[-–][\d.]+ times", text):
        return False
    formula = found.group("formula")
    return formula is None or _NUMBER.search(told.plain(f"\ue000{formula}\ue001")) is not None


_NO_VALUE = re.compile(r"\b(?:relations?|correlations?|distributions?|results?|objects?|sources?|samples?|data)\b")


def values(asker: Asker, stated: Sequence[Stated], _sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """“The mass of X is 3 kg”, “X has a mass of 3 kg” → “Which value does “T” give for the mass of X?”, all that it gives."""
    groups: dict[str, list[Stated]] = {}
    subjects: dict[str, list[Stated]] = {}
    for one in stated:
        subject = asker.subject(one.clause, one.told.place)
        if subject is None or subject.startswith(("a ", "an ")) or _NO_VALUE.search(subject):
            continue
        subjects.setdefault(one.told.plain(subject), []).append(one)
        behind = predicate(one.clause, subject)
        found = _IS_FIGURE.match(behind)
        if found and _is_figure(one.told, found.group("figure")):
            groups.setdefault(one.told.plain(subject), []).append(one)
            continue
        found = _HAS_FIGURE.match(behind)
        if found and _is_figure(one.told, found.group("figure")) and _is_quantity(found.group("what")):
            what = re.sub(
                r"^(?:(?:very |relatively )?(?:large|small|high|low|mean|typical|total|short|long) )",
                "",
                found.group("what"),
            )
            groups.setdefault(one.told.plain(f"the {what} of {subject}"), []).append(one)
    for plain, group in groups.items():
        everything = subjects.get(plain, group)
        question = asker.wording(_VALUE, plain, S=plain, do="do" if is_plural(plain) else "does")
        yield from asker.candidate(
            "article-value", "number", question, f"a figure for {plain}", [one.told for one in everything]
        )


_FOUND_VALUE = (
    "Which value do the authors of {T} {verb} for the {W}?",
    "What {W} do the authors of {T} {verb}?",
    "In {T}, which {W} do its authors {verb}?",
    "What figure do the authors of {T} give for the {W}?",
    "Going by {T}, what is the {W} that its authors {verb}?",
    "Which figure for the {W} comes from the work in {T}?",
)
_OF_FIGURE = re.compile(
    r"^(?:an?|the|its|their) (?P<what>[a-z\ue000][\w \ue000\ue001/-]{3,70}?)(?: of| to be) (?P<figure>.+)$"
)
_MEASURING = frozenset(
    [
        "find",
        "measure",
        "derive",
        "obtain",
        "estimate",
        "determine",
        "infer",
        "constrain",
        "report",
        "calculate",
        "compute",
        "achieve",
        "detect",
        "predict",
    ]
)


def found_values(asker: Asker, _stated: Sequence[Stated], sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """“The authors measure a mass of 3 kg” → “What mass do the authors of “T” measure?”, where the abstract gives one of that name."""
    for saying in sayings:
        found = _OF_FIGURE.match(saying.rest) if saying.verb in _MEASURING else None
        if found is None or not _is_figure(saying.told, found.group("figure")):
            continue
        what = re.sub(
            r"^(?:total|new|precise|robust|final|overall|single|best[- ]fit(?:ting)?) ", "", found.group("what")
        )
        head = what.split()[-1]
        if not english.is_noun_phrase(what, 8) or not asker.phrase(f"a {what}", saying.told.place) or head in _COUNTED:
            continue
        if (
            sum(len(re.findall(rf"\b{re.escape(head)}s?\b", text)) for text in asker.article.texts[saying.told.place :])
            > 1
        ):
            continue
        plain = saying.told.plain(what)
        question = asker.wording(_FOUND_VALUE, plain, W=plain, verb=saying.verb)
        yield from asker.candidate("article-value", "number", question, f"the {plain}", [saying.told])


_COUNTED = frozenset(
    [
        "sample",
        "set",
        "catalog",
        "catalogue",
        "total",
        "list",
        "population",
        "dataset",
        "survey",
        "number",
        "collection",
        "compilation",
        "grid",
        "suite",
        "series",
        "subset",
        "ensemble",
        "factor",
    ]
)
_HOW_MANY = (
    "How many {W} do the authors of {T} {verb}?",
    "In {T}, how many {W} do its authors {verb}?",
    "What number of {W} do the authors of {T} {verb}?",
    "How many {W} are there that the authors of {T} {verb}?",
    "Of what number are the {W} that the authors of {T} {verb}?",
    "How large is the number of {W} that the authors of {T} {verb}?",
)
_SAMPLE = re.compile(
    rf"^(?:(?:an?|the) (?:[\w-]+ ){{0,4}}?(?:sample|set|catalogue?|survey|study|analysis|observations?|dataset|suite|spectra|images?|collection|population|compilation|ensemble|grid) of |[\w-]+ for )?{_ABOUT}"
    r"(?P<number>\d[\d,]*|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\ue000\d+\ue001) (?P<things>(?:[\w\ue000\ue001/-]+ ){0,5}?[a-z-]+s)\b(?! of\b)(?=[,;:.]| (?:with|from|in|at|that|which|using|observed|and|by|to|selected|detected|drawn|for|on|within|between|across|spanning|located|covering|classified)\b|$)"
)
_ODD_THINGS = re.compile(
    r"^(?:different|additional|other|more|new|main|of|distinct|key|major|independent|separate)\b|\b(?:and|or|using|\d+)\b"
)
_NO_THINGS = frozenset(
    [
        "years",
        "days",
        "hours",
        "minutes",
        "seconds",
        "sigma",
        "percent",
        "per",
        "times",
        "orders",
        "results",
        "steps",
        "parts",
        "ways",
        "papers",
        "aspects",
        "questions",
        "hypotheses",
        "scenarios",
        "cases",
        "types",
        "degrees",
        "magnitudes",
        "bands",
        "factors",
        "decades",
    ]
)


def samples(asker: Asker, _stated: Sequence[Stated], sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """“The authors study a sample of 40 bells” → “How many bells do the authors of “T” study?”, if no other number is told."""
    for saying in sayings:
        found = _SAMPLE.match(saying.rest)
        if found is None or saying.tense == "does":
            continue
        things = found.group("things")
        words = things.split()
        if words[-1] in _NO_THINGS or _ODD_THINGS.search(things) or not english.is_noun_phrase(things, 6):
            continue
        if found.group("number").startswith("\ue000") and not _NUMBER.search(saying.told.plain(found.group("number"))):
            continue
        if not asker.phrase(things, saying.told.place) or saying.verb in {
            "aim to",
            "seek to",
            "intend to",
            "attempt to",
        }:
            continue
        # Any other number of them would be another answer.
        others = re.compile(
            rf"(?:\d|\ue001|\b(?:two|three|four|five|six|seven|eight|nine|ten)) (?:[\w-]+ ){{0,4}}{re.escape(words[-1])}\b"
        )
        if sum(len(others.findall(text)) for text in asker.article.texts) > 1:
            continue
        plain = saying.told.plain(things)
        yield from asker.candidate(
            "article-sample", "number", asker.wording(_HOW_MANY, plain, W=plain, verb=saying.verb), f"the number of {plain}",
            [saying.told],
        )  # fmt: skip


_FORMULA = (
    "Which formula does {T} give for {S}?",
    "What expression stands in {T} for {S}?",
    "According to {T}, which relation describes {S}?",
    "How is {S} written as a formula in {T}?",
    "Give the formula that {T} states for {S}.",
    "In the notation of {T}, what is {S}?",
)
_HAS_FORMULA = re.compile(
    r"(?P<what>\b(?:[Tt]he|an?) (?:(?!the\b|an?\b)[\w/-]+ ){0,5}?(?:relations?|relationship|expression|formula|equation|law|potential|profile|scaling|spectrum|form|function|parametri[sz]ation|"
    r"correlation|dependence|model|criterion|condition|bound|slope|rate|factor|coupling|Lagrangian|action|metric|ratio|term|fit|distribution|solution)(?: (?:of|between|for) (?:[\w\ue000\ue001/-]+ ?){1,6}?)?)"
    r",?(?: (?:is|are|of the form|given by|is given by|described by|is described by|as|follows|that follows|scales as|takes the form|reads|in the form|with|becomes|approaches))? ?\(?\ue000(?P<formula>\d+)\ue001"
)


def formulas(asker: Asker, _stated: Sequence[Stated], _sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """“… the general relation $a = b c$ …” → “Which formula does “T” give for the general relation?”, one a sentence."""
    for told in asker.article.told:
        found = [one for one in _HAS_FORMULA.finditer(told.text) if _is_law(told.formulas[int(one.group("formula"))])]
        if len(found) != 1:
            continue
        what = found[0].group("what").strip()
        bare = re.sub(r"^(?:[Tt]he|an?) ", "", what)
        if not english.is_noun_phrase(bare, 12) or len(bare.split()) < 2 or not asker.phrase(f"a {bare}", told.place):
            continue
        plain = told.plain(f"the {bare}")
        yield from asker.candidate(
            "article-formula", "equation", asker.wording(_FORMULA, plain, S=plain), f"the formula of {plain}", [told],
            key=told.formulas[int(found[0].group("formula"))],
        )  # fmt: skip


_UNITS = "|".join(LISTS["units"].split())
#: What is no symbol of a quantity: units, words, signs.
_NO_SYMBOL = re.compile(
    r"\\(?:mathrm|text|rm|mathit|mathbf|operatorname)\s*\{[^{}]*\}|\{\\rm[^{}]*\}|\\rm\b|"
    r"\\(?:pm|times|sim|approx|,|;|:|!|cdot|ldots|leq|geq|lesssim|gtrsim|circ|infty|in|le|ge)(?![A-Za-z])|"
    rf"\\(?:{'|'.join(LISTS['unit_commands'].split())})(?![A-Za-z])|\b(?:{_UNITS})\b"
)


def _is_formula(text: str) -> bool:
    """Whether a formula relates symbols; "d = 17 ± 2 pc" is a figure."""
    sign = re.search(r"=|\\propto|\\simeq|\\approx|\\equiv", text)
    if sign is None or len(text) < 9 or not re.search(r"[A-Za-z]", text[: sign.start()]):
        return False
    return re.search(r"[A-Za-z]", _NO_SYMBOL.sub("", text[sign.end() :])) is not None


_WHERE = (
    "According to {T}, where {be} {S}?",
    "Where {be} {S} located, as {T} has it?",
    "Where does {T} place {S}?",
    "At which place {be} {S}, going by {T}?",
    "In {T}, what is said of the place of {S}?",
    "Where {be} {S} to be found, according to {T}?",
)


def places(asker: Asker, stated: Sequence[Stated], _sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """“X is located in Y”, “X, located in Y, …” → “Where is X, according to “T”?”, also of what lies there."""
    for one in stated:
        found = re.match(
            r"^(?P<what>[^,;:]{3,80}?)(?:,| (?P<be>is|are|was|were)) (?:\w+ly )?(?:located|situated) (?P<where>(?:at|in|on|near|within|inside|outside|towards?|beyond|about|along|around) .{4,})$",
            one.clause,
        )
        if found is None:
            continue
        what = re.sub(r" \([^()]*\)", "", found.group("what"))
        if not english.is_noun_phrase(what) or not asker.phrase(what, one.told.place):
            continue
        subject = asker.lowered(what)
        if subject is None:
            continue
        plain = one.told.plain(subject)
        question = asker.wording(_WHERE, plain, S=plain, be="are" if is_plural(subject) else "is")
        yield from asker.candidate("article-place", "place", question, f"the place of {plain}", [one.told])


_WHEN = (
    "When were the {W} used in {T} {did}?",
    "From which time are the {W} that {T} rests on?",
    "According to {T}, when were the {W} in it {did}?",
    "Over which dates were the {W} of {T} {did}?",
    "Which date or period is given in {T} for its {W}?",
    "In {T}, at what time were the {W} {did}?",
)
_MONTH = "January|February|March|April|May|June|July|August|September|October|November|December|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec"
_DATE = rf"(?:(?:early|late|mid-?|the) ?)?(?:\d{{1,2}} )?(?:(?:{_MONTH})\.? ?(?:\d{{1,2}},? )?)?(?:1[5-9]|20)\d\d(?!\w)(?: (?:{_MONTH})\.?(?: \d{{1,2}})?)?"
_DATED = re.compile(
    r"\b(?P<what>observations|data|images|spectra|measurements|light curves|data ?sets)\b(?P<of>[^.;:]{0,90}?)\b(?P<did>taken|obtained|collected|acquired|captured|"
    rf"recorded|conducted|performed|carried out|gathered|made)\b[^.;:]{{0,60}}? (?:on|in|between|during|from|since|over)(?: the (?:nights?|years?|period)(?: of)?)? {_DATE}"
)
_ANY_DATE = re.compile(r"\b(?:1[5-9]|20)\d\d\b")


def dates(asker: Asker, _stated: Sequence[Stated], _sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """“We use data taken in 1931.” → “When were the data used in “T” taken?”, where the abstract gives dates in one sentence only."""
    dated = [place for place, text in enumerate(asker.article.texts) if _ANY_DATE.search(text)]
    for told in asker.article.told:
        found = _DATED.search(told.text)
        if found is None or dated != [told.place]:
            continue
        what, did = found.group("what"), found.group("did")
        yield from asker.candidate(
            "article-date",
            "event",
            asker.wording(_WHEN, what, W=what, did=did),
            f"when the {what} of {asker.title} were {did}",
            [told],
        )


_DATED_WHAT = (
    "Which date or year does {T} name, and for what?",
    "What does {T} say happened, or is to happen, at a date that it names?",
    "Which event does {T} put a date to?",
    "To what does {T} attach a year or a day?",
    "What is said in {T} with a date?",
    "Of what does {T} state when it took or takes place?",
)
#: A year in brackets is that of a reference; a survey of a year is a name.
_SAID_DATE = re.compile(
    rf"\b(?:in|on|since|until|between|during|by|from|before|after|of) (?:(?:early|late|mid-?|the|spring|summer|autumn|fall|winter|mid) ?)?(?:{_DATE}|(?:\d{{1,2}} )?(?:{_MONTH})\.? (?:\d{{1,2}},? )?(?:1[5-9]|20)\d\d)"
    r"(?=[.,;]| (?:and|to|by|with|at|in|from|on|for|using|as|is|was|were|through|until|UT)\b|$)"
)


def events(asker: Asker, stated: Sequence[Stated], sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """The one sentence of an abstract that has a date."""
    dated = [place for place, text in enumerate(asker.article.texts) if _ANY_DATE.search(text)]
    for told in asker.article.told:
        if (
            dated == [told.place]
            and _SAID_DATE.search(told.text)
            and not any(True for _ in dates(asker, stated, sayings))
        ):
            yield from asker.candidate(
                "article-date",
                "event",
                asker.wording(_DATED_WHAT, "date"),
                f"what {asker.title} gives a date for",
                [told],
            )


_ONE_FORMULA = (
    "Which formula or relation is stated in the abstract of {T}?",
    "What relation between quantities does {T} write down?",
    "Give the relation that {T} states as a formula, and say what it is about.",
    "Which formula does {T} give, and what for?",
    "What is written as a formula in {T}?",
    "How does {T} put its relation between quantities into symbols?",
)


#: An error, a unit or several signs: figures with a symbol before them.
_IS_VALUE = re.compile(
    rf"\\pm|\^\{{\+|[=∝~].*[^\\]=|,\s*[a-zA-Z_]+\s*=|\\times|rightarrow|\\(?:approx|simeq|sim|farcs|lesssim|gtrsim)\b|[<>]|=\s*-?[\d.]+\s*\$?$|\\(?:{'|'.join(LISTS['unit_commands'].split())})\b"
    rf"|\\(?:mathrm|rm|text)\s*\{{?\s*(?:{_UNITS})\b"
)


def _is_law(text: str) -> bool:
    """Whether a formula is a law or a definition, and no figure with a symbol before it."""
    return _is_formula(text) and _IS_VALUE.search(text) is None


def relations(asker: Asker, stated: Sequence[Stated], sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """The one sentence of an abstract that has formulas which relate symbols."""
    found = [told for told in asker.article.told if any(_is_law(formula) for formula in told.formulas)]
    known = {told.place for told in asker.article.told}
    is_hidden = any("\ue000" in text for place, text in enumerate(asker.article.texts) if place not in known)
    if len(found) != 1 or is_hidden or any(True for _ in formulas(asker, stated, sayings)):
        return
    told = found[0]
    yield from asker.candidate(
        "article-formula", "equation", asker.wording(_ONE_FORMULA, "formula"), f"the formula of {asker.title}", [told]
    )


PARTS: tuple[Part, ...] = (
    values, found_values, samples, formulas, relations, places, dates, events,
)  # fmt: skip


def measured(reading: Reading) -> Iterator[Candidate]:
    """All of these questions about an article; none of what is no article."""
    yield from asked_by(PARTS, reading)


RULES: dict[str, Rule] = {"measured": measured}
