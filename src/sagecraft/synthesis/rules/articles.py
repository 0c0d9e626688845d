"""Questions about an article by name, from what its abstract says its authors do and find.

“We find that X rises with Y.” → “What do the authors of “T” find about X?” – “The authors find that X rises with Y.” The
article's name makes the question stand alone. A question that two sentences of the abstract answer is given both, or is not
asked.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sagecraft.literature import english
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate, Rule
from sagecraft.synthesis.rules.asker import LEAD_WORDS, Asker
from sagecraft.synthesis.rules.reported import LISTS, Article, Told, article_of

_MAX_TOGETHER = 3
_MAX_ANSWER_WORDS = 130
_AUTHORS = re.compile(
    rf"^(?:(?P<lead>(?:{LEAD_WORDS}) [^;:]{{3,170}}?), )?[Tt]he authors (?:(?P<did>have) )?(?:[a-z]+ly )?(?P<verb>[a-z]+) (?P<rest>.+)$"
)
_ARTICLE = re.compile(r"^The article (?:[a-z]+ly )?(?P<verb>[a-z]+) (?P<rest>.+)$")
_EVIDENCE = re.compile(
    rf"^The (?:results of the article|(?:[\w-]+ ){{0,3}}(?:{'|'.join(LISTS['evidence'].split())})) "
    r"(?:[a-z]+ly )?(?P<verb>show|shows|showed|suggest|suggests|suggested|indicate|indicates|indicated|demonstrate|demonstrates|demonstrated|reveal|reveals|revealed|imply|implies|confirm|confirms|confirmed|"
    r"highlight|highlights|support|supports|favor|favors|favour|favours|provide|provides|point to|points to) (?P<that>that )?(?P<rest>.+)$"
)


def _forms() -> dict[str, tuple[str, str, str]]:
    """Form of a verb → (base, tense, kind)."""
    found: dict[str, tuple[str, str, str]] = {}
    irregular = {base: past for past, base in english.PAST.items()}
    for kind in ("aim", "method", "finding"):
        for listed in LISTS[kind].split():
            base = listed.split("-")[0]
            regular = base[:-1] + "ied" if base.endswith("y") and base[-2] not in "aeiou" else base + "ed"
            past = irregular.get(base, base + "d" if base.endswith("e") else regular)
            third = (
                base[:-1] + "ies"
                if base.endswith("y")
                else base + ("es" if base.endswith(("s", "sh", "ch", "ss")) else "s")
            )
            for form, tense in ((base, "do"), (past, "did"), (third, "does")):
                found.setdefault(form, (listed.replace("-", " "), tense, kind))
    return found


_FORMS = _forms()


@dataclass(frozen=True)
class Saying:
    """A sentence whose subject is the authors.

    Attributes:
        told: the sentence.
        verb: base form, with its preposition ("focus on").
        tense: "do" or "did".
        kind: `aim`, `method` or `finding`.
        lead: what stands before the main clause, or "".
        rest: what follows the verb, without the full stop.
    """

    told: Told
    verb: str
    tense: str
    kind: str
    lead: str
    rest: str

    @property
    def is_claim(self) -> bool:
        """Whether a clause follows ("that …")."""
        return self.rest.startswith("that ")


def sayings_of(article: Article) -> list[Saying]:
    """The sentences of an abstract that tell what the authors do, find or say."""
    found = []
    for told in article.told:
        text = told.text.rstrip(".")
        match = _AUTHORS.match(text)
        lead = (match.group("lead") or "") if match else ""
        match = match or _ARTICLE.match(text)
        if match is None or match.group("verb") not in _FORMS:
            continue
        verb, tense, kind = _FORMS[match.group("verb")]
        rest = match.group("rest")
        second = verb.partition(" ")[2]
        if second and not rest.startswith(f"{second} "):
            continue
        rest = rest[len(second) + 1 :] if second else rest
        # "they" may stand for the authors: what follows must not speak of them before it is said.
        if re.match(r"(?:and|or|but|by|to|in|with|for|as|on|at|from|through)\b", rest) or re.search(
            r"\bauthors\b|\bthe article\b", rest + lead
        ):
            continue
        found.append(Saying(told, verb, "do" if tense == "does" else tense, kind, lead, rest))
    return found


_FIND = (
    "What do the authors of {T} {verb} about {S}?",
    "In {T}, what do its authors {verb} about {S}?",
    "Which result on {S} is given in {T}?",
    "What is the finding of {T} about {S}?",
    "According to {T}, what holds for {S}?",
)
_ABOUT_VERBS = frozenset(
    {"find", "show", "conclude", "demonstrate", "report", "suggest", "infer", "argue", "predict", "reveal", "confirm"}
)
_DO = (
    "What {do} the authors of {T} {verb}?",
    "In the article {T}, what {do} its authors {verb}?",
    "What is it that the authors of {T} {verb_told}?",
    "Tell me what the authors of {T} {verb_told}.",
    "From what you know of {T}: what {do} its authors {verb}?",
)
#: Of verbs that an article does as well as its authors.
_ARTICLE_DOES = (*_DO, "What does the article {T} {verb}?", "What does {T} {verb}?")
_INCOMPLETE = frozenset(LISTS["incomplete"].split())
_ARTICLE_VERBS = frozenset(LISTS["article_verbs"].split())


def findings(asker: Asker, sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """“The authors find that X …” → what they find about X; without a plain subject: what they find, all of it."""
    open_ones: dict[str, list[Saying]] = defaultdict(list)
    subjects: set[str] = set()
    for saying in sayings:
        if not saying.is_claim:
            continue
        subject = asker.subject(saying.rest.removeprefix("that "), saying.told.place)
        plain = saying.told.plain(subject) if subject else ""
        if not subject or plain.lower() in subjects or saying.verb not in _ABOUT_VERBS:
            open_ones[saying.verb].append(saying)
            continue
        subjects.add(plain.lower())
        question = asker.wording(_FIND, plain, S=plain, verb=saying.verb)
        yield from asker.candidate(
            "article-finding", "finding", question, f"what {asker.title} finds about {plain}", [saying.told]
        )
    for verb, group in open_ones.items():
        yield from _what(asker, verb, group, "finding", "article-finding")


def _what(asker: Asker, verb: str, group: Sequence[Saying], kind: str, rule: str) -> Iterator[Candidate]:
    """“What do the authors VERB?”, where the sentences given are all that answer it."""
    pattern = _said(verb)
    num_said = sum(len(pattern.findall(text)) for text in asker.article.texts)
    words = sum(len(one.told.text.split()) for one in group)
    if verb in _INCOMPLETE or num_said > len(group) or len(group) > _MAX_TOGETHER or words > _MAX_ANSWER_WORDS:
        return
    tense = group[0].tense
    told_verb = next(form for form, (base, when, _) in _FORMS.items() if base == verb and when == tense)
    told_verb += verb[len(verb.split(" ")[0]) :]
    asked = verb + " do" if verb.endswith(" to") else verb
    forms = _ARTICLE_DOES if tense == "do" and verb in _ARTICLE_VERBS else _DO
    question = asker.wording(
        forms, verb, do=tense, verb=asked, verb_told=told_verb + (" do" if verb.endswith(" to") else "")
    )
    yield from asker.candidate(
        rule, kind, question, f"what the authors of {asker.title} {told_verb}", [one.told for one in group]
    )


def _said(verb: str) -> re.Pattern[str]:
    """Where a text as it stands says that the authors do it."""
    second = verb.partition(" ")[2]
    forms = "|".join(form for form, (found, _, _) in _FORMS.items() if found == verb)
    tail = f" {second}" if second else ""
    return re.compile(
        rf"\b(?:we|authors|paper|study|work|article|and|then|[a-z]+ly) (?:have |[a-z]+ly |also |then |further |first |thus |therefore )*(?:{forms}){tail}\b",
        re.IGNORECASE,
    )


def aims(asker: Asker, sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """“The authors present X” → “What do the authors of “T” present?”, at most one a verb."""
    groups: dict[str, list[Saying]] = defaultdict(list)
    for saying in sayings:
        if not saying.is_claim:
            groups[saying.verb].append(saying)
    for verb, group in groups.items():
        yield from _what(asker, verb, group, group[0].kind, f"article-{group[0].kind}")


_HOW = (
    "How {do} the authors of {T} {verb} {O}?",
    "In {T}, how {do} its authors {verb} {O}?",
    "By what means {do} the authors of {T} {verb} {O}?",
)
_MEANS_LEAD = re.compile(
    r"^(?:Using|By|Based on|Combining|With the help of|Through|Applying|Leveraging|Employing|Adopting|Utilizing|Utilising|Exploiting|Analyzing|Analysing|Comparing|Via) "
)
_MEANS = re.compile(
    r"^(?P<object>.{8,140}?),? (?P<how>(?:by (?=\w+ing\b)|using |through (?!the\b)|via |by means of |with the help of |employing |utilizing )(?P<means>.+))$"
)
_OBJECT_END = re.compile(
    r"[,;:()]|\b(?:and (?:find|show|discuss|compare|test|use|apply|derive)|which|who|where|while|whereas|so that|finding|showing|revealing|yielding|resulting)\b"
)


def methods(asker: Asker, sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """“Using X, the authors measure Y” → “How do the authors of “T” measure Y?”."""
    for saying in sayings:
        if saying.is_claim or saying.verb in {
            "use",
            "employ",
            "utilize",
            "utilise",
            "adopt",
            "aim to",
            "intend to",
            "present",
            "find",
        }:
            continue
        found = _MEANS.match(saying.rest)
        if _MEANS_LEAD.match(saying.lead):
            thing, how = saying.rest, saying.lead[0].lower() + saying.lead[1:]
        elif found and not saying.lead:
            thing, how = found.group("object"), found.group("how")
        else:
            continue
        if not _is_object(thing):
            continue
        plain = saying.told.plain(thing)
        question = asker.wording(_HOW, plain, do=saying.tense, verb=saying.verb, O=plain)
        yield from asker.candidate(
            "article-method", "method", question, f"how the authors of {asker.title} {saying.verb} {plain}", [saying.told],
            key=saying.told.plain(re.split(r",? and (?:find|show|discuss|compare|test|use|apply|derive)\b|;", how)[0]),
        )  # fmt: skip


def _is_object(thing: str) -> bool:
    """Whether a text can stand behind the verb of a question: one phrase, nothing that points back."""
    if _OBJECT_END.search(thing) or not 2 <= len(thing.split()) <= 22 or english.PRONOUN.search(thing):
        return False
    return english.context_need(f"How is {thing} done?", frozenset(english.words(thing)))[0] != "drop" and not re.match(
        r"(?:how|whether|why|what|if)\b", thing
    )


_TO_DO = (
    "What {do} the authors of {T} do to {O}?",
    "What {do} the authors of {T} do in order to {O}?",
    "Which steps {do} the authors of {T} take to {O}?",
)
_PURPOSE_LEAD = re.compile(r"^(?:In order to|To) (?P<object>(?P<base>[a-z]+) .+)$")
_USED_FOR = re.compile(r"^(?P<means>.{6,160}?) (?:in order )?to (?P<object>(?P<base>[a-z]+) .{6,})$")


def purposes(asker: Asker, sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """“To V O, the authors …”, “The authors use X to V O” → what they do, or use, to V O."""
    for saying in sayings:
        found = _PURPOSE_LEAD.match(saying.lead)
        forms: tuple[str, ...] = _TO_DO
        if (
            not found
            and saying.verb in {"use", "employ", "utilize", "utilise", "apply", "combine", "leverage"}
            and not saying.lead
        ):
            found = _USED_FOR.match(saying.rest)
            forms = (
                "What {do} the authors of {T} {verb} to {O}?",
                "In {T}, what {do} its authors {verb} to {O}?",
                "What {do} the authors of {T} {verb} in order to {O}?",
            )
        if (
            not found
            or not _is_object(found.group("object"))
            or found.group("base") in {"date", "the", "a", "an", "this", "be"}
            or found.group("base").endswith("ing")  # "an approach to casting"
        ):
            continue
        plain = saying.told.plain(found.group("object"))
        question = asker.wording(forms, plain, do=saying.tense, verb=saying.verb, O=plain)
        yield from asker.candidate(
            "article-purpose",
            "purpose",
            question,
            f"what the authors of {asker.title} {saying.verb} to {plain}",
            [saying.told],
        )


_IMPLY = (
    "What do the results of {T} {verb} about {S}?",
    "According to the results of {T}, what holds for {S}?",
    "What follows from {T} for {S}?",
    "Which conclusion about {S} is drawn in {T}?",
)
_IMPLY_ALL = (
    "What do the results of {T} {verb}?",
    "Which conclusion is drawn from the results of {T}?",
    "What follows from the results given in {T}?",
)


def implications(asker: Asker, _sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """“The authors’ results suggest that X …” → “What do the results of “T” suggest about X?”."""
    open_ones: list[tuple[str, Told]] = []
    for told in asker.article.told:
        found = _EVIDENCE.match(told.text.rstrip("."))
        if not found or re.search(r"\bauthors\b", found.group("rest")):
            continue
        verb = english.THIRD.get(found.group("verb"), english.PAST.get(found.group("verb"), found.group("verb")))
        verb = verb.replace("points to", "point to")
        subject = asker.subject(found.group("rest"), told.place) if found.group("that") else None
        if subject and verb in {"suggest", "show", "indicate", "demonstrate", "reveal", "imply"}:
            plain = told.plain(subject)
            question = asker.wording(_IMPLY, plain, S=plain, verb=verb)
            yield from asker.candidate(
                "article-implication", "finding", question, f"what {asker.title} says about {plain}", [told]
            )
        else:
            open_ones.append((verb, told))
    num_all = sum(
        bool(
            re.search(
                r"\b(?:results?|findings?|analys[ei]s) (?:[a-z]+ly )?(?:suggest|show|indicate|demonstrate|reveal|imply|confirm|highlight|support)",
                text,
            )
        )
        for text in asker.article.texts
    )
    if 1 <= len(open_ones) <= _MAX_TOGETHER and num_all <= len(open_ones):
        verb = open_ones[0][0] if len(open_ones) == 1 else "show"
        question = asker.wording(_IMPLY_ALL, "all", verb=verb)
        yield from asker.candidate(
            "article-implication",
            "finding",
            question,
            f"what follows from {asker.title}",
            [told for _, told in open_ones],
        )


def is_evidence(told: Told) -> bool:
    """Whether a sentence tells what the results show."""
    return _EVIDENCE.match(told.text) is not None


@dataclass(frozen=True)
class Stated:
    """What an abstract states of the world, with no word on who says so.

    Attributes:
        told: its sentence.
        clause: masked, without its full stop; behind "find that" it is what is found.
    """

    told: Told
    clause: str


def stated_of(article: Article, sayings: Sequence[Saying]) -> list[Stated]:
    """The clauses that an abstract states: whole sentences, and what the authors or their results say."""
    claims = {one.told.place: one.rest.removeprefix("that ") for one in sayings if one.is_claim}
    spoken = {one.told.place for one in sayings}
    found = []
    for told in article.told:
        evidence = _EVIDENCE.match(told.text.rstrip("."))
        if told.place in claims:
            found.append(Stated(told, claims[told.place]))
        elif evidence and evidence.group("that"):
            found.append(Stated(told, evidence.group("rest")))
        elif not evidence and told.place not in spoken and not told.text.startswith(("The authors ", "The article ")):
            found.append(Stated(told, told.text.rstrip(".")))
    return found


#: Asks about what an article states, and about all that it says.
Part = Callable[[Asker, Sequence[Stated], Sequence[Saying]], Iterator[Candidate]]


def asked_by(parts: Sequence[Part], reading: Reading) -> Iterator[Candidate]:
    """The questions of some parts about an article; none of what is no article."""
    article = article_of(reading)
    if article is None:
        return
    asker = Asker(reading, article)
    sayings = sayings_of(article)
    stated = stated_of(article, sayings)
    for part in parts:
        yield from part(asker, stated, sayings)


PARTS: tuple[Callable[[Asker, Sequence[Saying]], Iterator[Candidate]], ...] = (
    findings,
    aims,
    methods,
    purposes,
    implications,
)


def articles(reading: Reading) -> Iterator[Candidate]:
    """All questions about an article by name; none of what is no article."""
    article = article_of(reading)
    if article is None:
        return
    asker = Asker(reading, article)
    sayings = sayings_of(article)
    asked: set[str] = set()
    for part in PARTS:
        for candidate in part(asker, sayings):
            if candidate.question not in asked:
                asked.add(candidate.question)
                yield candidate


RULES: dict[str, Rule] = {"article": articles}
