"""Questions about what an article works with, what is new in it, what it is good for, and what it leaves for later.

Each is answered by every sentence of the abstract that tells of it; where one of them cannot be told, it is not asked.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator

from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate, Rule
from sagecraft.synthesis.rules.articles import is_evidence
from sagecraft.synthesis.rules.asker import Asker
from sagecraft.synthesis.rules.reported import LISTS, Told, article_of

_MAX_TOGETHER = 3
_MAX_WORDS = 130


def _all_told(asker: Asker, pattern: re.Pattern[str], first: int) -> list[Told]:
    """The sentences from a place on in which a pattern stands; none where one of them cannot be told, or where they are too many."""
    places = [place for place, text in enumerate(asker.article.texts) if place >= first and pattern.search(text)]
    told = [one for one in asker.article.told if one.place in places]
    is_whole = len(told) == len(places) <= _MAX_TOGETHER
    return told if is_whole and sum(len(one.text.split()) for one in told) <= _MAX_WORDS else []


_OUTLOOK = (
    "What outlook does {T} give?",
    "What does {T} say of the future?",
    "Which future uses, surveys or studies does {T} speak of?",
    "What do the authors of {T} look ahead to?",
    "Looking ahead, what does {T} say?",
    "What is said in {T} with a view to the future?",
)
_FUTURE = re.compile(
    r"\b(?:[Ff]uture|[Uu]pcoming|[Ff]orthcoming|next[- ]generation|in the coming (?:years|decade))\b(?! of\b)|\bwill (?:\w+ly )?(?:enable|allow|provide|help|improve|require|reveal|make|benefit|deliver|be (?:able|possible|crucial|essential|needed|useful))\b|"
    r"\b(?:[Ff]urther|[Aa]dditional|[Mm]ore|[Dd]eeper|[Ll]arger) (?:[\w-]+ )?(?:observations?|studies|work|data|samples?|investigations?|research|analys[ei]s) (?:\w+ ){0,6}(?:needed|required|necessary|warranted|essential)\b"
)


def outlooks(asker: Asker) -> Iterator[Candidate]:
    """Sentences behind the first on the work itself that speak of what is to come."""
    told = _all_told(asker, _FUTURE, asker.article.first_own + 1)
    if told:
        yield from asker.candidate(
            "article-outlook", "consequence", asker.wording(_OUTLOOK, "outlook"), f"the outlook of {asker.title}", told
        )


_NEW = (
    "What is done, shown or seen for the first time in {T}?",
    "What is new in {T}?",
    "Which first does {T} report?",
    "What does {T} bring that is new?",
    "What is said in {T} to be the first, or to be done for the first time?",
    "Which novelty does {T} lay claim to?",
)
_FIRST = re.compile(
    r"\bfor the first time\b(?! (?:step|since))|\b(?:present|report|provide|perform|conduct|represent|mark|constitute|publish|deliver|describe|make|obtain|yield|offer|announce|release|achieve|is|are|was|were|being|as|with|enabl|produc)"
    r"(?:e|ed|es|s|d|ing)? (?:[a-z]+ )?the (?:very )?first (?!of\b|two\b|three\b|few\b|half\b|and\b|or\b|order\b|to\b|\d|\ue000|year\b|step\b|case\b|group\b|generation\b|light\b|time\b|component\b|phase\b|"
    r"stage\b|part\b|years\b|peak\b|season\b|epoch\b|paper\b|in a series)[a-z-]+"
)


def firsts(asker: Asker) -> Iterator[Candidate]:
    """What the article says is done for the first time."""
    own = [told for told in _all_told(asker, _FIRST, 0) if told.place >= asker.article.first_own]
    if own and len(own) == len(_all_told(asker, _FIRST, 0)):
        yield from asker.candidate(
            "article-first", "finding", asker.wording(_NEW, "new"), f"what is new in {asker.title}", own
        )


_DATA = (
    "On which data or simulations does {T} rest?",
    "Which observations, data or simulations are used in {T}?",
    "What do the authors of {T} work with?",
    "Where do the data or simulations of {T} come from?",
    "What material is the work in {T} based on?",
    "From which data or simulations are the results of {T} drawn?",
)
_STUFF = "observations?|data|datasets?|spectra|images|imaging|spectroscopy|photometry|catalogu?e?s?|simulations?|light ?curves?|archives?|samples?|surveys?"
#: Of a name: "observations with the Great Bell", "Great Bell data".
_MATERIAL = re.compile(
    rf"\b[A-Z][\w/+.-]*[A-Za-z\d](?: [\w/+.-]+){{0,3}} (?:{_STUFF})\b|\b(?:{_STUFF})\b(?: [a-z-]+){{0,4}} (?:from|with|of|by|in) (?:the )?[A-Z][\w/+-]+"
)
_WORKS_WITH = re.compile(
    r"^(?:(?:Using|Based on|From|Combining|With|Analyzing|Analysing|By (?:using|combining|analyzing|analysing)|Leveraging|Employing|Applying)\b|"
    r"The (?:authors|article) (?:have )?(?:use|uses|used|analy[sz]e|analy[sz]es|analy[sz]ed|combine|combined|employ|employed|present|presents|presented|obtained|utili[sz]e|utili[sz]ed|leverage|perform|performed|study|studied|report|select|selected|cross-match|make use|compile|compiled|collected|investigate|examine|explore)\b)"
)


def materials(asker: Asker) -> Iterator[Candidate]:
    """All sentences from the first on the work itself that name data, observations or simulations it works with."""
    places = [
        place for place, text in enumerate(asker.article.texts)
        if place >= asker.article.first_own and _MATERIAL.search(text) and not _FUTURE.search(text)
    ]  # fmt: skip
    own = [told for told in asker.article.told if told.place in places and _WORKS_WITH.match(told.text)]
    if own and len(own) == len(places) <= _MAX_TOGETHER and sum(len(one.text.split()) for one in own) <= _MAX_WORDS:
        yield from asker.candidate(
            "article-material", "method", asker.wording(_DATA, "data"), f"what {asker.title} works with", own
        )


_USE = (
    "What is the work described in {T} good for?",
    "Of what importance are the results of {T}, as the article has it?",
    "What does {T} contribute, in its own view?",
    "Why does the work in {T} matter, according to the article?",
    "What significance is claimed for the work in {T}?",
    "What do the results of {T} make possible or show to be of importance?",
)
_OF_USE = re.compile(
    rf"^(?:[Tt]he|[Tt]his|[Tt]hese|[Oo]ur|[Tt]ogether, these|[Oo]verall, (?:our|this|these)) (?:present |proposed |new |resulting )?(?:article|{'|'.join(LISTS['work'].split())}) "
    r"(?:\w+ly |also |thus |therefore |can |will |may |further )*(?:offers?|lays?|contributes?|opens?|paves?|enables?|underscores?|highlights?|emphasi[sz]es?|motivates?|advances?|informs?|guides?|bridges?|complements?|demonstrates? the|establish(?:es)? (?:an?|the)|serves? as|"
    r"illustrates?|reinforces?|provides? (?:an?|the|new|important|key|valuable|strong|further|critical|crucial|insights?))\b"
)


def uses(asker: Asker) -> Iterator[Candidate]:
    """What the article, its results or its method are said to offer, to open, to underscore."""
    told = _all_told(asker, _OF_USE, asker.article.first_own + 1)
    if told:
        yield from asker.candidate(
            "article-use", "consequence", asker.wording(_USE, "use"), f"what {asker.title} is good for", told
        )


_GOAL = (
    "What is the aim of the work described in {T}?",
    "What do the authors of {T} set out to do?",
    "What goal does {T} pursue?",
    "To what end was the work in {T} done?",
    "What is the purpose of {T}?",
    "What is {T} meant to achieve?",
)
_AIMED = re.compile(
    r"\b(?:aims?|goals?|objectives?|purpose)\b(?: (?:of|in) (?:this|the present|our) [^,;:]{3,40})?,? (?:is|was|are|were) (?:therefore |thus |then )?to\b"
)


def goals(asker: Asker) -> Iterator[Candidate]:
    """“The aim is to …” → what the aim of the work is, all that is said of it."""
    told = [
        one
        for one in _all_told(asker, _AIMED, 0)
        if re.match(r"(?:The )?(?:[\w’]+ ){0,3}(?:aims?|goals?|objectives?|purpose)\b", one.text)
    ]
    if told and len(told) == len(_all_told(asker, _AIMED, 0)):
        yield from asker.candidate(
            "article-goal", "purpose", asker.wording(_GOAL, "goal"), f"the aim of {asker.title}", told
        )


_OWN = (
    "What does {T} say about the {W} it speaks of?",
    "In {T}, what is told of the {W}?",
    "What is said of the {W} in {T}?",
    "What can be learned from {T} about its {W}?",
    "How does {T} describe its {W}?",
    "According to {T}, what is to be said of its {W}?",
)
_OWN_THING = re.compile(
    rf"^(?:The authors’|The|Our) (?:(?:proposed|new|resulting|presented|developed|full|final|novel|present) )?(?P<what>{'|'.join(LISTS['own'].split())}),? (?!(?:of|for|in|with|from|on|and|at|to|by|between|that|which)\b)(?=[a-z])"
)


def own_things(asker: Asker) -> Iterator[Candidate]:
    """“The code does …” → what the article says of its code; all sentences on it answer together."""
    groups: dict[str, list[Told]] = defaultdict(list)
    for told in asker.article.told:
        found = _OWN_THING.match(told.text)
        if found and told.place >= asker.article.first_own and not is_evidence(told):
            groups[found.group("what")].append(told)
    for what, group in groups.items():
        opening = re.compile(rf"^(?:[A-Z]\w+, )?(?:[Tt]he|[Oo]ur|[Tt]his) (?:[a-z]+ )?{what},? (?!of\b|for\b)")
        num_all = sum(bool(opening.match(text)) for text in asker.article.texts[asker.article.first_own :])
        if num_all == len(group) <= _MAX_TOGETHER:
            question = asker.wording(_OWN, what, W=what)
            yield from asker.candidate("article-own", "method", question, f"the {what} of {asker.title}", group)


PARTS: tuple[Callable[[Asker], Iterator[Candidate]], ...] = (outlooks, firsts, materials, uses, goals, own_things)


def outlook(reading: Reading) -> Iterator[Candidate]:
    """All of these questions about an article; none of what is no article."""
    article = article_of(reading)
    if article is None:
        return
    asker = Asker(reading, article)
    for part in PARTS:
        yield from part(asker)


RULES: dict[str, Rule] = {"outlook": outlook}
