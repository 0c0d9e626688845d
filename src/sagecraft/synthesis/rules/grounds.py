"""Questions about what a statement of an article rests on, and in which case it holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sagecraft.literature import english
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate, Rule
from sagecraft.synthesis.rules.articles import Part, Saying, Stated, asked_by
from sagecraft.synthesis.rules.asker import Asker, subject_of

_IF = (
    "According to {T}, what happens {m} {C}?",
    "What does {T} report for the case that {C}?",
    "As {T} has it, what is to be expected {m} {C}?",
    "{M} {C}: what follows, according to {T}?",
    "What is the outcome in {T} {m} {C}?",
    "What would one find {m} {C}, going by {T}?",
)
_WHEN_THEY = (
    "What do the authors of {T} find {m} {C}?",
    "What is the result in {T} {m} its authors {D}?",
    "In {T}, what comes out {m} its authors {D}?",
    "What happens, according to {T}, {m} its authors {D}?",
    "What do the authors of {T} report for the case that {C}?",
    "Which outcome do the authors of {T} tell of {m} {C}?",
)
_WHEN_DONE = (
    "According to {T}, what happens {m} {C}?",
    "What is the outcome in {T} {m} {C}?",
    "What does {T} report {m} {C}?",
    "Going by {T}, what does one get {m} {C}?",
    "Which result does {T} give {m} {C}?",
    "What comes out in {T} {m} {C}?",
)
#: "when adding X", "when combined with X".
_DOING = re.compile(
    r"^(?:\w+ing (?!of\b)|(?:combined|compared|applied|averaged|normali[sz]ed|coupled|paired|restricted|extended) )[^,]+$"
)
_CONDITION_FIRST = re.compile(
    r"^(?P<mark>If|When|Once|Unless|Whenever) (?P<condition>[^,;:]{8,130}), (?P<main>.{15,})$"
)
_CONDITION_LAST = re.compile(
    r"^(?P<main>[^;:]{20,}?),? (?:(?P<only>only|even|especially|particularly|except|but|and|or|just|also|not|whether|than|as|at|to|of) )?(?P<mark>if|when|once|unless|whenever) (?P<condition>[^,;:]{8,130})$"
)


def conditions(asker: Asker, stated: Sequence[Stated], sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """“If X, Y” → “According to “T”, what happens if X?”; with the authors in it: “What do the authors of “T” find when they …?”."""
    for one in (*stated, *(Stated(saying.told, saying.told.text.rstrip(".")) for saying in sayings)):
        text = (
            one.told.text.rstrip(".")
            if one.told.text.startswith(("If ", "When ", "Once ", "Unless ", "Whenever "))
            else one.clause
        )
        found = _CONDITION_FIRST.match(text) or _CONDITION_LAST.match(text)
        if found is None or found.groupdict().get("only"):
            continue
        mark, condition = found.group("mark").lower(), found.group("condition")
        is_theirs = re.match(r"(?:the authors|they) ", condition)
        doing = re.sub(r"^(?:the authors|they) ", "", condition)
        forms: tuple[str, ...] = _WHEN_THEY
        if is_theirs:
            usable = asker.phrase(doing, one.told.place) and "," not in doing
            condition = f"they {doing}"
        else:
            forms = tuple(form for form in _IF if "case" not in form or mark in ("if", "when"))
            usable = asker.clause(condition, one.told.place) is not None
            if not usable and _DOING.match(condition) and asker.phrase(condition, one.told.place):
                usable, forms = True, _WHEN_DONE
        if mark in ("once", "unless", "whenever"):
            forms = tuple(form for form in forms if "case" not in form)
        if (
            not usable
            or re.search(r"\b(?:when|if)\b", condition)
            or (not is_theirs and "authors" in found.group("main"))
        ):
            continue
        plain = one.told.plain(condition)
        question = asker.wording(forms, plain, m=mark, M=mark.capitalize(), C=plain, D=one.told.plain(doing))
        kind = "what-if" if mark in ("if", "unless") else "consequence"
        yield from asker.candidate(f"article-{kind}", kind, question, f"what happens {mark} {plain}", [one.told])


_SETTING = (
    "According to {T}, what holds {L}?",
    "What does {T} say is the case {L}?",
    "As {T} has it, how do things stand {L}?",
    "What is said in {T} to be so {L}?",
    "Going by {T}, what is found {L}?",
    "Which statement does {T} make on what is so {L}?",
)
_LED = re.compile(
    r"^(?P<lead>(?:In|At|For|Within|Among|Toward|Towards|During|Under|Above|Below|After|Before|Beyond|Without|With|Near|Around|On|Across|Over|Inside|Outside) [^,;:]{4,80}), (?P<main>(?!and\b|or\b|but\b|which\b)[^;]{15,})$"
)
#: A way of speaking, or what only the sentence before says more of.
_NO_SETTING = re.compile(
    r"^(?:In (?:practice|principle|general|particular|addition|fact|short|turn|contrast|all|part|reality|the end|detail|doing|total|essence|summary|conclusion|line|order|recent|light|agreement|comparison|response|parallel|each|both|some|many|most|several|"
    r"the (?:first|second|third|former|latter|other|past|coming|last|present|future|next|process|case)\b)|For (?:comparison|many|most|the present|instance|example|the first|both|each|some)|"
    r"At (?:first|present|last|least|best|the time|that time|once|the same|both)|On (?:average|the other|the one|the whole)|After (?:all|some|applying|accounting|correcting)|Under (?:the assumption|these)|With (?:the|its|a|an|our|upcoming|increasing interest|future)\b|Over (?:the|recent)|During the (?:last|past)|Before (?:the|that)|Beyond\b)",
)
#: A time, of which nobody would ask how things stand.
_TIME = re.compile(
    r"\b(?:1[5-9]|20)\d\ds?\b|\b(?:centur(?:y|ies)|decades?|years?|months?|weeks?|days?|time|nowadays|eras?)\b|\btoday\b"
)
_DEGREE = re.compile(
    r"\b(?:higher|lower|larger|smaller|greater|increasing|decreasing|high|low|small|large|strong|weak|stronger|weaker|without|absence)\b",
    re.IGNORECASE,
)


def settings(asker: Asker, stated: Sequence[Stated], _sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """“In cold towers, X …” → “According to “T”, what holds in cold towers?”; all that is said of the case."""
    groups: dict[str, list[Stated]] = {}
    for one in stated:
        clause = one.clause[0].upper() + one.clause[1:]
        found = _LED.match(clause)
        if (
            found is None
            or _NO_SETTING.match(clause)
            or _TIME.search(found.group("lead"))
            or re.search(r"\b(?:that|which|who|while|is|are|was|were|has|have)\b", found.group("lead"))
        ):
            continue
        preposition, _, thing = found.group("lead").partition(" ")
        if not english.is_noun_phrase(
            re.sub(r"\ue000\d+\ue001", "it-value", thing).strip("()"), 10
        ) or not asker.phrase(thing, one.told.place):
            continue
        if english.PRONOUN.match(found.group("main")) or " in particular" in thing:
            continue
        # "At small sizes the ringing stops": no comma tells where the lead ends.
        if subject_of(f"{thing} so") is not None or re.search(r"[a-z]s the ", thing):
            continue
        if re.match(r"(?:it-value|\ue000|\d|all\b|the authors)", thing) or "authors" in clause.partition(", ")[2][:14]:
            continue
        groups.setdefault(one.told.plain(f"{preposition.lower()} {thing}"), []).append(one)
    for lead, group in groups.items():
        kind = "what-if" if _DEGREE.search(lead) else "finding"
        yield from asker.candidate(
            "article-setting",
            kind,
            asker.wording(_SETTING, lead, L=lead),
            f"what holds {lead}",
            [one.told for one in group],
        )


_BASIS = (
    "On what basis do the authors of {T} {verb} that {C}?",
    "How do the authors of {T} come to {verb} that {C}?",
    "What leads the authors of {T} to {verb} that {C}?",
    "By what work do the authors of {T} {verb} that {C}?",
    "In {T}, what does it rest on that its authors {verb} that {C}?",
    "From what do the authors of {T} {verb} that {C}?",
)
_GROUND = re.compile(
    r"^(?:Using|By|Based on|Combining|From|Through|Applying|Leveraging|Employing|Analyzing|Analysing|Comparing|Via|With) .{12,}$"
)


def bases(asker: Asker, _stated: Sequence[Stated], sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """“Using X, the authors find that Y” → “On what basis do the authors of “T” find that Y?”."""
    for saying in sayings:
        if not saying.is_claim or not _GROUND.match(saying.lead):
            continue
        clause = asker.clause(saying.rest.removeprefix("that "), saying.told.place)
        if clause is None:
            continue
        plain = saying.told.plain(clause)
        yield from asker.candidate(
            "article-basis", "derivation", asker.wording(_BASIS, plain, C=plain, verb=saying.verb), f"what it rests on that {plain}",
            [saying.told], key=saying.told.plain(saying.lead[0].lower() + saying.lead[1:]),
        )  # fmt: skip


_EVIDENT = (
    "What evidence does {T} give that {C}?",
    "From what does {T} conclude that {C}?",
    "What is it that tells, according to {T}, that {C}?",
    "On what does {T} rest the statement that {C}?",
    "What speaks for it, going by {T}, that {C}?",
    "By what is it shown or suggested in {T} that {C}?",
)
_SPEAKS_FOR = re.compile(
    r"^(?P<what>[^,;:]{12,140}?(?:, [^,;:]{5,60},)?) (?:\w+ly |also |further |then )?(?:suggests?|suggested|impl(?:y|ies|ied)|indicates?|indicated|shows?|showed|reveals?|revealed|demonstrates?|demonstrated|confirms?|confirmed) that (?P<that>.{15,})$"
)
#: "The results show": they tell nothing of what was looked at.
_BARE = re.compile(
    r"^(?:The |the )?(?:[\w’-]+ ){0,2}(?:results?|findings?|analys[ei]s|stud(?:y|ies)|works?|article|authors|models?|simulations?|data|observations|calculations|measurements|method|constraints|tests?|experiments?|proposals|measurement|observation|studies)(?: of the article)?$",
    re.IGNORECASE,
)


#: "Tests on rims struck with hammers": a part that says which ones.
_SAYS_MORE = re.compile(
    r"(?<= )(?:[a-z]{3,}ed|based|made|taken|seen) (?:on|with|by|from|in|using|for|at|to|of|between)(?= )"
)


def evidences(asker: Asker, _stated: Sequence[Stated], _sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """“The width of X suggests that Y” → “What evidence does “T” give that Y?”, if it says what was looked at."""
    for told in asker.article.told:
        found = _SPEAKS_FOR.match(told.text.rstrip("."))
        what = re.sub(r" (?:have|has|had|may|might|can|could|would|will)$", "", found.group("what")) if found else ""
        if (
            found is None
            or _BARE.match(what)
            or not english.is_noun_phrase(_SAYS_MORE.sub("with", what), 16)
            or re.search(r"\b(?:authors|we|it|they)\b$|^The authors\b|, the authors\b", what)
        ):
            continue
        clause = asker.clause(found.group("that"), told.place)
        if clause is None:
            continue
        plain = told.plain(clause)
        yield from asker.candidate(
            "article-evidence",
            "derivation",
            asker.wording(_EVIDENT, plain, C=plain),
            f"what speaks for it that {plain}",
            [told],
        )


PARTS: tuple[Part, ...] = (
    conditions, settings, bases, evidences,
)  # fmt: skip


def grounds(reading: Reading) -> Iterator[Candidate]:
    """All of these questions about an article; none of what is no article."""
    yield from asked_by(PARTS, reading)


RULES: dict[str, Rule] = {"grounds": grounds}
