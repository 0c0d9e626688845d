"""Questions from the prose of books: what a paragraph says of its subject, what a term means, what a chapter comes to.

A paragraph brings its own antecedents along: two to five of its sentences stand alone where one would not.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Container, Iterator, Sequence
from functools import lru_cache

from sagecraft.artifact import keyed_hash
from sagecraft.corpus.sentences import Sentence, mask_math
from sagecraft.literature import english
from sagecraft.literature.alone import why_not_alone
from sagecraft.literature.reading import Reading
from sagecraft.literature.summary import is_summary
from sagecraft.synthesis.candidate import Candidate, Clause, Rule, fill, quoted
from sagecraft.synthesis.rules.reported import article_of
from sagecraft.synthesis.rules.sentences import sections
from sagecraft.synthesis.shapes import subject_of

#: Words of an account; less is one fact, more no model of a few hundred million parameters keeps together.
_MIN_WORDS, _MAX_WORDS = 28, 115
_MAX_SUMMARY_WORDS = 190
#: Words of a single sentence that is asked about.
_MIN_CLAIM_WORDS, _MAX_CLAIM_WORDS = 8, 45
#: Sentences before that of a term with which an explanation may begin.
_MAX_BACK = 2
_MAX_SUBJECT_WORDS = 9

_ACCOUNT = (
    "In the context of {topic}, what is there to say about {subject}?",
    "On the subject of {topic}: what should one know about {subject}?",
    "Concerning {topic}, tell me about {subject}.",
    "What can you tell me about {subject}, in the context of {topic}?",
    "Describe {subject} in a few sentences, in the context of {topic}.",
    "I am reading about {topic}. What can be said about {subject}?",
)
_EXPLAIN = (
    "In the context of {topic}, explain the term {term}.",
    "On the subject of {topic}: what does {term} refer to, and how does it come up?",
    "Concerning {topic}, explain in a few sentences what {term} is about.",
    "What would you say about {term} to someone who is new to {topic}?",
)
_SUMMARY = (
    "Sum up what is important about {topic}.",
    "Give a summary of the subject {topic}.",
    "What are the main points to remember about {topic}?",
    "In a paragraph, what should one know about {topic}?",
)
#: Subjects about which a paragraph says one thing of many, or that name nobody.
_LOOSE = re.compile(
    r"^(?:an?|all|both|each|every|few|many|more|most|much|several|some|no|nothing|such|scientists|researchers|people|it|there|that|what|"
    r"everyone|anyone|one|two|three|four|five|another|other|today|now|nearly|almost|any|\w+omers|\w+ists|observers|others|calculations|"
    r"observations|measurements|results|studies|evidence|data|experts|students|(?:the|an?) (?:[\w-]+ )?(?:answer|result|reason|idea|key|problem|question|"
    r"difference|effect|way|fact|process|situation|difficulty|trick|point|amount|number|rest|first|second|next|last|following|same|"
    r"other|whole|story|team|group|case|value|example|picture|image|figure))$|"
    r"^(?:many|most|several|some|such|no|all|any|much|few|another|other|each|every|both|two|three|four|five|more|nearly|almost|one)\b|"
    r"^the (?:first|second|third|last|next|previous|final|new|old|other|same)\b|\b(?:of (?:the|a) (?:story|problem|question|answer)|I|ones?|others?)\b|’s$|\d\d\d\d",
    re.IGNORECASE,
)  # fmt: skip
#: What is said of another paragraph, and what somebody might do.
_OUTWARD = re.compile(r"\b(?:preceding|previous paragraph|feature box|could be|might be|by the way)\b", re.IGNORECASE)
#: How a paragraph begins that goes on from the one before.
_GOES_ON = re.compile(
    r"^(?:Previously|Initially|Eventually|Afterwards?|Meanwhile|Clearly|Once|Apparently|Later|Any|Some|Each)\b"
)
#: A word between subject and verb that belongs to neither.
_ADVERB = re.compile(r"\b(?:never|always|often|once|still|already|usually|sometimes|just|ever|even|all|both|\w+ly)$")
_LEAD = re.compile(r"^[A-Z][^,]{3,60}, (?=[a-zA-Z])")


def topic_words(reading: Reading, section: str = "", more: str = "") -> frozenset[str]:
    """The words that a reader knows a text is about, in small letters, plurals in the singular too."""
    words = english.words(f"{reading.document.title} {section} {more}")
    return frozenset([*words, *(word.rstrip("s") for word in words)])


def is_clear(text: str, topic: frozenset[str]) -> bool:
    """Whether every definite phrase says by itself which one is meant, or has a word of the topic."""
    need, phrase = english.context_need(mask_math(text)[0], topic)
    return need == "none" or (
        need == "topic" and any({word, word.rstrip("s")} & topic for word in english.words(phrase)[1:])
    )


#: Quotations, people who were named before, comparisons with everyday things.
_LEANING = re.compile(
    r"[“”\"]|, then,|\b(?:he|his|him|she|her|analog\w+|scale model|then|[Tt]he few|[Tt]he most \w+ (?:is|are)|(?:[Aa]fter|[Bb]efore|[Bb]y|[Ii]n|[Oo]f|[Aa]t) that)\b|"
    r"^(?:Equally|Because of|At first|Initially|Eventually|Previously|Later|Meanwhile|Once|While some|Some|It|A good|"
    r"The (?:two|three|four|five|six|seven|eight|nine|ten))\b|\b(?:at|from|to|point|or) [A-Z]\b(?!\.)|^[A-Z][^,]{0,60}, (?:it|they|their|its|some|most|many)\b"
)


@lru_cache(maxsize=4096)  # several rules ask it of the same sentences, one document after another
def can_be_claimed(text: str, topic: frozenset[str]) -> bool:
    """Whether one sentence, without what stands around it, states something of things that it names."""
    is_long = not _MIN_CLAIM_WORDS <= len(text.split()) <= _MAX_CLAIM_WORDS
    if is_long or _LEANING.search(text) or why_not_alone([text], topic) or not is_clear(text, topic):
        return False
    # "The ship sank": a chapter on ships tells of several.
    article, noun, verb = text.split()[:3]
    is_bare = article == "The" and noun.islower() and _is_verb(verb, f"The {noun}")
    return not is_bare or english.context_need(mask_math(text)[0], topic)[0] == "none"


def paragraphs(reading: Reading) -> Iterator[Candidate]:
    """What a paragraph says of the subject that it begins with, in two to five of its sentences; each subject once."""
    topic = quoted(reading.document.title)
    if article_of(reading) is not None or not topic:
        return
    seen: set[str] = set()
    taken = {position for candidate in sections(reading) for position in candidate.positions}
    for words, paragraph in _paragraphs(reading, taken):
        for start in range(len(paragraph) - 1):
            run = _run(paragraph[start:], words)
            subject = _subject(run[0], reading, words) if run else None
            if subject is None or subject.lower() in seen or not _goes_on(subject, run):
                continue
            seen.add(subject.lower())
            form = _ACCOUNT[keyed_hash(reading.seed, "paragraph", reading.document.id, subject) % len(_ACCOUNT)]
            yield Candidate(
                kind="account",
                question=fill(form, topic=topic, subject=subject),
                focus=f"{subject} in the context of {topic}",
                answer=" ".join(sentence.text for sentence in run),
                rule="paragraph",
                positions=tuple(sentence.position for sentence in run),
                scope=reading.document.id,
            )
            break


def _paragraphs(reading: Reading, taken: Container[int]) -> Iterator[tuple[frozenset[str], list[Sentence]]]:
    """Paragraphs with the words of their topic; none of a summary, nor one that a section was asked about with."""
    everything = (sentence for passage in reading.passages for sentence in passage.sentences)
    for (section, _), group in itertools.groupby(
        everything, key=lambda sentence: (sentence.heading, sentence.paragraph)
    ):
        members = list(group)
        if not is_summary(section) and not any(sentence.position in taken for sentence in members):
            yield topic_words(reading, section), members


def _run(sentences: Sequence[Sentence], words: frozenset[str]) -> list[Sentence]:
    """The longest run from the first sentence on that can be read alone; empty if that is less than two."""
    run: list[Sentence] = []
    count = 0
    for sentence in sentences:
        count += len(sentence.text.split())
        if (
            _OUTWARD.search(sentence.text)
            or count > _MAX_WORDS
            or why_not_alone([*(one.text for one in run), sentence.text], words) is not None
        ):
            break
        run.append(sentence)
    return run if len(run) > 1 and sum(len(one.text.split()) for one in run) >= _MIN_WORDS else []


def _goes_on(subject: str, run: Sequence[Sentence]) -> bool:
    """Whether later sentences speak of the subject too: otherwise the paragraph goes on to something else."""
    heads = [
        word
        for word in re.findall(r"[^\W\d_][\w-]{2,}", re.sub(r"’s\b", "", subject))
        if word.lower() not in english.PREPOSITIONS
    ]
    rest = " ".join(sentence.text for sentence in run[1:])
    return any(re.search(rf"\b{re.escape(head.rstrip('s'))}", rest, re.IGNORECASE) for head in heads[-2:])


def _subject(sentence: Sentence, reading: Reading, words: frozenset[str]) -> str | None:
    """The subject of a sentence as a question can name it; None where no rule finds one that says what is meant."""
    text, formulas = mask_math(sentence.text)
    if _GOES_ON.match(text):
        return None
    lead = _LEAD.match(text)
    text = text[lead.end() :] if lead else text
    clause = Clause(text, formulas, reading.names)
    parts = text.split()
    for length in range(1, min(_MAX_SUBJECT_WORDS + 1, len(parts))):
        verb = parts[length]
        phrase = " ".join(parts[:length])
        if not _is_verb(verb, phrase):
            continue
        subject = subject_of(clause, phrase, _MAX_SUBJECT_WORDS)
        if subject is None or "\ue000" in subject or len(subject) < 4 or _LOOSE.search(subject):
            return None
        # "the temperatures", a bare noun: of what, the topic does not tell.
        is_bare = (
            re.fullmatch(r"the [a-z]+", subject)
            or (lead and re.fullmatch(r"[a-z]+", subject))
            or _ADVERB.search(subject)
        )
        return subject if is_clear(f"What about {subject}?", words) and not is_bare else None
    return None


def _is_verb(word: str, phrase: str) -> bool:
    """Whether a word behind a phrase is its finite verb."""
    if word in english.AUXILIARIES.split("|") or (word in english.PAST and word not in english.PARTICIPLES):
        return True
    if word in english.THIRD and word not in english.NOUN_LIKE:
        return not english.is_plural(phrase)
    return word in english.BASES and word not in english.NOUN_LIKE and english.is_plural(phrase)


def terms(reading: Reading) -> Iterator[Candidate]:
    """What the prose says of a term where it introduces it: its sentence, what it needs before it, and the next one."""
    topic = quoted(reading.document.title)
    if article_of(reading) is not None or not topic:
        return
    by_position = {sentence.position: sentence for passage in reading.passages for sentence in passage.sentences}
    for term in reading.terms:
        sentence = by_position.get(term.position)
        # "Old" of "Old Weir": the bold type ends too early.
        if sentence is None or re.search(rf"{re.escape(term.text)}(?: [A-Z]|[’'])", sentence.text):
            continue
        words = topic_words(reading, sentence.heading, term.text)
        run = _around(sentence, by_position, words)
        if not run:
            continue
        form = _EXPLAIN[keyed_hash(reading.seed, "term", reading.document.id, term.text) % len(_EXPLAIN)]
        yield Candidate(
            kind="definition",
            question=fill(form, topic=topic, term=quoted(term.text)),
            focus=f"what {quoted(term.text)} means in the context of {topic}",
            answer=" ".join(one.text for one in run),
            rule="term-in-prose",
            positions=tuple(one.position for one in run),
            scope=reading.document.id,
        )


def _around(sentence: Sentence, by_position: dict[int, Sentence], words: frozenset[str]) -> list[Sentence]:
    """The shortest run that ends with a sentence and can be read alone, with the sentence after it where that can be too."""
    for back in range(_MAX_BACK + 1):
        run = [by_position.get(sentence.position - step) for step in range(back, -1, -1)]
        whole = [one for one in run if one is not None and one.paragraph == sentence.paragraph]
        if len(whole) != back + 1:
            return []
        if why_not_alone([one.text for one in whole], words) is None:
            if (
                _GOES_ON.match(whole[0].text)
                or not is_clear(whole[0].text, words)
                or any(_OUTWARD.search(one.text) for one in whole)
            ):
                return []
            following = by_position.get(sentence.position + 1)
            if (
                following
                and following.paragraph == sentence.paragraph
                and why_not_alone([*(one.text for one in whole), following.text], words) is None
            ):
                whole.append(following)
            return whole if sum(len(one.text.split()) for one in whole) <= _MAX_WORDS else []
    return []


def summaries(reading: Reading) -> Iterator[Candidate]:
    """What a document comes to, in the sentences of the section that sums it up."""
    topic = quoted(reading.document.title)
    if article_of(reading) is not None or not topic:
        return
    everything = [sentence for passage in reading.passages for sentence in passage.sentences]
    run: list[Sentence] = []
    count = 0
    for sentence in everything:
        if not is_summary(sentence.heading):
            continue
        count += len(sentence.text.split())
        if count > _MAX_SUMMARY_WORDS:
            break
        run.append(sentence)
    words = topic_words(reading)
    if len(run) > 1 and count >= _MIN_WORDS and why_not_alone([run[0].text], words) in (None, "definite", "address"):
        form = _SUMMARY[keyed_hash(reading.seed, "summary", reading.document.id) % len(_SUMMARY)]
        yield Candidate(
            kind="account",
            question=fill(form, topic=topic),
            focus=f"the main points about {topic}",
            answer=" ".join(sentence.text for sentence in run),
            rule="summary",
            positions=tuple(sentence.position for sentence in run),
            scope=reading.document.id,
        )


RULES: dict[str, Rule] = {"paragraph": paragraphs, "term-in-prose": terms, "summary": summaries}
