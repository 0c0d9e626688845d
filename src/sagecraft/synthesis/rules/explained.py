"""Questions about why things are so, what follows from them, and what happens if they change, as an article has it.

A sentence with two parts (“X because Y”, “X, leading to Y”, “if X, Y”) is asked for the one by the other. The part that is
given stands in the question as a clause of its own, so that nothing has to be turned round.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sagecraft.literature import english
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate, Rule
from sagecraft.synthesis.rules.articles import Part, Saying, Stated, asked_by
from sagecraft.synthesis.rules.asker import LEAD_WORDS, Asker, is_plural, predicate
from sagecraft.synthesis.shapes import clean_tail

_WHY = (
    "What reason does {T} give for the fact that {C}?",
    "How does {T} explain that {C}?",
    "According to {T}, why is it that {C}?",
    "{T} says that {C}. Why is it so?",
    "It is stated in {T} that {C}. Which reason is given for it?",
    "What lies behind it, according to {T}, that {C}?",
)
_BECAUSE = re.compile(
    r"^(?P<head>[^;:]{15,}?),? (?:because(?: of)?|owing to|due to|as a (?:result|consequence) of|thanks to|on account of) (?P<reason>.{8,})$"
)
_BECAUSE_FIRST = re.compile(
    r"^(?:Because(?: of)?|Due to|Owing to|Thanks to|As a (?:result|consequence) of) (?P<reason>[^,;:]{8,120}), (?P<head>.{15,})$"
)
#: Words before "because" that belong to it.
_DEGREE = re.compile(r",? (?:\w+ly|in part|either|perhaps|simply|just|both|not only|most likely)$")
_BE_END = re.compile(r"\b(?:is|are|was|were|be|been|being|not)$")


def causes(asker: Asker, stated: Sequence[Stated], _sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """“X because of Y” → “How does “T” explain that X?”."""
    for one in stated:
        led = _BECAUSE_FIRST.match(one.clause)
        found = led or _BECAUSE.match(one.clause)
        if found is None:
            continue
        head = _DEGREE.sub("", found.group("head"))
        # "The scatter due to dust is large": what is due to it is then no clause.
        if led is None and (_BE_END.search(head) or re.search(r"\bnot\b", head)):
            continue
        # "… to remove the noise due to cold": it belongs to what stands before it.
        if led is None and " due to " in found.group(0) and re.search(r"\bto [a-z]+ [^,]*$", head):
            continue
        clause = asker.clause(head if led is None else head[0].upper() + head[1:], one.told.place)
        if clause is None or (led is None and _is_within_phrase(found.group("reason"), found.group(0))):
            continue
        plain = one.told.plain(clause)
        yield from asker.candidate(
            "article-cause", "cause", asker.wording(_WHY, plain, C=plain), f"why {plain}", [one.told]
        )


def _is_within_phrase(reason: str, whole: str) -> bool:
    """Whether "due to" only belongs to a phrase within the sentence: the verb of the main clause stands behind it."""
    return "due to" in whole and re.search(r"^(?:[\w-]+ ){1,6}(?:is|are|was|were|has|have)\b", reason) is not None


_SOURCE = (
    "What does {T} name as the origin of {S}?",
    "According to {T}, where {do} {S} come from?",
    "To what {be} {S} put down in {T}?",
    "What stands behind {S}, according to {T}?",
    "What explanation of {S} is given in {T}?",
    "How does {T} account for {S}?",
)
_SET_BY = (
    "According to {T}, what {v} {S}?",
    "As {T} has it, what {v} {S}?",
    "What {v} {S}, according to {T}?",
    "In the view taken in {T}, what {v} {S}?",
    "Going by {T}, what is it that {v} {S}?",
    "What does {T} say {v} {S}?",
)
_ORIGIN = re.compile(
    r"^(?P<subject>.{3,110}?) (?P<aux>is|are|was|were|(?:may|might|can|could|must|should|would|will) be|has been|have been|to be)"
    r"(?: (?:\w+ly|most likely|in part|thought to be|believed to be|likely to be|found to be))* "
    r"(?P<verb>caused|driven|powered|explained|triggered|due|attributed|attributable|induced|governed|controlled|"
    r"dominated|determined|set|shaped|regulated|limited|influenced|affected|supplied|fed|heated|sustained|supported|mediated) (?P<by>by|to) (?P<rest>.{6,})$"
)
_ORIGIN_VERB = re.compile(
    r"^(?P<subject>.{3,110}?) (?:(?:may|might|can|could|must|should|would|will) )?(?:\w+ly )?(?P<verb>arises?|results?|originates?|stems?|comes?|emerges?) (?:\w+ly )?from (?P<rest>.{6,})$"
)
_PRESENT = {
    "driven": "drives", "set": "sets", "fed": "feeds", "governed": "governs", "triggered": "triggers", "mediated": "mediates",
}  # fmt: skip
_ORIGINS = frozenset({"caused", "explained", "due", "attributed", "attributable"})
#: What is made by somebody, and what is drawn from data, has no cause of this sort.
_NO_EFFECT = re.compile(
    r"\b(?:evidence|constraints?|limits?|results?|data|samples?|measurements?|signals?|observations?|images?|catalogu?es?|maps?)\b"
)


def origins(asker: Asker, stated: Sequence[Stated], _sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """“X is caused by Y”, “X results from Y” → what is given as its origin; “X is governed by Y” → what governs it."""
    for one in stated:
        found = _ORIGIN.match(one.clause) or _ORIGIN_VERB.match(one.clause)
        if found is None:
            continue
        groups = found.groupdict()
        verb = groups["verb"]
        is_to = verb in ("due", "attributed", "attributable")
        if groups.get("by") and (groups["by"] == "to") != is_to:
            continue
        subject = _plain_subject(asker, groups["subject"], one)
        if (
            subject is None
            or subject.startswith(("a ", "an "))
            or re.match(r"\w+ing\b", groups["rest"])
            or _NO_EFFECT.search(subject)
        ):
            continue
        plain = one.told.plain(subject)
        if groups.get("by") is None or verb in _ORIGINS:
            is_many = is_plural(subject)
            question = asker.wording(
                _SOURCE, plain, S=plain, do="do" if is_many else "does", be="are" if is_many else "is"
            )
        else:
            active = _PRESENT.get(verb) or english.FORMS[_BASE_OF[verb]][0]
            question = asker.wording(_SET_BY, plain, S=plain, v=active)
        yield from asker.candidate("article-origin", "cause", question, f"what is behind {plain}", [one.told])


_BASE_OF = {participle: base for base, (_, _, participle) in english.FORMS.items()}


def _plain_subject(asker: Asker, phrase: str, one: Stated) -> str | None:
    """A noun phrase that a clause begins with, as it stands within a question."""
    led = re.match(rf"^(?:{LEAD_WORDS}) [^,;:]{{3,110}}, (?P<rest>.+)$", phrase)
    phrase = led.group("rest") if led else phrase
    if not english.is_noun_phrase(phrase) or not asker.phrase(phrase, one.told.place):
        return None
    if phrase.split()[-1] in english.POINTING_NOUNS and len(phrase.split()) < 3:
        return None
    return asker.lowered(phrase)


_THEN = (
    "{T} reports that {C}. What does it lead to?",
    "What follows, according to {T}, from the fact that {C}?",
    "According to {T}, {C}. What is the consequence?",
    "What does {T} say comes of the fact that {C}?",
    "It is said in {T} that {C}. With what effect?",
    "Which effect does it have, as {T} tells, that {C}?",
)
_HENCE = (
    "{T} reports that {C}. What is concluded from it?",
    "What does {T} infer from the fact that {C}?",
    "According to {T}, {C}. Which conclusion does that allow?",
    "In {T} it is found that {C}. What does it point to?",
    "Which inference does {T} draw from the fact that {C}?",
    "What does it tell, according to {T}, that {C}?",
)
_ADVERBS = r"(?:(?:\w+ly|thus|hence|in turn|therefore|even|also|further|thereby|often) )?"
_EFFECT = re.compile(
    rf"^(?P<head>.{{20,}}?), {_ADVERBS}(?:leading to|resulting in|producing|causing|yielding|making|allowing|enabling|preventing|giving rise to|"
    r"triggering|driving|creating|forming|reducing|increasing|enhancing|suppressing|improving|limiting|ensuring|facilitating|"
    r"complicating|hindering|hampering|biasing|affecting|altering|modifying|shifting|weakening|strengthening|boosting|"
    r"which (?:\w+ly )?(?:leads? to|results? in|allows?|enables?|makes?|causes?|produces?|may lead|can lead|could lead|prevents?|drives?|triggers?|affects?)) .{8,}$"
)
_INFERENCE = re.compile(
    rf"^(?P<head>.{{20,}}?), {_ADVERBS}(?:suggesting|indicating|implying|demonstrating|revealing|supporting|confirming|pointing to|pointing toward|"
    r"pointing towards|hinting at|hinting that|ruling out|favou?ring|disfavou?ring|showing|highlighting|underscoring|proving|establishing|"
    r"challenging|strengthening the|"
    r"which (?:\w+ly )?(?:suggests?|indicates?|implies|demonstrates?|reveals?|supports?|confirms?|points? to|hints? at)) .{8,}$"
)


def consequences(asker: Asker, stated: Sequence[Stated], _sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """“X, leading to Y” → “… X. What does it lead to?”; “X, suggesting Y” → “What does “T” infer from the fact that X?”."""
    for one in stated:
        for pattern, rule, kind, forms in (
            (_EFFECT, "article-consequence", "consequence", _THEN),
            (_INFERENCE, "article-inference", "derivation", _HENCE),
        ):
            found = pattern.match(one.clause)
            clause = asker.clause(found.group("head"), one.told.place) if found else None
            if clause is None:
                continue
            plain = one.told.plain(clause)
            yield from asker.candidate(
                rule, kind, asker.wording(forms, plain, C=plain), f"what follows from it that {plain}", [one.told]
            )
            break


_LEADS_TO = (
    "What {do} {S} lead to, according to {T}?",
    "According to {T}, what is the effect of {S}?",
    "Which consequence of {S} is described in {T}?",
    "What does {T} say {S} {brings} about?",
    "Which effect does {T} ascribe to {S}?",
    "How {do} {S} act on other things, according to {T}?",
)
_MADE_POSSIBLE = (
    "What {do} {S} make possible, according to {T}?",
    "According to {T}, what can be done with the help of {S}?",
    "Of what use {be} {S}, as {T} has it?",
    "What becomes possible through {S}, going by {T}?",
    "Which possibilities {do} {S} open, according to {T}?",
    "What does {T} say {S} {make} possible?",
)
_LEADS = re.compile(
    r"^ (?:(?:may|might|can|could|must|should|would|will) )?(?:\w+ly )?"
    r"(?P<verb>leads? to|led to|results? in|resulted in|gives? rise to|gave rise to|causes?|caused|produces?|produced|triggers?|triggered|prevents?|"
    r"prevented|drives?|suppress(?:es)?|suppressed|enhances?|enhanced|reduces?|reduced|affects?|affected|modif(?:y|ies|ied)|alters?|altered|"
    r"contributes? to|contributed to|induces?|induced|improves?|improved|allows?|allowed|enables?|enabled) (?!by\b)(?P<rest>.{8,})$"
)


def effects(asker: Asker, stated: Sequence[Stated], _sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """“X leads to Y” → “Which effect does “T” ascribe to X?”; two sentences on the effects of one thing answer together."""
    groups: dict[str, list[Stated]] = {}
    verbs: dict[str, set[str]] = {}
    for one in stated:
        subject = asker.subject(one.clause, one.told.place)
        found = _LEADS.match(predicate(one.clause, subject)) if subject and "authors" not in subject else None
        if subject and found:
            plain = one.told.plain(subject)
            groups.setdefault(plain, []).append(one)
            verbs.setdefault(plain, set()).add(found.group("verb")[:5])
    for plain, group in groups.items():
        is_many = is_plural(plain)
        question = asker.wording(
            _MADE_POSSIBLE if verbs[plain] <= {"allow", "enabl"} else _LEADS_TO, plain, S=plain, do="do" if is_many else "does",
            be="are" if is_many else "is", brings="bring" if is_many else "brings", make="make" if is_many else "makes",
        )  # fmt: skip
        yield from asker.candidate(
            "article-effect", "consequence", question, f"the effect of {plain}", [one.told for one in group]
        )


_CHANGE = (
    "According to {T}, how {do} {S} change if {Y} {c}?",
    "What happens to {S} if {Y} {c}, according to {T}?",
    "As {T} has it, what becomes of {S} if {Y} {c}?",
    "If {Y} {c}, how {do} {S} respond, going by {T}?",
    "Suppose that {Y} {c}: what does {T} say of {S}?",
    "In what way {do} {S} change, according to {T}, if {Y} {c}?",
)
_CHANGES = re.compile(
    r"^(?:(?:For|In|At|Among|Within) [^,;:]{3,90}, )?(?P<subject>[^,;:]{3,100}?) (?:(?:gradually|strongly|consistently|systematically|steadily|rapidly|markedly|significantly|slightly|sharply|monotonically|generally) )?(?P<verb>increases?|decreases?|rises?|falls?|grows?|declines?|drops?|strengthens?|weakens?|steepens?|flattens?|shrinks?|broadens?|diminish(?:es)?|"
    r"become \w+er|becomes \w+er|becomes? (?:more|less) \w+)(?: \w+ly)? (?:with|towards?|at) (?:an? )?(?P<how>increasing |decreasing |higher |lower |larger |smaller |greater )?(?P<other>[^,;:]{3,70}?)(?=$|,)"
)


def changes(asker: Asker, stated: Sequence[Stated], _sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """“X increases with Y” → “What happens to X if Y increases, according to “T”?”."""
    for one in stated:
        found = _CHANGES.match(one.clause)
        if found is None:
            continue
        how, other = (found.group("how") or "").strip(), clean_tail(found.group("other"))
        joint = found.group(0)[found.end("verb") :].split()
        if not how and "with" not in joint[:2]:
            continue
        subject = _plain_subject(asker, found.group("subject"), one)
        is_plain = english.is_noun_phrase(other, 7) and not re.match(r"(?:increase|decrease|\w{3,}er)\b", other)
        if subject is None or not is_plain or not asker.phrase(other, one.told.place):
            continue
        many = is_plural(other)
        be = "are" if many else "is"
        verb = {"": "increase", "increasing": "increase", "decreasing": "decrease"}.get(how)
        change = f"{be} {how}" if verb is None else verb if many else f"{verb}s"
        plain, thing = one.told.plain(subject), one.told.plain(other)
        question = asker.wording(_CHANGE, plain, S=plain, Y=thing, c=change, do="do" if is_plural(subject) else "does")
        yield from asker.candidate(
            "article-change", "what-if", question, f"what becomes of {plain} if {thing} {change}", [one.told]
        )


_DEPENDS = (
    "On what {do} {S} depend, or with what {do} {S2} vary, according to {T}?",
    "What does {T} say {S} {vary} with or {depend} on?",
    "What {be} {S} tied to, going by {T}?",
    "Which dependence of {S} does {T} report?",
    "According to {T}, what goes with a change of {S}?",
    "In {T}, what {do} {S} turn out to depend on or to go with?",
)
_DEPENDENT = re.compile(
    r"^ (?:can |may |could |must )?(?:\w+ly )?(?:(?:is|are|was|were) (?:\w+ly )?)?(?:(?:anti-?)?correlat(?:es?|ed)|depends?|depended|scales?|scaled|var(?:y|ies|ied)|evolves?|evolved|increases?|increased|decreases?|decreased|rises?|grows?|grew|declines?|declined|"
    r"linked|related|tied|associated|independent|dependent)(?: \w+ly| only| weakly| strongly| most)*(?: (?:with|on|upon|as a function of|to|of|towards?)) (?!\d|\ue000|time\b)"
)


def dependences(asker: Asker, stated: Sequence[Stated], sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """“X depends on Y”, “X correlates with Y” → “Which dependence of X does “T” report?”; of one thing, all sentences together."""
    groups: dict[str, list[Stated]] = {}
    for one in stated:
        subject = asker.subject(one.clause, one.told.place)
        if (
            subject
            and _DEPENDENT.match(predicate(one.clause, subject))
            and not any(True for _ in changes(asker, [one], sayings))
        ):
            groups.setdefault(one.told.plain(subject), []).append(one)
    for plain, group in groups.items():
        many = is_plural(plain)
        question = asker.wording(
            _DEPENDS, plain, S=plain, S2="they" if many else "it", do="do" if many else "does", be="are" if many else "is",
            vary="vary" if many else "varies", depend="depend" if many else "depends",
        )  # fmt: skip
        yield from asker.candidate(
            "article-dependence", "relation", question, f"what {plain} depends on", [one.told for one in group]
        )


PARTS: tuple[Part, ...] = (
    causes, origins, consequences, effects, changes, dependences,
)  # fmt: skip


def explained(reading: Reading) -> Iterator[Candidate]:
    """All of these questions about an article; none of what is no article."""
    yield from asked_by(PARTS, reading)


RULES: dict[str, Rule] = {"explained": explained}
