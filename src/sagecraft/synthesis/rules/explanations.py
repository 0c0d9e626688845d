"""Questions that prose answers in a sentence or two: why something is so, what happened in a year, what somebody did.

Also how two things differ, what the text itself asks and answers, and what a sentence says of the thing that it names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from sagecraft.artifact import keyed_hash
from sagecraft.corpus.sentences import Sentence, mask_math, unmask
from sagecraft.literature import english
from sagecraft.literature.alone import is_clear
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate, Clause, Rule, fill, quoted
from sagecraft.synthesis.questions_relations import is_finite
from sagecraft.synthesis.rules.prose import (
    MAX_BACK,
    Told,
    impersonal,
    is_alone,
    is_verb,
    paragraphs_of,
    tellings,
    told_of,
    topic_words,
    untied,
)
from sagecraft.synthesis.rules.textbook import of_sentence
from sagecraft.synthesis.shapes import invert

_TOPIC = (
    "On the subject of {topic}: {question}",
    "In the context of {topic}, {question}",
    "Concerning {topic}: {question}",
)
_HAPPENED = (
    "In the context of {topic}, what happened in {year}?",
    "On the subject of {topic}: which event belongs to the year {year}?",
    "Concerning {topic}, what took place in {year}?",
    "What is the year {year} known for, on the subject of {topic}?",
)
_DID = (
    "In the context of {topic}, what can you say of {name}?",
    "On the subject of {topic}: what should one know about {name}?",
    "Concerning {topic}, tell me about {name}.",
    "What does the name {name} stand for, in the context of {topic}?",
)
_ACTS = (
    "discovered|proposed|showed|found|announced|measured|derived|predicted|introduced|suggested|argued|published|identified|noticed|calculated|"
    "computed|demonstrated|invented|detected|observed|described|explained|estimated|formulated|established|developed|postulated|deduced|"
    "determined|coined|built|devised|realized|realised|confirmed|solved|concluded|became|wrote|designed|constructed|made|compared|began|used|"
    "recognized|recognised|pointed out|worked out|carried out|set out|won|received|studied|led|founded|turned|tried|reported|compiled|was (?:the|an?|born)"
)
_FULL_NAME = r"[A-Z][a-zà-ÿ]+(?: [A-Z]\.)*(?: (?:van|von|de|der|la|le|du|di))*(?: [A-Z][a-zà-ÿ-]+){1,2}(?![’'\w])"
#: A person in full, told by what he or she did, or by an occupation before the name.
_ACTOR = re.compile(
    rf"(?<![\w’-])(?P<name>{_FULL_NAME})(?: \(\d{{4}}[–-]\d{{4}}\))?,? (?:(?:first|later|then|independently|correctly|had|also) )?(?:{_ACTS})\b|"
    rf"(?<!of )\b[a-z]+(?:er|or|ist|ian) (?P<other>{_FULL_NAME})(?! [A-Z])"
)
_PERSONAL = re.compile(r"^.{0,40}\b(?:[Hh]e|[Hh]is|[Ss]he|[Hh]er)\b")
_MAX_OF_PERSON = 3
_DIFFER = (
    "In the context of {topic}, how do {a} and {b} differ?",
    "On the subject of {topic}: what is the difference between {a} and {b}?",
    "Concerning {topic}, compare {a} with {b}.",
    "What tells {a} from {b}, in the context of {topic}?",
)
#: Questions of the text that can be taken as they are.
_QUESTION = re.compile(r"^(?:Why|How|What|Where|Which|When|Who) (?!about|if|else)[^“”]{12,160}\?$")
_MAX_ANSWER = 3
#: A cause and its effect in one sentence.
_WITHIN = (
    re.compile(
        r"^(?P<cause>.{20,}?)[,;] (?:and )?(?:so|therefore|hence|thus),? (?P<effect>(?!(?:that|far|on|forth|much|many|long|do|does|did|is|are|"
        r"called|named|too|as|to|could|would|should|may|might|must|will|can|[a-z]+ing)\b).{15,})$"
    ),
    re.compile(r"^(?:Because|(?P<since>Since))(?! of\b) (?P<cause>[^,]{12,}), (?P<effect>.{15,})$"),
    re.compile(
        r"^(?P<effect>[^;:]{15,}?),? (?:in part |partly |mainly |mostly |simply |primarily )?because (?!of\b)(?P<cause>.{12,})$"
    ),
)
#: What an effect that is asked for as it stands may not hold: two clauses, a denial of the cause, an opening that leans.
_OPEN_CLAUSE = re.compile(
    r"[;:()“”—]|\b(?:not|no|but|because|since|whereas|which|who|also|then|this|these|those|such|only|just|perhaps|may|might|probably|"
    r"if|when|while|although|though|we|us|you)\b|, and |^(?:is|are|was|were|has|have|can|and|or|but|that|there|[a-z]+s? (?:to|that)\b)"
)
_MIN_EFFECT, _MAX_EFFECT = 5, 24
#: "As a result, …", "That is why …": the effect of the sentence before.
_RESULT = re.compile(
    r"^(?:(?:As a (?:result|consequence)|Consequently|Therefore|For this reason|Because of this|Thus|Hence),? |(?:This|That|It)(?: is|’s) (?:the reason |one reason |partly )?(?:why|that) )(?P<effect>.{15,})$"
)
#: "This is because …": the cause of the sentence before.
_REASON = re.compile(
    r"^(?:(?:This|That|It)(?: is|’s| was) (?:partly |mainly |mostly )?because|The (?:main |basic |simple )?reason(?: for this)? is that|This (?:happens|occurs|comes about) because) (?P<cause>.{12,})$"
)
_YEAR = re.compile(r"(?<![\w-])[Ii]n (?:(?:early|late|about|around) )?((?:1[3-9]|20)\d\d)\b(?![–-])")
_CONTRAST = re.compile(
    r"^(?P<one>.{20,}?),? (?:while|whereas) (?P<other>.{15,})$|^(?:While|Whereas) (?P<first>[^,]{15,}), (?P<second>.{15,})$"
)
_UNLIKE = re.compile(r"^(?:Unlike|In contrast to|Compared with|Compared to) (?P<one>[^,]{4,60}), (?P<other>.{15,})$")
_OPPOSED = re.compile(r"^(?:In contrast|By contrast|On the other hand), (?P<other>.{15,})$")


def _asked(reading: Reading, question: str, told: Told) -> str | None:
    """A question with the topic before it; None if a definite phrase of it says to nobody which one is meant."""
    masked = mask_math(question)[0]
    if english.tie(impersonal(masked)) is not None or not is_clear(impersonal(masked), told.topic):
        return None
    form = _TOPIC[keyed_hash(reading.seed, "topic", reading.document.id, question) % len(_TOPIC)]
    return fill(form, topic=quoted(reading.document.title), question=question[0].lower() + question[1:])


def whys(reading: Reading) -> Iterator[Candidate]:
    """Why something is so, where a sentence says “because” or “so”, or the next one “as a result” or “this is because”."""
    for told, effect, cause in _causes(reading):
        if re.search(r"\b(?:is|was|are|were|reason|that [a-z]+|only to [a-z ]+)$", effect):
            continue  # "heat of matter that rises because …": the cause is not of the whole
        masked, formulas = mask_math(untied(effect).rstrip(".,; "))
        asked = _why(Clause(masked, formulas, reading.names))
        question = _asked(reading, unmask(asked, formulas), told) if asked else None
        if question:
            yield Candidate(
                kind="cause",
                question=question,
                focus=unmask(f"the reason why {masked[0].lower()}{masked[1:]}", formulas),
                answer=told.text,
                key=cause.rstrip("."),
                rule="why",
                positions=told.positions,
                scope=reading.document.id,
            )


def _why(clause: Clause) -> str | None:
    """“Why is X Y?”; of a clause that cannot be turned round “Why is it that X is Y?”; None if it leans or is no clause."""
    text = clause.text
    if inverted := invert(clause, text):
        return f"Why {inverted[0]}?"
    if english.PRONOUN.search(text) or _OPEN_CLAUSE.search(text) or not _MIN_EFFECT <= len(text.split()) <= _MAX_EFFECT:
        return None
    lowered = clause.names.lower_first(text)
    has_verb = any(is_verb(word, " ".join(text.split()[: at + 1])) for at, word in enumerate(text.split()[1:9]))
    return f"Why is it that {lowered}?" if lowered and has_verb else None


def _causes(reading: Reading) -> Iterator[tuple[Told, str, str]]:
    """Sentences, an effect that they tell, and its cause."""
    topic = topic_words(reading)
    for paragraph in paragraphs_of(reading):
        for at, sentence in enumerate(paragraph):
            text = untied(sentence.text)
            result, reason = _RESULT.match(sentence.text), _REASON.match(sentence.text)
            within = next((found for pattern in _WITHIN if (found := pattern.match(text))), None)
            if not (result or reason or within):
                continue
            told = told_of(tuple(paragraph[max(0, at - MAX_BACK) : at + 1]), topic, int(bool(result or reason)))
            if told is None:
                continue
            if result and at:
                yield told, result.group("effect"), untied(paragraph[at - 1].text)
            elif reason and at:
                yield told, paragraph[at - 1].text, reason.group("cause")
            elif within and _says_why(within):
                yield told, within.group("effect"), untied(within.group("cause"))


def _says_why(found: re.Match[str]) -> bool:
    """Whether a sentence gives a reason: “Since the flood, …” gives a time."""
    words = found.group("cause").split()
    is_time = bool(found.groupdict().get("since"))
    return any(is_finite(word) and not (is_time and word in english.NOUN_LIKE) for word in words)


def years(reading: Reading) -> Iterator[Candidate]:
    """What happened in a year that one sentence of the document tells of."""
    topic = quoted(reading.document.title)
    everything = " ".join(one.text for passage in reading.passages for one in passage.sentences)
    counts = Counter(re.findall(r"(?<![\w-])(?:1[3-9]|20)\d\d(?![\w–-])", everything))
    for told in tellings(reading):
        found = _YEAR.findall(told.texts[-1])
        if len(found) != 1 or counts[found[0]] != 1 or len(re.findall(r"\b(?:1[3-9]|20)\d\d\b", told.texts[-1])) > 1:
            continue
        year = found[0]
        if told.text.startswith(f"Born in {year}"):
            continue  # the sentence goes on to something else
        form = _HAPPENED[keyed_hash(reading.seed, "year", reading.document.id, year) % len(_HAPPENED)]
        yield Candidate(
            kind="event",
            question=fill(form, topic=topic, year=year),
            focus=f"what happened in {year} in the context of {topic}",
            answer=told.text,
            rule="year",
            positions=told.positions,
            scope=reading.document.id,
        )


def people(reading: Reading) -> Iterator[Candidate]:
    """What is told of somebody: the first sentence that names him or her in full, and those that go on from it."""
    topic = quoted(reading.document.title)
    seen: set[str] = set()
    words = topic_words(reading)
    for paragraph in paragraphs_of(reading):
        for at in range(len(paragraph)):
            name = actor_in(paragraph[at].text, reading)
            if not name or name.split()[-1] in seen:
                continue
            told = told_of(tuple(paragraph[max(0, at - MAX_BACK) : at + 1]), words)
            if told is None:
                continue
            seen.add(name.split()[-1])
            more = []
            for sentence in paragraph[at + 1 : at + _MAX_OF_PERSON]:
                if not _PERSONAL.match(sentence.text) or not is_alone([told.text, sentence.text], words):
                    break
                more.append(sentence)
            form = _DID[keyed_hash(reading.seed, "people", reading.document.id, name) % len(_DID)]
            yield Candidate(
                kind="person",
                question=fill(form, topic=topic, name=name),
                focus=f"what is told of {name} in the context of {topic}",
                answer=" ".join([told.text, *(sentence.text for sentence in more)]),
                rule="people",
                positions=(*told.positions, *(sentence.position for sentence in more)),
                scope=reading.document.id,
            )


def actor_in(sentence: str, reading: Reading) -> str | None:
    """The full name of the first person that a sentence tells of; names with a word that the text writes small are none."""
    for found in _ACTOR.finditer(mask_math(sentence)[0]):
        parts = (found["name"] or found["other"]).split()
        while parts and (
            parts[0].lower() in english.OPENERS | english.PREPOSITIONS | {"as", "sir"}
            or re.search(r"(?:mer|ist|ian|or)$", parts[0])
        ):
            parts = parts[1:]
        if len(parts) > 1 and all(reading.names.lower_first(part) in (part, None) for part in parts):
            return " ".join(parts)
    return None


def contrasts(reading: Reading) -> Iterator[Candidate]:
    """How two things differ that a sentence, or two, set against each other."""
    topic = quoted(reading.document.title)
    for told, a, b in _opposed(reading):
        if not a or not b or a.lower() in b.lower() or b.lower() in a.lower() or english.PRONOUN.search(f"{a} {b}"):
            continue
        form = _DIFFER[keyed_hash(reading.seed, "differ", reading.document.id, a, b) % len(_DIFFER)]
        yield Candidate(
            kind="comparison",
            question=fill(form, topic=topic, a=a, b=b),
            focus=f"how {a} and {b} differ in the context of {topic}",
            answer=told.text,
            rule="contrast",
            positions=told.positions,
            scope=reading.document.id,
        )


def _opposed(reading: Reading) -> Iterator[tuple[Told, str | None, str | None]]:
    """Sentences with the two things that they set against each other."""
    topic = topic_words(reading)

    def subject(text: str) -> str | None:
        return of_sentence(_capital(text), reading, topic)

    for paragraph in paragraphs_of(reading):
        for at, sentence in enumerate(paragraph):
            text = untied(sentence.text)
            second, within, unlike = _OPPOSED.match(sentence.text), _CONTRAST.match(text), _UNLIKE.match(text)
            told = told_of(tuple(paragraph[max(0, at - MAX_BACK) : at + 1]), topic, int(bool(second)))
            if told is None:
                continue
            if second and at:
                yield told, subject(untied(paragraph[at - 1].text)), subject(second.group("other"))
            elif unlike:
                one = unlike.group("one")
                yield (
                    told,
                    one if is_clear(f"What about {one}?", topic) and english.is_noun_phrase(one, 8) else None,
                    subject(unlike.group("other")),
                )
            elif within:
                one, other = (
                    within.group("one") or within.group("first"),
                    within.group("other") or within.group("second"),
                )
                yield told, subject(one), subject(other)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def dialogues(reading: Reading) -> Iterator[Candidate]:
    """What the text asks, and says in the sentences behind it."""
    topic = topic_words(reading)
    for paragraph in paragraphs_of(reading):
        for at, sentence in enumerate(paragraph[:-1]):
            question = untied(sentence.text)
            plain = impersonal(question)
            if not _QUESTION.match(plain) or english.tie(plain) is not None or english.PRONOUN.search(plain):
                continue
            yield from _answered(reading, question, paragraph[at + 1 :], topic)


def _answered(reading: Reading, question: str, rest: list[Sentence], topic: frozenset[str]) -> Iterator[Candidate]:
    texts: list[str] = []
    for sentence in rest[:_MAX_ANSWER]:
        text = sentence.text if texts else untied(sentence.text)
        if not is_alone([*texts, text], topic):
            break
        texts.append(text)
    # "At noon, when the sun is high." is no sentence, and "Why was everybody so wrong?" no question of its own.
    if (
        not texts
        or not any(is_finite(word) for word in texts[0].split(",")[0].split())
        or re.search(r"\bso \w+\?$", question)
    ):
        return
    told = Told(tuple(texts), tuple(one.position for one in rest[: len(texts)]), rest[0].heading, topic)
    asked = _asked(reading, question, told)
    if asked is not None:
        kind = "cause" if question.startswith("Why") else "method" if question.startswith("How ") else "relation"
        yield Candidate(
            kind,
            asked,
            question.rstrip("?"),
            told.text,
            rule="dialogue",
            positions=told.positions,
            scope=reading.document.id,
        )


RULES: dict[str, Rule] = {
    "why": whys,
    "year": years,
    "people": people,
    "contrast": contrasts,
    "dialogue": dialogues,
}
