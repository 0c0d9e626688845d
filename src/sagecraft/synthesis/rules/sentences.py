"""Questions from single sentences, led by the title where a phrase needs it, and short accounts of sections."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace

from sagecraft.artifact import keyed_hash
from sagecraft.corpus.sentences import Sentence, mask_math
from sagecraft.literature import english
from sagecraft.literature.alone import why_not_alone
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.ask import ask
from sagecraft.synthesis.candidate import Candidate, Rule, fill, quoted
from sagecraft.synthesis.rules.reported import article_of

_TOPIC = (
    "On the subject of {topic}: {question}",
    "In the context of {topic}, {question}",
    "Concerning {topic}: {question}",
)


#: A name or a number somewhere behind the first word of a question.
_NAME = re.compile(r"(?<=\s)(?:[A-Z][\w.’'-]+|\S*\d\S*)")
#: Sentences about what may be watched or tried elsewhere.
_MEDIA = re.compile(
    r"\b(?:videos?|websites?|web (?:sites?|pages?)|animations?|applets?|podcasts?|episodes?|apps?)\b", re.IGNORECASE
)


def sentences(reading: Reading) -> Iterator[Candidate]:
    """What the rules over single sentences ask; an abstract's are asked by name (`abstracts`)."""
    article = article_of(reading)
    of_article = {told.position for told in article.told} if article is not None else set()
    title_words = _with_singular(english.words(reading.document.title))
    for passage in reading.passages:
        topic_words = title_words | _with_singular(english.words(passage.section))
        for sentence in passage.sentences:
            if (
                sentence.position in of_article
                or _MEDIA.search(sentence.text)
                or english.tie(mask_math(sentence.text)[0]) is not None
            ):
                continue
            is_bound = why_not_alone([sentence.text]) not in (None, "definite")
            for candidate in ask(sentence.text, reading.names):
                alone = _stand_alone(reading, replace(candidate, positions=(sentence.position,)), topic_words)
                yield replace(alone, drop="not-alone") if is_bound else alone


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
_MAX_ACCOUNT_WORDS = 110


def sections(reading: Reading) -> Iterator[Candidate]:
    """One question a section, answered by the sentences that open it (two to four of them, in order, unchanged)."""
    document = reading.document
    topic = quoted(document.title)
    everything = [sentence for passage in reading.passages for sentence in passage.sentences]
    for heading, group in itertools.groupby(everything, key=lambda sentence: sentence.heading):
        if _GENERIC_HEADING.match(heading) or heading == document.title or not topic or len(heading.split()) > 9:
            continue
        opening = _opening(list(group))
        # A definite phrase is the subject's own mostly: the question names the heading and the title.
        is_bound = why_not_alone([sentence.text for sentence in opening]) not in (None, "definite") if opening else True
        if is_bound or len(opening) < 2 or sum(len(sentence.text.split()) for sentence in opening) < 25:
            continue
        form = _ACCOUNT[keyed_hash(reading.seed, "account", document.id, heading) % len(_ACCOUNT)]
        yield Candidate(
            "account",
            fill(form, heading=quoted(heading), topic=topic),
            f"{quoted(heading)} within {topic}",
            " ".join(sentence.text for sentence in opening),
            rule="section",
            positions=tuple(sentence.position for sentence in opening),
            scope=document.id,
        )


def _opening(members: list[Sentence]) -> list[Sentence]:
    """The first sentences of a section that can be told without the rest of it."""
    opening: list[Sentence] = []
    num_words = 0
    for sentence in members[:4]:
        num_words += len(sentence.text.split())
        is_tied = not opening and english.tie(sentence.text) is not None
        if is_tied or num_words > _MAX_ACCOUNT_WORDS or _shows_elsewhere(sentence.text):
            break
        opening.append(sentence)
    return opening


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


RULES: dict[str, Rule] = {"sentence": sentences, "section": sections}
