"""Questions from the prose of books: what a paragraph says of its subject, what a term means, what a chapter comes to.

A paragraph brings its own antecedents along: two to five of its sentences stand alone where one would not.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Sequence

from sagecraft.artifact import keyed_hash
from sagecraft.corpus.sentences import Sentence, mask_math
from sagecraft.literature import english
from sagecraft.literature.alone import is_clear, why_not_alone
from sagecraft.literature.reading import Reading
from sagecraft.literature.summary import is_summary
from sagecraft.synthesis.candidate import Candidate, Clause, Rule, fill, quoted
from sagecraft.synthesis.rules.glossary import entry, named, usable
from sagecraft.synthesis.rules.prose import (
    Told,
    impersonal,
    is_alone,
    is_verb,
    paragraphs_of,
    tellings,
    topic_words,
    untied,
)
from sagecraft.synthesis.rules.reported import article_of
from sagecraft.synthesis.rules.sentences import sections
from sagecraft.synthesis.shapes import subject_of

#: Words of an account; less is one fact, more no model of a few hundred million parameters keeps together.
_MIN_WORDS, _MAX_WORDS = 28, 115
_MAX_SUMMARY_WORDS = 190
#: Sentences before that of a term with which an explanation may begin.
_MAX_BACK = 2
_MAX_SUBJECT_WORDS = 9
#: Words of a sentence that is a fact worth knowing.
_MIN_FACT_WORDS = 11
#: What belongs to a story, or to a picture of the thing.
_NO_FACT = re.compile(
    r"^(?:Rather|Instead)\b|\b(?:are shown|finally|had|suggests?|mean|as if|blocks?|future|long before)\b"
)

_ACCOUNT = (
    "In the context of {topic}, what is there to say about {subject}?",
    "On the subject of {topic}: what should one know about {subject}?",
    "Concerning {topic}, tell me about {subject}.",
    "What can you tell me about {subject}, in the context of {topic}?",
    "Describe {subject} in a few sentences, in the context of {topic}.",
    "I am reading about {topic}. What can be said about {subject}?",
)
_FACT = (
    "In the context of {topic}, tell me one fact about {subject}.",
    "On the subject of {topic}: what is one thing to know about {subject}?",
    "Concerning {topic}, say in one sentence what you know about {subject}.",
    "I am learning about {topic}. What is one thing that I should remember about {subject}?",
    "State something that is true of {subject}, in the context of {topic}.",
)
_EXPLAIN = (
    "In the context of {topic}, explain in a few sentences what the term {term} means.",
    "On the subject of {topic}: what does the term {term} mean, and how does it come up?",
    "Concerning {topic}, tell me what the term {term} means and what belongs to it.",
    "What does the term {term} mean? Explain it to someone who is new to {topic}.",
)
_SUMMARY = (
    "Sum up what is important about {topic}.",
    "Give a summary of the subject {topic}.",
    "What are the main points to remember about {topic}?",
    "In a paragraph, what should one know about {topic}?",
)
#: Subjects about which a paragraph says one thing of many, or that name nobody.
_LOOSE = re.compile(
    r"^(?:an?|(?P<again>\w+) after (?P=again)|the way \w+|activity|all|both|each|every|few|many|more|most|much|several|some|no|nothing|such|scientists|researchers|people|it|there|that|what|"
    r"(?:everyone|anyone)(?: and .*)?|one|two|three|four|five|another|other|today|now|nearly|almost|any|\w+omers|\w+ists|observers|others|calculations|"
    r"observations|measurements|results|studies|evidence|data|experts|students|(?:the|an?) (?:[\w-]+ )?(?:answer|result|reason|idea|key|problem|question|"
    r"difference|effect|way|fact|process|situation|difficulty|trick|point|amount|number|rest|first|second|next|last|following|same|"
    r"other|whole|story|team|group|case|value|example|picture|image|figure))$|"
    r"^an? (?:\w+ )?(?:variety|range|number|host|series|handful) of\b|^(?:many|most|several|some|such|no|all|any|much|few|another|other|each|every|both|two|three|four|five|more|nearly|almost|one)\b|"
    r"^the (?:first|second|third|last|next|previous|final|new|old|other|same)\b|\b(?:of (?:the|a) (?:story|problem|question|answer)|I|ones?|others?)\b|’s$|\d\d\d\d",
    re.IGNORECASE,
)  # fmt: skip
#: What is said of another paragraph, and what somebody might do.
_OUTWARD = re.compile(r"\b(?:preceding|previous paragraph|feature box|could be|might be|by the way)\b", re.IGNORECASE)
#: How a paragraph begins that goes on from the one before.
_GOES_ON = re.compile(
    r"^(?:(?:Previously|Initially|Eventually|Afterwards?|Meanwhile|Clearly|Once|Apparently|Later|Any|Some|Each)\b|Those |That (?!is\b|the\b)[a-z]+|"
    r"(?:[A-Z]\w+, )?(?:[Ww]e|[Pp]eople|[Ss]cientists) \w+ (?:of |about )?(?:it|them|this|these|those)\b)"
)
#: A word between subject and verb that belongs to neither.
_ADVERB = re.compile(r"\b(?:never|always|often|once|still|already|usually|sometimes|just|ever|even|all|both|\w+ly)$")
_LEAD = re.compile(r"^[A-Z][^,]{3,60}, (?=[a-zA-Z])")


#: How a sentence goes on from the one before: a word that joins it, or a pronoun before it has a subject of its own.
_LINK = re.compile(
    r"^(?:(?:But|And|So|Yet|Also|Then|Thus|Hence|However|Therefore|Moreover|Furthermore|Indeed|Instead|Still|Again|Similarly|Consequently|"
    r"Otherwise|In (?:fact|addition|contrast|turn|other words|particular|short)|As a (?:result|consequence)|For (?:example|instance)|By contrast|"
    r"On the other hand|At the same time)\b|.{0,40}\b(?:[Ii]ts?|[Tt]hey|[Tt]heir|[Tt]hem|[Tt]his|[Tt]hese|[Tt]hose|[Ss]uch|[Hh]e|[Hh]is|[Ss]he|[Hh]er)\b)"
)
#: Names of two words or more, or with digits, inside a sentence.
_NAMED = re.compile(r"(?<=[a-z,] )(?:the )?[A-Z][\w’-]*(?:(?: of| the)* [A-Z0-9][\w’-]*)+")
#: Names that answer for no paragraph: months, authors of a feature.
_NO_THEME = re.compile(
    r"\b(?:University|Society|Institute|Department|College|Museum|Observatory|States|Prize|Union|America|World War|Age|Journal|Academy|Figure|Table)\b|[’']s?$|[’']s "
)


def paragraphs(reading: Reading) -> Iterator[Candidate]:
    """What a paragraph says of something: two to five sentences that begin with it and keep to it, none of them twice.

    Where two do not hold together, one that names what it is about answers for one fact about it.
    """
    topic = quoted(reading.document.title)
    seen: set[str] = set()
    taken = {position for candidate in sections(reading) for position in candidate.positions}
    words = topic_words(reading)
    for paragraph in paragraphs_of(reading):
        start = 0
        while start < len(paragraph) - 1:
            run = _run(paragraph[start:], words, taken)
            subject = _subject(run, reading) if run else None
            run = _kept_to(subject, run) if run and subject else None
            if run is None or subject is None or subject.lower() in seen:
                start += 1
                continue
            start += len(run.positions)
            seen.add(subject.lower())
            form = _ACCOUNT[keyed_hash(reading.seed, "paragraph", reading.document.id, subject) % len(_ACCOUNT)]
            yield Candidate(
                kind="account",
                question=fill(form, topic=topic, subject=subject),
                focus=f"{subject} in the context of {topic}",
                answer=run.text,
                rule="paragraph",
                positions=run.positions,
                scope=reading.document.id,
            )
            taken.update(run.positions)
    yield from _facts(reading, seen, taken)


def _facts(reading: Reading, seen: set[str], taken: Container[int]) -> Iterator[Candidate]:
    """Single sentences about things that no account is of.

    Args:
        reading: the document.
        seen: subjects that were asked about, in small letters; added to.
        taken: positions of sentences that other accounts hold.
    """
    topic = quoted(reading.document.title)
    for told in tellings(reading):
        is_long = len(told.text.split()) >= _MIN_FACT_WORDS
        if len(told.texts) > 1 or not is_long or told.positions[0] in taken or is_summary(told.section):
            continue
        if _NO_FACT.search(told.text):
            continue
        subject = of_sentence(told.text, reading, told.topic)
        if subject is None or subject.lower() in seen:
            continue
        seen.add(subject.lower())
        form = _FACT[keyed_hash(reading.seed, "fact", reading.document.id, subject) % len(_FACT)]
        yield Candidate(
            kind="account",
            question=fill(form, topic=topic, subject=subject),
            focus=f"{subject} in the context of {topic}",
            answer=told.text,
            rule="fact",
            positions=told.positions,
            scope=reading.document.id,
        )


def _run(sentences: Sequence[Sentence], words: frozenset[str], taken: Container[int]) -> Told | None:
    """The longest run from the first sentence on that can be read alone; None if that is less than two."""
    texts: list[str] = []
    for sentence in sentences:
        text = sentence.text if texts else untied(sentence.text)
        is_long = sum(len(one.split()) for one in (*texts, text)) > _MAX_WORDS
        if is_long or _OUTWARD.search(text) or sentence.position in taken or not is_alone([*texts, text], words):
            break
        texts.append(text)
    if len(texts) < 2:
        return None
    return Told(tuple(texts), tuple(one.position for one in sentences[: len(texts)]), sentences[0].heading, words)


def _kept_to(subject: str, run: Told) -> Told | None:
    """The sentences of a run that keep to its subject: they name it, or go on from the one before; None if that is one."""
    heads = [
        word.rstrip("s")
        for word in re.findall(r"[^\W\d_][\w-]{2,}", re.sub(r"’s\b", "", subject))
        if word.lower() not in english.PREPOSITIONS
    ][-2:]
    count = 1
    for text in run.texts[1:]:
        if not _LINK.search(text) and not any(
            re.search(rf"\b{re.escape(head)}", text, re.IGNORECASE) for head in heads
        ):
            break
        count += 1
    kept = Told(run.texts[:count], run.positions[:count], run.section, run.topic)
    return kept if count > 1 and len(kept.text.split()) >= _MIN_WORDS else None


def _subject(run: Told, reading: Reading) -> str | None:
    """What a run is about, as a question can name it: the subject of its first sentence, or the name that it comes back to."""
    subject = of_sentence(run.texts[0], reading, run.topic)
    if subject is not None:
        return subject
    first, rest = run.texts[0], " ".join(run.texts[1:])
    names = [name for name in dict.fromkeys(_NAMED.findall(first)) if not _NO_THEME.search(name)]
    terms = {gloss.term for gloss in reading.glossary} | {term.text for term in reading.terms}
    for phrase in (*names, *sorted(terms, key=lambda term: (-len(term), term))):
        is_named = rf"(?<![\w-]){re.escape(phrase)}(?:s|es)?(?![\w-])"
        found = re.search(rf"(?:\b(?:[Tt]he|[Aa]n?) )?{is_named}(?! [A-Z][a-z])", first, re.IGNORECASE)
        if found and re.search(is_named, rest, re.IGNORECASE):
            return reading.names.lower_first(found.group(0))
    return None


def of_sentence(sentence: str, reading: Reading, words: frozenset[str]) -> str | None:
    """The subject of a sentence; None where no rule finds one that says what is meant."""
    text, formulas = mask_math(sentence)
    if _GOES_ON.match(text):
        return None
    lead = _LEAD.match(text)
    text = text[lead.end() :] if lead else text
    clause = Clause(text, formulas, reading.names)
    parts = text.split()
    for length in range(1, min(_MAX_SUBJECT_WORDS + 1, len(parts))):
        verb = parts[length]
        phrase = " ".join(parts[:length])
        if not is_verb(verb, phrase):
            continue
        subject = subject_of(clause, phrase, _MAX_SUBJECT_WORDS)
        if subject is None or "\ue000" in subject or len(subject) < 4 or _LOOSE.search(subject):
            return None
        if re.match(r"an? ", subject) and (verb in english.PAST or verb in ("was", "were", "had")):
            return None  # "A bridge was built": which one?
        # "the temperatures", a bare noun: of what, the topic does not tell.
        is_bare = (
            re.fullmatch(r"the [a-z]+", subject)
            or (lead and re.fullmatch(r"[a-z]+", subject))
            or _ADVERB.search(subject)
        )
        return subject if is_clear(f"What about {subject}?", words) and not is_bare else None
    return None


def terms(reading: Reading) -> Iterator[Candidate]:
    """What the prose says of a term where it introduces it, after its gloss where there is one: each term once."""
    topic = quoted(reading.document.title)
    if article_of(reading) is not None or not topic:
        return
    by_position = {sentence.position: sentence for passage in reading.passages for sentence in passage.sentences}
    glosses = {gloss.term.lower(): gloss for gloss in usable(reading) if gloss.is_phrase}
    introduced = {term.text.lower(): by_position.get(term.position) for term in reading.terms}
    for name in dict.fromkeys([*introduced, *glosses]):
        gloss = glosses.get(name)
        term = gloss.term if gloss else next(term.text for term in reading.terms if term.text.lower() == name)
        sentence = introduced.get(name) or _first_of(term, by_position.values())
        # "Old" of "Old Weir": the bold type ends too early.
        if sentence is None or re.search(rf"{re.escape(term)}(?: [A-Z]|[’'])", sentence.text):
            continue
        run = _around(sentence, by_position, topic_words(reading, term))
        if run is None:
            continue
        form = _EXPLAIN[keyed_hash(reading.seed, "term", reading.document.id, term) % len(_EXPLAIN)]
        yield Candidate(
            kind="definition",
            question=fill(form, topic=topic, term=named(gloss) if gloss else quoted(term)),
            focus=f"what {quoted(term)} means in the context of {topic}",
            answer=f"The term {named(gloss)} means {gloss.text}. {run.text}" if gloss else run.text,
            rule="term-in-prose",
            positions=run.positions,
            scope=reading.document.id,
            ground=(entry(gloss),) if gloss else (),
        )


def _first_of(term: str, sentences: Iterable[Sentence]) -> Sentence | None:
    """The first sentence of the prose that names a term of the glossary, or its plural."""
    pattern = re.compile(rf"(?<![\w-]){re.escape(term)}(?:s|es)?(?![\w-])", re.IGNORECASE)
    found = (one for one in sentences if not is_summary(one.heading) and pattern.search(one.text))
    return next(found, None)


def _around(sentence: Sentence, by_position: dict[int, Sentence], words: frozenset[str]) -> Told | None:
    """The shortest run that ends with a sentence and can be read alone, with the sentence after it where that can be too."""
    for back in range(_MAX_BACK + 1):
        run = [by_position.get(sentence.position - step) for step in range(back, -1, -1)]
        whole = [one for one in run if one is not None and one.paragraph == sentence.paragraph]
        if len(whole) != back + 1:
            return None
        texts = [untied(whole[0].text), *(one.text for one in whole[1:])]
        if sum(len(text.split()) for text in texts) > _MAX_WORDS:
            return None
        if not is_alone(texts, words):
            continue
        is_clear_start = not _GOES_ON.match(texts[0]) and is_clear(impersonal(texts[0]), words)
        if not is_clear_start or any(_OUTWARD.search(text) for text in texts):
            return None
        following = by_position.get(sentence.position + 1)
        if following and following.paragraph == sentence.paragraph and is_alone([*texts, following.text], words):
            whole, texts = [*whole, following], [*texts, following.text]
        if sum(len(text.split()) for text in texts) > _MAX_WORDS:
            return None
        return Told(tuple(texts), tuple(one.position for one in whole), sentence.heading, words)
    return None


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
