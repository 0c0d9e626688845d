"""Questions from single sentences, led by the title where a phrase needs it, and short accounts of sections."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace

from sagecraft.artifact import keyed_hash
from sagecraft.corpus.sentences import Sentence, mask_math
from sagecraft.literature import english
from sagecraft.literature.alone import is_clear, why_not_alone
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.ask import ask
from sagecraft.synthesis.candidate import Candidate, Rule, fill, quoted
from sagecraft.synthesis.rules.prose import impersonal, is_whole, tellings, untied
from sagecraft.synthesis.rules.reported import article_of

_TOPIC = (
    "On the subject of {topic}: {question}",
    "In the context of {topic}, {question}",
    "Concerning {topic}: {question}",
)


#: A name or a number somewhere behind the first word of a question.
_NAME = re.compile(r"(?<=\s)(?:[A-Z][\w.’'-]+|\S*\d\S*)")


def sentences(reading: Reading) -> Iterator[Candidate]:
    """What the rules over single sentences ask; an abstract's are asked by name (`abstracts`)."""
    article = article_of(reading)
    of_article = {told.position for told in article.told} if article is not None else set()
    title_words = _with_singular(english.words(reading.document.title))
    for passage in reading.passages:
        topic_words = title_words | _with_singular(english.words(passage.section))
        for sentence in passage.sentences:
            text = untied(sentence.text)
            plain = impersonal(text)
            if sentence.position in of_article or not is_whole(text) or english.tie(mask_math(plain)[0]) is not None:
                continue
            is_bound = why_not_alone([plain]) not in (None, "definite")
            for candidate in ask(text, reading.names):
                alone = _stand_alone(reading, replace(candidate, positions=(sentence.position,)), topic_words)
                is_open = article is None and not is_clear(impersonal(alone.question), topic_words)
                yield replace(alone, drop="not-alone") if is_bound or is_open else alone


_IN_CONTEXT = frozenset({"cause", "term", "method"})


def explained(reading: Reading) -> Iterator[Candidate]:
    """Causes, terms and methods of sentences that need one or two before them, which begin the answer.

    Of other kinds the sentence before often says nothing of what is asked.
    """
    for told in tellings(reading):
        if len(told.texts) == 1:
            continue
        before = " ".join(told.texts[:-1])
        for candidate in ask(untied(told.texts[-1]), reading.names):
            if candidate.kind not in _IN_CONTEXT:
                continue
            alone = _stand_alone(reading, replace(candidate, positions=told.positions), told.topic)
            yield replace(alone, rule="sentence-in-context", answer=f"{before} {told.texts[-1]}")


def _stand_alone(reading: Reading, candidate: Candidate, topic_words: frozenset[str]) -> Candidate:
    """With the topic named in the question where a phrase needs it."""
    question, title = candidate.question, quoted(reading.document.title)
    need, _phrase = english.context_need(mask_math(question)[0], topic_words)
    if need == "none" and candidate.kind == "method" and re.match(r"How (?:was|were)\b", question):
        need = "topic"  # how something was done belongs to the work that did it
    if need == "none" and candidate.kind not in ("definition", "term") and not _NAME.search(question):
        need = "topic"  # “a layer” of what? Where no name says so, the title does
    if need == "topic" and title:
        form = _TOPIC[keyed_hash(reading.seed, "topic", reading.document.id, question) % len(_TOPIC)]
        question = fill(form, topic=title, question=question[0].lower() + question[1:])
        drop = "not-alone" if _leans(candidate.answer, topic_words) else None
        return replace(candidate, question=question, scope=reading.document.id, rule="sentence", drop=drop)
    drop = None
    if need == "drop" or _leans(candidate.answer, topic_words):
        drop = "not-alone"
    elif need == "topic":
        drop = "no-title"
    return replace(candidate, rule="sentence", drop=drop)


def _leans(answer: str, topic_words: frozenset[str]) -> bool:
    """Whether an answer opens with a definite phrase that only its neighbours explain ("The process is named …")."""
    opening = mask_math(answer)[0].split(",")[0]
    return answer.startswith("The ") and english.context_need(" ".join(opening.split()[:7]), topic_words)[0] == "drop"


def _with_singular(words: list[str]) -> frozenset[str]:
    return frozenset([*words, *(word.rstrip("s") for word in words)])


