"""Questions from sentences by linguistic rules: no model, no knowledge of the field.

Each rule is a pure function of one clause and yields what it is sure of. Rules prefer silence to a question that is not
English: subjects must be plain noun phrases (`english.is_noun_phrase`), and a clause that leans on its neighbours
(`english.tie`) reaches no rule at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from sagecraft.literature import english
from sagecraft.synthesis.candidate import Candidate, Clause
from sagecraft.synthesis.questions_people import people
from sagecraft.synthesis.questions_relations import agent, consequence, happened, place, relation
from sagecraft.synthesis.questions_values import values
from sagecraft.synthesis.shapes import clean_tail, invert, subject_of

_ARTICLE_START = re.compile(r"^(?:an?|any|the (?:name|term|process|unit|time|point|state|study|branch|set|part|region|ratio|"
                            r"amount|energy|number|rate|fraction|angle|distance|temperature|speed|mass|sum|product|change|"
                            r"measure|property|tendency|ability|layer|core|innermost|outermost)) ")  # fmt: skip
_RELATIVE = re.compile(
    r"\b(?:that|which|whose|in which|of|bound|made|formed|caused|produced|with|who|where|for|used|seen|from|between)\b"
)


def definition(clause: Clause) -> Iterator[Candidate]:
    """“A planetary nebula is the ionized envelope of …” → “What is a planetary nebula?”."""
    found = re.match(r"^(.{2,70}?) (is|are) (.+)$", clause.text)
    if not found:
        return
    subject, verb, rest = subject_of(clause, found.group(1), max_words=6), found.group(2), found.group(3)
    if subject is None or len(rest.split()) < 5 or not _RELATIVE.search(rest):
        return
    is_plural_class = verb == "are" and re.match(
        r"^(?:[a-z-]+,? ){0,3}[a-z-]+s (?:that|which|whose|of|in which|bound|made|with|formed|produced|where)\b", rest
    )
    is_named = bool(re.search(r"[A-Z\d]", subject)) or " of " in subject
    generic = not subject.startswith(("the ", "all ", "some ", "most ")) or is_named or len(subject.split()) == 2
    generic = generic and not re.search(r"\d| (?:above|below|and) ", subject)
    first = rest.split()[0]
    is_passive = (
        first in english.PARTICIPLES or first.endswith(("ing", "ed", "ly")) or first in ("often", "sometimes", "always")
    )
    is_figure_of_speech = re.match(
        r"(?:an? |the )?(?:good |better |useful |simple )?(?:analogy|example|illustration|case|point|thing|idea|answer|reason)\b",
        subject,
    )
    found_than = re.match(r"^(?:an?|the) ([a-z]+)\b", rest)
    is_compared = bool(found_than and found_than.group(1) in _ANTONYMS and " than " not in rest)
    if (
        is_figure_of_speech
        or is_compared
        or not generic
        or is_passive
        or not (_ARTICLE_START.match(rest) if verb == "is" else is_plural_class)
    ):
        return
    if re.match(
        r"^(?:an?|the) (?:(?:very|quite|rather|somewhat) )?(?:\w+ )?(?:few|factor|matter|business|result|consequence|sign|reminder|good|useful|hint|cause|reason)\b",
        rest,
    ):
        return
    yield Candidate("definition", f"What {verb} {subject}?", f"what {subject} {verb}", clause.statement)


def term(clause: Clause) -> Iterator[Candidate]:
    """“…, a process called mass segregation, …” → “What is meant by mass segregation?”."""
    found = re.search(
        r"(?:, (?:an?|the) [\w\s-]{3,50}? |, |\b(?:is|are) )(called|known as|named|termed) "
        r"(?P<term>(?:the |an? )?[\w-]+(?: [\w’'-]+){0,3}?)(?=,| and | is | are | which | that | in | with |$)",
        clause.text,
    )
    if not found or len(clause.text.split()) < 9:
        return
    name = re.sub(r"^(?:the|an?) ", "", found.group("term").strip())
    if (
        not english.is_noun_phrase(name, 5)
        or re.match(r"^(?:after|for|by|in|so)\b", name)
        or clause.text.count(name) > 1
    ):
        return
    if re.search(r"\d", name) or name.split()[0][0].isupper() or english.PRONOUN.search(clause.text[: found.start()]):
        return
    yield Candidate("term", f"What is meant by “{name}”?", f"the meaning of “{name}”", clause.statement, key=name)


def cause(clause: Clause) -> Iterator[Candidate]:
    """“X is Y because Z” → “Why is X Y?”."""
    head, mark, reason = "", "", ""
    found = re.match(r"^Because ([^,]+), (.+)$", clause.text)
    if found:
        reason, head, mark = found.group(1), found.group(2), "because"
    else:
        found = re.match(r"^(.+?),? (because(?: of)?|owing to|due to|since) (.+)$", clause.text)
        if found:
            head, mark, reason = found.group(1), found.group(2), found.group(3)
    if not head or len(reason.split()) < 2 or re.search(r"[;:]", head):
        return
    if mark == "since" and (
        re.match(r"^(?:\d|the (?:\d|early|late|first|time|begin)|then)", reason) or ", since" not in clause.text
    ):
        return
    if mark == "due to" and not re.search(r"\b(?:is|are|was|were|be)$", head):
        return
    if mark == "due to":
        shape = re.match(r"^(.+?) (is|are|was|were)$", head)
        subject = subject_of(clause, shape.group(1)) if shape else None
        if shape and subject:
            yield Candidate(
                "cause", f"What {shape.group(2)} {subject} due to?", f"what causes {subject}", clause.statement, reason
            )
        return
    if re.search(r"\b(?:partly|mainly|mostly|chiefly|only|largely|simply|precisely|just|not|and|or|but)$", head):
        head = re.sub(r",? (?:partly|mainly|mostly|chiefly|largely|simply|precisely|just)$", "", head)
    asked = invert(clause, head)
    if asked:
        question, plain = asked
        yield Candidate("cause", f"Why {question}?", f"why {plain}", clause.statement, f"{mark} {reason}")


def origin(clause: Clause) -> Iterator[Candidate]:
    """“X arises from Y”, “X is caused by Y” → “What does X arise from?”, “What is X caused by?”."""
    found = re.match(
        r"^(.{3,90}?) (arises?|results?|comes?|originates?|stems?|derives?) (?:(?:mainly|mostly|chiefly|largely) )?from (.+)$",
        clause.text,
    )
    if found and (subject := subject_of(clause, found.group(1))):
        verb = found.group(2)
        base = english.THIRD.get(verb, verb)
        do = "does" if verb in english.THIRD else "do"
        yield Candidate(
            "cause", f"What {do} {subject} {base} from?", f"what {subject} {verb} from", clause.statement,
            clean_tail(found.group(3)),
        )  # fmt: skip
        return
    found = re.match(
        r"^(.{3,90}?) (is|are|was|were) (?:(mainly|mostly|chiefly|largely|thought to be|believed to be) )?"
        r"(caused|produced|driven|powered|generated|supplied|dominated|explained|limited|set|fixed|determined|created|"
        r"formed|heated|fed|triggered|shaped|governed|controlled|maintained|halted|carried|emitted|surrounded|supported) by (.+)$",
        clause.text,
    )
    if found and (subject := subject_of(clause, found.group(1))) and not re.match(r"^\w+ing\b", found.group(5)):
        verb, how, participle = found.group(2), found.group(3), found.group(4)
        middle = f"{how} {participle}" if how else participle
        yield Candidate(
            "cause", f"What {verb} {subject} {middle} by?", f"what {subject} {verb} {middle} by", clause.statement,
            clean_tail(found.group(5)),
        )  # fmt: skip


_ANTONYMS = {
    "larger": "smaller", "smaller": "larger", "greater": "smaller", "higher": "lower", "lower": "higher",
    "brighter": "fainter", "fainter": "brighter", "hotter": "cooler", "cooler": "hotter", "warmer": "colder",
    "colder": "warmer", "heavier": "lighter", "lighter": "heavier", "older": "younger", "younger": "older",
    "faster": "slower", "slower": "faster", "longer": "shorter", "shorter": "longer", "denser": "less dense",
    "stronger": "weaker", "weaker": "stronger", "thicker": "thinner", "thinner": "thicker", "wider": "narrower",
    "narrower": "wider", "closer": "farther", "redder": "bluer", "bluer": "redder", "deeper": "shallower",
    "richer": "poorer", "poorer": "richer", "steeper": "shallower", "bigger": "smaller", "rarer": "more common",
    "harder": "softer", "softer": "harder", "broader": "narrower", "more": "less", "less": "more",
}  # fmt: skip


def comparison(clause: Clause) -> Iterator[Candidate]:
    """“X is larger than Y” → “Is X larger or smaller than Y?”."""
    found = re.match(
        r"^(.{3,90}?) (is|are|was|were) (?:(?:much|far|slightly|somewhat|considerably|significantly|many times|always|"
        r"usually|therefore|even|about [\w.,-]+ times) )?(?:(more|less) ([a-z]+)|([a-z]+(?:er))) than (.+)$",
        clause.text,
    )
    if found:
        subject = subject_of(clause, found.group(1))
        word = found.group(3) or found.group(5)
        other = clean_tail(found.group(6))
        is_number = re.match(
            r"^(?:about |roughly |some |that )?(?:\d|\ue000|an? (?:few|hundred|thousand)|one |two )", other
        )
        if subject and word in _ANTONYMS and not is_number and english.is_noun_phrase(other, 9):
            adjective = f" {found.group(4)}" if found.group(4) else ""
            yield Candidate(
                "comparison", f"{found.group(2).capitalize()} {subject} {word} or {_ANTONYMS[word]}{adjective} than {other}?",
                f"how {subject} {'compares' if found.group(2) in ('is', 'was') else 'compare'} with {other}",
                clause.statement, f"{word}{adjective} than {other}",
            )  # fmt: skip
        return
    found = re.match(
        r"^(.{3,90}?) (?:(is|are|was|were)) ((?:about |roughly |some )?[\d.,]+ times) (that|those) of (.+)$",
        clause.text,
    )
    if found and (subject := subject_of(clause, found.group(1))):
        other = clean_tail(found.group(5))
        verb = {"is": "does", "are": "do"}.get(found.group(2), "did")
        if english.is_noun_phrase(other, 9):
            yield Candidate(
                "comparison", f"How {verb} {subject} compare with {found.group(4)} of {other}?",
                f"the comparison of {subject} with {found.group(4)} of {other}", clause.statement,
                f"{found.group(3)} {found.group(4)} of {other}",
            )  # fmt: skip


_MEASURE = (
    "measured|determined|detected|observed|found|obtained|derived|estimated|inferred|identified|calibrated|corrected|"
    "separated|removed|recorded|studied|mapped|monitored|tested|searched for|selected|distinguished|recognised|recognized|"
    "discovered|reconstructed|computed|calculated|described|modelled|modeled|suppressed|reduced|cooled|produced|made|formed"
)


def method(clause: Clause) -> Iterator[Candidate]:
    """“X is measured by comparing …” → “How is X measured?”."""
    found = re.match(
        rf"^(.{{3,90}}?) (is|are|was|were|can be|could be|may be) (?:(usually|often|generally|commonly|best|first|normally) )?"
        rf"({_MEASURE}) (by (?=\w+ing\b)|from |with (?=the|an?\b|\w+s\b)|using |through |by means of )(.+)$",
        clause.text,
    )
    if not found:
        return
    subject, verb, adverb, participle = subject_of(clause, found.group(1)), *found.group(2, 3, 4)
    if subject is None or re.match(r"^(?:about |some |roughly )?\d", found.group(6)):
        return
    first, _, rest = verb.partition(" ")
    middle = " ".join(part for part in (subject, rest, adverb, participle) if part)
    plain = " ".join(part for part in (subject, verb, adverb, participle) if part)
    yield Candidate(
        "method",
        f"How {first} {middle}?",
        f"how {plain}",
        clause.statement,
        f"{found.group(5)}{clean_tail(found.group(6))}",
    )


def purpose(clause: Clause) -> Iterator[Candidate]:
    """“X is used to Y”, “X serves to Y” → “What is X used for?”."""
    found = re.match(
        r"^(.{3,80}?) (is|are|was|were) (?:(?:often|widely|also|commonly) )?(used|designed|intended|built) (to|for|as) (.+)$",
        clause.text,
    )
    if found and (subject := subject_of(clause, found.group(1))):
        verb, participle = found.group(2), found.group(3)
        asked = {"used": f"What {verb} {subject} used {'as' if found.group(4) == 'as' else 'for'}?"}.get(
            participle, f"What {verb} {subject} {participle} to do?" if found.group(4) == "to" else ""
        )
        if asked:
            yield Candidate(
                "purpose",
                asked,
                f"the use of {subject}",
                clause.statement,
                f"{found.group(4)} {clean_tail(found.group(5))}",
            )


def equation(clause: Clause) -> Iterator[Candidate]:
    """“The T of X is given by $$…$$” → “Which equation gives the T of X?”."""
    formula = re.search(r"\ue000(\d+)\ue001", clause.text)
    if not formula:
        return
    found = re.match(
        r"^(.{3,90}?),? (?:for [^,]{3,50}, )?(is|are|takes? the form|becomes?|is given by|are given by|is then|equals|"
        r"is described by|follows from|is well fitted by|obeys?)(?: [\w\s]{0,25}?)?[:,]? ?(\ue000\d+\ue001)(.*)$",
        clause.text,
    )
    if not found:
        return
    shown = clause.formulas[int(re.sub(r"\D", "", found.group(3)))]
    subject = subject_of(clause, found.group(1))
    if "\\\\" in shown or "&" in shown:
        return  # several equations at once: which of them is meant?
    # A formula relates symbols; "d = 17 ± 2 pc" is a figure and the business of the rules for values.
    sign = re.search(r"=|\\propto", shown)
    right = (
        re.sub(r"\\(?:pm|times|sim|approx|mathrm|text|rm|[,;:! ])|\{[^{}]*\}", "", shown[sign.end() :]) if sign else ""
    )
    is_formula = len(shown) > 12 and re.search(r"[A-Za-z]", right) is not None
    if subject is None or not is_formula or not subject.startswith(("the ", "a ", "an ")) or "\ue000" in subject:
        return
    yield Candidate(
        "equation", f"Which equation gives {subject}?", f"the formula for {subject}", clause.statement, found.group(3)
    )


def superlative(clause: Clause) -> Iterator[Candidate]:
    """“X is the largest Y” → “What is the largest Y?”."""
    found = re.match(
        r"^(.{2,70}?) (is|was|are|were) (the (?:first|largest|smallest|nearest|closest|brightest|oldest|youngest|most [a-z]+|least [a-z]+|"
        r"commonest|strongest|highest|lowest|hottest|coldest|longest|shortest|densest|heaviest|lightest|fastest|best[- ][a-z]+) .+)$",
        clause.text,
    )
    if not found:
        return
    subject, verb, rest = subject_of(clause, found.group(1)), found.group(2), clean_tail(found.group(3))
    if subject is None or not 3 <= len(rest.split()) <= 18 or re.search(r",| and (?:was|is|has)\b", rest):
        return
    yield Candidate("superlative", f"What {verb} {rest}?", rest, clause.statement, found.group(1))


RULES: dict[str, Callable[[Clause], Iterator[Candidate]]] = {
    "definition": definition,
    "term": term,
    "value": values,
    "cause": cause,
    "origin": origin,
    "comparison": comparison,
    "happened": happened,
    "people": people,
    "method": method,
    "purpose": purpose,
    "equation": equation,
    "relation": relation,
    "agent": agent,
    "superlative": superlative,
    "place": place,
    "consequence": consequence,
}
