"""Questions that set two things side by side, as an article does: which is more, what agrees with what, what differs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from sagecraft.literature import english
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate, Rule
from sagecraft.synthesis.rules.articles import Stated, sayings_of, stated_of
from sagecraft.synthesis.rules.asker import Asker, is_plural, predicate
from sagecraft.synthesis.rules.reported import article_of
from sagecraft.synthesis.shapes import clean_tail

_COMPARE = (
    "According to {T}, how {do} {S} compare with {Y}?",
    "How {do} {S} compare with {Y} in {T}?",
    "What does {T} say of {S} as against {Y}?",
    "Set beside {Y}, what {be} {S} like, according to {T}?",
    "What comes out in {T} where {S} {be} compared with {Y}?",
    "Going by {T}, in what relation {do} {S} stand to {Y}?",
)
_THAN = re.compile(
    r"\b(?!(?:rather|other|further|whether|earlier|later|no|not)\b)(?:more|less|fewer|worse|\w{3,}er)\b(?: (?!that\b|which\b)[\w-]+){0,5} than (?P<other>.+)$"
)
_ALIKE = re.compile(
    r"\b(?:comparable|similar|identical|(?:(?:\w{3,}er|more|less|fewer|worse|reduc\w+|increas\w+|enhanc\w+|improv\w+|drop\w*|higher) (?:[\w-]+ ){0,5})compared|differs?|differ|different|distinct)(?: \w+ly)? (?:with|to|from) (?P<other>.+)$"
)
_IS_OR_HAS = re.compile(
    r"^ (?:is|are|was|were|remains?|appears?|seems?|differs?|has|have|shows?|exhibits?|achieves?|achieve)\b"
)
#: What is compared is then not the subject.
_OF_ANOTHER = re.compile(
    r",|\b(?:that|which|if|when|whether|by|additional|caus\w+|mak\w+|lets?|allows?|enables?|requires?|must|finds?|suggests?|predicts?|expect\w*|offers?|produc\w+|as|reasons?|impl\w+|assum\w+|accommodat\w+|requir\w+|needs?|needed|hypothes\w+|while|whereas|because|why|to be|(?:used|intended|employed|designed|meant) to)\b"
)
#: No thing of its own: "than expected", "than a factor of two", "with each other".
_NO_OTHER = re.compile(
    r"^(?:expected|needed|required|feasible|possible|typical|usual|normal|previous\w*|a factor|an order|the expected|most|all|any|other|others|earlier|those (?:that|which|with|who|previously|reported|found|obtained|predicted|expected)|"
    r"what|each|one|the (?:data|observations?|observed|measured|literature|results?|model|models)\b$|observations?$|data$)\b|^[\d\ue000~<>]"
)


def comparisons(asker: Asker, stated: Sequence[Stated]) -> Iterator[Candidate]:
    """“X is larger than Y”, “X agrees with Y” → “According to “T”, how does X compare with Y?”."""
    for one in stated:
        subject = asker.subject(one.clause, one.told.place)
        behind = predicate(one.clause, subject) if subject else ""
        found = _THAN.search(behind) or (_ALIKE.search(behind) if _IS_OR_HAS.match(behind) else None)
        if not subject or not found or _OF_ANOTHER.search(behind[: found.start()]):
            continue
        # "They have peaks brighter than those of others": "those" are then the peaks.
        if found.group("other").startswith(("those ", "that ")) and not re.match(r" (?:is|are|was|were)\b", behind):
            continue
        other = _other(asker, subject, found.group("other"), one)
        if other is None:
            continue
        plain, thing = one.told.plain(subject), one.told.plain(other)
        is_many = is_plural(subject)
        question = asker.wording(
            _COMPARE, plain, S=plain, Y=thing, do="do" if is_many else "does", be="are" if is_many else "is"
        )
        yield from asker.candidate(
            "article-comparison", "comparison", question, f"{plain} as against {thing}", [one.told]
        )


_BESIDE_WHAT = (
    "With what does {T} compare {S}, and how does it come out?",
    "Which comparison of {S} with something else does {T} make?",
    "What does {T} set {S} beside, and with what result?",
    "In {T}, with what {be} {S} compared, and what is found?",
    "How {do} {S} fare beside other things, according to {T}?",
    "Going by {T}, what comes of comparing {S} with others?",
)
_BESIDES = re.compile(
    r"^[^,;:]*?(?:\b(?!(?:rather|other|further|earlier|later|no|not)\b)(?:more|less|fewer|worse|better|\w{3,}er)\b(?: [\w-]+){0,5}(?<! more)(?<! less) than (?!\d|\ue000|about|a |an order|one|two|expected|needed|required|half|those\b.*\bthat\b)|"
    r"\b(?:compared|relative|comparable|similar|identical) to (?!\d|\ue000)|\bdiffers? from |\bdifferent from )"
)


def besides(asker: Asker, stated: Sequence[Stated]) -> Iterator[Candidate]:
    """“X is larger than all that …” → “With what does “T” compare X, and how does it come out?”; of one thing, all together."""
    groups: dict[str, list[Stated]] = {}
    for one in stated:
        subject = asker.subject(one.clause, one.told.place)
        is_bare = subject is not None and len(subject.split()) == 1 and subject.islower()
        if not subject or is_bare or any(True for _ in comparisons(asker, [one])):
            continue
        behind = predicate(one.clause, subject)
        found = _BESIDES.match(behind)
        if found and not _OF_ANOTHER.search(found.group(0)) and not re.search(r"\band\b", found.group(0)):
            groups.setdefault(one.told.plain(subject), []).append(one)
    for plain, group in groups.items():
        is_many = is_plural(plain)
        question = asker.wording(
            _BESIDE_WHAT, plain, S=plain, do="do" if is_many else "does", be="are" if is_many else "is"
        )
        yield from asker.candidate(
            "article-comparison", "comparison", question, f"what {plain} is compared with", [one.told for one in group]
        )


def _other(asker: Asker, subject: str, text: str, one: Stated) -> str | None:
    """What something is compared with, as a question can name it: "those of Y" becomes "the masses of Y"."""
    other = re.split(r" \(|,| by a | by \d| by \ue000| following | with high ", clean_tail(text))[0]
    other = re.sub(r"^(?:both|either) ", "", other)
    if _NO_OTHER.match(other):
        return None
    if stands_for := re.match(r"^(?:those|that) (?=(?:of|in|from|for|at) )", other):
        core = re.split(rf" (?:{'|'.join(english.PREPOSITIONS)}) ", subject)[0]
        other = f"{core} {other[stands_for.end() :]}"
    if (
        re.search(r"\b(?:those|that)\b|[’']s$|[<>=]", other)
        or not english.is_noun_phrase(other, 12)
        or not asker.phrase(other, one.told.place)
    ):
        return None
    return other


_IN_TUNE = (
    "With what {be} {S} in agreement or at odds, according to {T}?",
    "What does {T} say {S} {agree} or {disagree} with?",
    "According to {T}, what {be} {S} in line, or not in line, with?",
    "With what does {T} find {S} to agree or to disagree?",
    "What {do} {S} agree or disagree with, going by {T}?",
    "In {T}, what {be} {S} said to be consistent or inconsistent with?",
)
_AGREES = re.compile(
    r"^(?: (?!that\b|which\b|if\b|when\b)[\w-]+){0,6}? (?:agrees?|agreed|consistent|inconsistent|compatible|incompatible|agreement|disagreement|tension|odds|in line)"
    r"(?: \w+ly| well)? with .+$"
)


def tunes(asker: Asker, stated: Sequence[Stated]) -> Iterator[Candidate]:
    """“X agrees with Y” → “With what does “T” find X to agree or to disagree?”; of one thing, all sentences together."""
    groups: dict[str, list[Stated]] = {}
    for one in stated:
        subject = asker.subject(one.clause, one.told.place)
        if subject and _AGREES.match(predicate(one.clause, subject)):
            groups.setdefault(one.told.plain(subject), []).append(one)
    for plain, group in groups.items():
        is_many = is_plural(plain)
        question = asker.wording(
            _IN_TUNE, plain, S=plain, do="do" if is_many else "does", be="are" if is_many else "is",
            agree="agree" if is_many else "agrees", disagree="disagree" if is_many else "disagrees",
        )  # fmt: skip
        yield from asker.candidate(
            "article-agreement", "comparison", question, f"what {plain} agrees with", [one.told for one in group]
        )


_BESIDE = (
    "{T} reports that {C}. With what is it said to agree or to disagree?",
    "According to {T}, {C}. What is it in line, or at odds, with?",
    "It is found in {T} that {C}. What is that consistent or inconsistent with?",
    "What does {T} set beside the finding that {C}?",
    "What does {T} say is in line, or at odds, with it that {C}?",
    "{T} finds that {C}. To what is it likened or opposed?",
)
_IN_LINE = re.compile(
    r"^(?P<head>.{20,}?), (?:\w+ly |but |and |fully |which (?:is|are) |being )*(?:consistent with|in (?:\w+ )?(?:agreement|line|accord|tension|contrast|disagreement) (?:with|to)|"
    r"agreeing with|matching|comparable (?:to|with)|similar to|compared (?:to|with)|unlike|as opposed to|as expected|as predicted|contrary to|exceeding) .{5,}$"
)


def agreements(asker: Asker, stated: Sequence[Stated]) -> Iterator[Candidate]:
    """“X is so, consistent with Y” → “… X is so. What is it in line with?”."""
    for one in stated:
        found = _IN_LINE.match(one.clause)
        clause = asker.clause(found.group("head"), one.told.place) if found else None
        if clause is None:
            continue
        plain = one.told.plain(clause)
        yield from asker.candidate(
            "article-agreement", "comparison", asker.wording(_BESIDE, plain, C=plain), f"what it is compared with that {plain}",
            [one.told],
        )  # fmt: skip


_CONTRAST = (
    "What contrast does {T} draw between {S} and {Y}?",
    "What does {T} say of {S} as against {Y}?",
    "According to {T}, what is to be said of {S} on the one hand and of {Y} on the other?",
    "How does {T} set {S} against {Y}?",
    "What does {T} tell of {S}, and what by contrast of {Y}?",
    "What does {T} state about {S} on the one side and {Y} on the other?",
)
_WHEREAS = re.compile(r"^(?P<one>[^;:]{15,}?),? (?:whereas|while) (?P<two>[^;:]{15,})$")
_WHILE_FIRST = re.compile(r"^(?:While|Whereas) (?P<one>[^;:]{15,}?), (?P<two>[^;:]{15,})$")


def contrasts(asker: Asker, stated: Sequence[Stated]) -> Iterator[Candidate]:
    """“X is so, whereas Y is not” → “What contrast does “T” draw between X and Y?”."""
    for one in stated:
        found = _WHILE_FIRST.match(one.clause) or _WHEREAS.match(one.clause)
        if found is None or re.search(
            r"\bthat\b|\beven$|\b(?:additional|other|another)\b", found.group(0).replace("than that", "")
        ):
            continue
        sides = [
            asker.subject(found.group(side)[0].upper() + found.group(side)[1:], one.told.place)
            for side in ("one", "two")
        ]
        if not all(side and asker.phrase(side, one.told.place) for side in sides) or sides[0] == sides[1]:
            continue
        plain, thing = (one.told.plain(side) for side in sides if side)
        question = asker.wording(_CONTRAST, plain, S=plain, Y=thing)
        yield from asker.candidate(
            "article-contrast", "comparison", question, f"{plain} as against {thing}", [one.told]
        )


_STILL = (
    "{T} grants that {C}. What does it state nevertheless?",
    "According to {T}, {C}. Which qualification comes with it?",
    "{C2}: what does {T} set against it?",
    "It is said in {T} that {C}. What is the other side of it?",
    "What holds in spite of it, according to {T}, that {C}?",
    "Although {C}, what does {T} say?",
)
_ALTHOUGH = re.compile(
    r"^(?:Although|Though|Even though|While|Despite the fact that) (?P<one>[^;:]{12,}?), (?P<two>[^;:]{15,})$"
)
_ALTHOUGH_LAST = re.compile(r"^(?P<one>[^;:]{15,}?), (?:although|though|even though|but|yet) (?P<two>[^;:]{12,})$")


def concessions(asker: Asker, stated: Sequence[Stated]) -> Iterator[Candidate]:
    """“Although X, Y” → “… grants that X. What does it state nevertheless?”."""
    for one in stated:
        if any(True for _ in contrasts(asker, [one])):
            continue
        found = _ALTHOUGH.match(one.clause) or _ALTHOUGH_LAST.match(one.clause)
        clause = asker.clause(found.group("one"), one.told.place) if found else None
        if clause is None or re.search(r"\bnot (?:only|just|merely)\b", clause):
            continue
        plain = one.told.plain(clause)
        question = asker.wording(_STILL, plain, C=plain, C2=plain[0].upper() + plain[1:])
        yield from asker.candidate(
            "article-concession", "comparison", question, f"what stands against it that {plain}", [one.told]
        )


PARTS: tuple[Callable[[Asker, Sequence[Stated]], Iterator[Candidate]], ...] = (
    comparisons, besides, tunes, agreements, contrasts, concessions,
)  # fmt: skip


def compared(reading: Reading) -> Iterator[Candidate]:
    """All of these questions about an article; none of what is no article."""
    article = article_of(reading)
    if article is None:
        return
    asker = Asker(reading, article)
    stated = stated_of(article, sayings_of(article))
    for part in PARTS:
        yield from part(asker, stated)


RULES: dict[str, Rule] = {"compared": compared}