#: Headings that name a part of a text and no subject.
_GENERIC_HEADING = re.compile(
    r"^(?:[\d.]*\s*)?(?:introduction|abstract|conclusions?|summary|discussion|results?|methods?|background|references|overview|"
    r"acknowledge?ments?|appendix.*|data(?: and .*)?|observations?|outlook|key (?:terms|concepts|equations)|exercises|problems|"
    r"further reading|further exploration|for further exploration|key concepts and summary|thought questions|learning objectives|"
    r"articles|books|websites|videos|contents|history|notes?|glossary|review questions|.*\bthis\b.*|.*[?:!$\ue000].*|.{0,5})$",
    re.IGNORECASE,
)
_ACCOUNT = (
    "What is worth knowing about {heading} on the subject of {topic}?",
    "On the subject of {topic}, what can be said about {heading}?",
    "Give a short account of {heading} in the context of {topic}.",
    "Tell me about {heading}, as part of the subject {topic}.",
)
#: A section's first sentence that goes on from the section before.
_LATE_START = re.compile(
    r"^(?:A (?:second|third|further)|Another|The (?:main|other|second|third|latter|former)) |^[^,]{3,40}, then,"
)
#: Words of an account, sentences of it, and sentences of a section that may stand before it.
_MIN_ACCOUNT_WORDS, _MAX_ACCOUNT_WORDS = 25, 110
_MAX_OF_SECTION, _MAX_SKIPPED = 4, 12


def sections(reading: Reading) -> Iterator[Candidate]:
    """One question a section, answered by two to four of its sentences, in order: those that open it, or that first speak of its heading."""
    document = reading.document
    topic = quoted(document.title)
    everything = [sentence for passage in reading.passages for sentence in passage.sentences]
    for heading, group in itertools.groupby(everything, key=lambda sentence: sentence.heading):
        if _GENERIC_HEADING.match(heading) or heading == document.title or not topic or len(heading.split()) > 9:
            continue
        opening = _opening(list(group), heading)
        if not opening:
            continue
        form = _ACCOUNT[keyed_hash(reading.seed, "account", document.id, heading) % len(_ACCOUNT)]
        yield Candidate(
            "account",
            fill(form, heading=quoted(heading), topic=topic),
            f"{quoted(heading)} within {topic}",
            " ".join([untied(opening[0].text), *(sentence.text for sentence in opening[1:])]),
            rule="section",
            positions=tuple(sentence.position for sentence in opening),
            scope=document.id,
        )


def _opening(members: list[Sentence], heading: str) -> list[Sentence]:
    """The first run of a section's sentences that can be told without the rest of it and speaks of its heading."""
    words = {
        word.rstrip("s") for word in english.words(heading) if word not in english.PREPOSITIONS | english.DETERMINERS
    }
    for start in range(min(len(members) - 1, _MAX_SKIPPED + 1)):
        texts: list[str] = []
        for sentence in members[start : start + _MAX_OF_SECTION]:
            text = sentence.text if texts else untied(sentence.text)
            is_long = sum(len(one.split()) for one in (*texts, text)) > _MAX_ACCOUNT_WORDS
            is_far = start > 0 and sentence.paragraph != members[start].paragraph
            if is_long or is_far or _shows_elsewhere(impersonal(text)) or _is_bound([*texts, text]):
                break
            texts.append(text)
        said = {word.rstrip("s") for word in english.words(" ".join(texts[:1]))}
        is_about = (
            not _LATE_START.match(texts[0]) if start == 0 and texts else 3 * len(words & said) >= 2 * len(words) > 0
        )
        if len(texts) > 1 and len(" ".join(texts).split()) >= _MIN_ACCOUNT_WORDS and is_about:
            return members[start : start + len(texts)]
    return []


def _is_bound(texts: list[str]) -> bool:
    """Whether sentences need others; a definite phrase is the subject's own mostly: the question names the heading and the title."""
    return not is_whole(texts[-1]) or why_not_alone([impersonal(text) for text in texts]) not in (None, "definite")


def _shows_elsewhere(text: str) -> bool:
    """Whether a sentence points out of the passage (a table, an equation elsewhere, an author's "we") or states nothing.

    Questions, exercises and entries of a list of references state nothing.
    """
    return bool(
        re.search(
            r"\b(?:Table|Figure|Fig\.|Section|Chapter|Appendix|Eq\.|Equation|Exercise)\b|"
            r"(?i:\b(?:we|our|us|the table|the figure|the text|this paper|this article|this section|this chapter|above|below)\b)|"
            r"\(see |[?:,][”\"]?$|\.”|\([A-Z][a-z]+ (?:1[5-9]|20)\d\d\):",
            text,
        )
    )


RULES: dict[str, Rule] = {"sentence": sentences, "sentence-in-context": explained, "section": sections}
