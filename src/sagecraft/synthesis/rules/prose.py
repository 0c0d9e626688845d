"""Sentences of a book as they can be told by themselves: without the word that ties them to the one before, or together with it.

“However, the lake is deep” says of the lake what “The lake is deep” says. A sentence that means nothing without its neighbour
is told with it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sagecraft.corpus.sentences import Sentence, mask_math
from sagecraft.literature import english
from sagecraft.literature.alone import is_clear, why_not_alone
from sagecraft.literature.reading import Reading
from sagecraft.literature.summary import is_summary
from sagecraft.synthesis.rules.reported import article_of

#: Words of a single sentence that is asked about.
_MIN_CLAIM_WORDS, _MAX_CLAIM_WORDS = 8, 45
#: Sentences before another with which it may be told, and words of them all.
MAX_BACK = 2
_MAX_TOLD_WORDS = 75

_LEADS = (
    "however|thus|therefore|hence|in fact|indeed|moreover|furthermore|in addition|nevertheless|nonetheless|of course|for example|"
    "for instance|similarly|likewise|as a result|consequently|in other words|by contrast|in contrast|on the other hand|also|"
    "interestingly|surprisingly|unfortunately|fortunately|luckily|not surprisingly|accordingly|to be sure|in short|besides"
)
#: What a sentence begins with that only joins it to the one before.
_LEAD = re.compile(
    rf"^(?:(?i:{_LEADS}), (?=\w)|(?:But|And|Yet)(?: (?:{_LEADS}))?,? (?=\w)|(?:So|Thus|Hence|Therefore),? "
    r"(?=(?:the|an?|all|most|some|every|each|scientists)\b|[A-Z]\w))"
)
#: The same within commas, and words that could be left out anywhere.
_JOINS = (
    "therefore|thus|hence|however|moreover|nevertheless|nonetheless|consequently|accordingly|for example|for instance|"
    "of course|in fact|indeed"
)
_BETWEEN = re.compile(rf", (?:{_JOINS})(, | (?=[a-z]))")
_WITHIN = re.compile(r"(?<=[a-z]) (?:also|therefore|thus)(?= [a-z])")
#: Behind one of these a comma ends a phrase that the sentence begins with.
_SUBORDINATE = re.compile(
    r"^(?:If|When|Because|Since|While|Although|Though|As|After|Before|Once|Until|Unless|Whenever|[A-Z]\w+ing|"
    r"(?:In|On|At|For|With|From|By|To|Of|Over|Under|During|Without|Within|Through|Near|Unlike|Like|Despite|Instead|Given)\b)"
)

#: "we" that are people at large ("we see"), not an author with readers ("we saw", "we will see").
_PEOPLE = re.compile(
    r"\b([Ww])e (?=(?:(?:now|only|often|usually|typically|still|generally|currently|fully|yet|can|cannot|must|need to|do not|don’t|are|have|have not|"
    r"all|actually|simply|normally|sometimes|never|always) )*(?:know|see|call|observe|measure|live|use|detect|find|found|understand|think|receive|get|have|"
    r"observed|detected|refer|calculate|determine|estimate|notice|made|make|distinguish|perceive|experience|look|obtain|feel|breathe|named|"
    r"give|view|able|regard|go|move|search|study|learn|deduce|infer|believe|need|rely|send|tell|say|speak|hear|burn|depend|weigh|explore|combine|compare|"
    r"record|collect|apply|inherit|inhabit|recognize|identify|classify|conclude)\b)"
)
_OUR = re.compile(r"\b([Oo])ur (?=(?:own )?([A-Za-z][\w-]*))")
_US = re.compile(r"(?<!let )(?<!Let )\bus\b")
_OF_AUTHORS = re.compile(
    r"\b[Ii]f we (?:imagine|suppose|assume|think|were|could|had|take|consider|wish|want|look back|recall|go back|compare)\b|\b[Ll]et us\b|\b[Ww]here we (?!live)|\b(?:[Ss]ince|[Nn]ow that) we\b|"
    r"\b[Aa]s we (?:saw|see|will|shall|have|noted|mention|describ|discuss|said|learn|explain|did|do|know|now|can|might|begin|turn|continue|already|just)|\b[Ww]e (?:will|’ll|’ve|shall|saw|have (?:just |already )?(?:seen|discussed|been|described|"
    r"mentioned|learned)|discuss|describe|turn|begin|now turn)\b|\b[Oo]ur (?:own )?(?:discussions?|story|text|book|examples?|journey|tour|exploration|"
    r"attention|models?|calculations?|formula|equation|task|goal|purposes?|next|list|course|imaginary|hypothetical|questions?|analogy|"
    r"look|study|first|previous|definition|earlier|cases?|brief|overview|sample|point|ideas?|simple|thinking|figures?|results?|friends?|"
    r"everyday|voyage|sequence|investigation|sketch|introduction|approach|argument|consideration|experiments?|observer|"
    r"inquiry|review|search|trip|picture|guide|team|life|lives|lifetimes?|original|conclusions?|assumptions?|diagram|knowledge so far)\b"
)
#: A star of emphasis left alone, an aside, a picture, another chapter, and what may be watched or tried elsewhere.
_TORN = re.compile(
    r"\bthought experiment|\bcontains? an? (?:diagram|table|figure|list|map)\b|(?i:\b(?:videos?|websites?|web (?:sites?|pages?)|animations?|applets?|podcasts?|episodes?|apps?)\b)|"
    r"(?:^|[ (])\*\w|\w\*(?:[ ,.]|$)|^\(|\.?\)[A-Z]|\b(?:introduced|discussed|described|explained|defined|covered|mentioned|seen) (?:earlier |later )?in (?:the )?(?:[A-Z]|next|last|previous|this)|"
    r"\bshows? (?:an?|the) (?:[\w-]+ ){0,2}(?:views?|images?|pictures?|photo\w*|illustrations?|diagrams?|maps?|drawings?)\b|\bthe (?:\w+ )?(?:discussion|section|chapter|feature) (?:of|on|about)\b"
)


@dataclass(frozen=True)
class Told:
    """Consecutive sentences of a paragraph that can be read alone.

    Attributes:
        texts: one a sentence, the first without what joined it to others.
        positions: of the sentences.
        section: heading that they stand under.
        topic: words that the reader knows they are about: of the title and the heading.
    """

    texts: tuple[str, ...]
    positions: tuple[int, ...]
    section: str
    topic: frozenset[str]

    @property
    def text(self) -> str:
        """All as one paragraph."""
        return " ".join(self.texts)

    @property
    def last(self) -> int:
        """Where the last sentence begins in the text."""
        return len(self.text) - len(self.texts[-1])


def untied(text: str) -> str:
    """A sentence without words that only join it to the one before; what it says stays the same."""
    found = _LEAD.match(text)
    if found:
        text = text[found.end()].upper() + text[found.end() + 1 :]
    comma = ", " if _SUBORDINATE.match(text) else " "
    text = _BETWEEN.sub(lambda joint: comma if joint.group(1) == ", " else ", ", text)
    return _WITHIN.sub("", text)


def impersonal(text: str) -> str:
    """A sentence whose “we” and “our” are people at large, with “people” in their place; others as they are.

    It serves the tests of sentences only, which refuse whatever speaks to a reader.
    """
    if _OF_AUTHORS.search(text):
        return text
    text = _PEOPLE.sub(lambda found: "People " if found.group(1) == "W" else "people ", text)
    text = _OUR.sub(lambda found: "People’s " if found.group(1) == "O" else "people’s ", text)
    return _US.sub("people", text)


def is_alone(texts: Sequence[str], topic: frozenset[str]) -> bool:
    """Whether sentences can be read alone, “our planet” and “we know” allowed."""
    is_sound = all(is_whole(text) for text in texts) and not _LATE.match(texts[0])
    return is_sound and why_not_alone([impersonal(text) for text in texts], topic) is None


def is_whole(text: str) -> bool:
    """Whether a sentence has no torn markup, is no aside in brackets, and points to no picture and no other chapter."""
    return _TORN.search(mask_math(text)[0]) is None


def topic_words(reading: Reading, more: str = "") -> frozenset[str]:
    """The words that a reader knows a text is about: of the title, and what else the question names; in small letters, plurals in the singular too."""
    words = english.words(f"{reading.document.title} {more}")
    return frozenset([*words, *(word.rstrip("s") for word in words)])


#: Quotations, comparisons with everyday things, and what only the sentence before tells.
_LEANING = re.compile(
    r"[“”\"]|, then,|\b(?:analog\w+|scale model|then|[Tt]he few|[Tt]he most \w+ (?:is|are)|(?:[Aa]fter|[Bb]efore|[Bb]y|[Ii]n|[Oo]f|[Aa]t) that)\b|"
    r"^(?:Equally|To do (?:so|this|that)|For a while|For the moment|Worry|Because of|At first|Initially|Eventually|Previously|Later|Meanwhile|Once|While some|Some(?! people| scientists)|It|A good|That|Those|"
    r"The (?:two|three|four|five|six|seven|eight|nine|ten))\b|\b(?:at|from|to|point|or) [A-Z]\b(?!\.)|"
    r"^(?!(?:When|If|Because|While|As|Although|Since|Whenever) (?:the |an? )?[a-z][\w-]+ )[A-Z][^,]{0,60}, (?:it|they|their|its|some|most|many)\b|"
    r"\b(?:somewhat|slightly|a bit|a little|considerably) \w+er\b(?!.* than )|^(?:Larger|Smaller|Longer|Higher|Lower|Older|Better|More) |^People (?:now )?(?:call|refer|use)\b|"
    r"\b(?:is|are|was|were) (?:both )?\w+er(?: and \w+er)?\b(?<!either)(?<!other)(?<!over)(?<!under)(?<!never)(?!.* than )|\b[Tt]he (?:two|three|four) [a-z]+s\b(?! of)|\bthat (?:young|old|large|small|far|close|"
    r"hot|fast|high|low)\b|^People (?:\w+ ){0,3}that (?:it|they)\b|"
    r"^(?!.*\b(?:if|without|absence|were|until|expected|hoped)\b).*\bwould\b|"
    r"\b(?P<person>he|his|him|she|her)\b"
)
#: "Named after a saint, it …": what?
_LATE = re.compile(
    r"^(?:Named|Called|Known|Born|Built|Made|Seen|Given|Located|Unlike \w+|At \w+ \w+|In \w+|After \w+ \w+)\b[^,]*, (?:it|they|he|she|its|their|his|her)\b"
)
#: "the boat’s mast": whose?
_OWNER = re.compile(r"\b[Tt]he (?:[a-z]+ )?(?P<owner>[a-z]+)[’']s\b")
#: Somebody who is named as the one that acts, before a pronoun.
_PERSON = re.compile(
    r"^(?:(?:In|On) [\w ]*\d{4}, |[^,]{4,60}, )?(?:[A-Za-z-]+ ){0,3}?[A-Z][\w’-]+ (?:[A-Z]\. )?(?:[A-Z][\w’-]+ )?(?:[a-z]+ed|was|had|"
    r"showed|found|began|became|made|saw|took|gave|wrote|built|thought|knew|won|spent|led|set|came|went|left)\b|^[^,]{4,60}, (?:Sir |Dr\. )?[A-Z][\w’-]+ (?:[A-Z][\w’-]+ )?[a-z]+ed\b"
)


def leans(text: str) -> bool:
    """Whether a sentence quotes, compares with everyday things, or has a word for what only the one before tells."""
    if any(not found["person"] or not _PERSON.match(text[: found.start()]) for found in _LEANING.finditer(text)):
        return True
    return any(not _is_told(found["owner"], text[: found.start()]) for found in _OWNER.finditer(text))


def _is_told(noun: str, before: str) -> bool:
    """Whether "the boat’s" can be understood: a boat, or a name, stands before it, or there is only one."""
    named = re.findall(r"(?<!^)\b[A-Z][a-z]+|^[A-Z][a-z]+(?<!s)\b", before)
    is_named = any(name.lower() not in english.OPENERS | english.PREPOSITIONS | english.DETERMINERS for name in named)
    return is_named or noun in before.lower() or english.context_need(f"the {noun}", frozenset())[0] == "none"


@lru_cache(maxsize=4096)  # several rules ask it of the same sentences, one document after another
def can_be_claimed(text: str, topic: frozenset[str]) -> bool:
    """Whether one sentence, without what stands around it, states something of things that it names."""
    if not is_whole(text):
        return False
    text = impersonal(text)
    is_long = not _MIN_CLAIM_WORDS <= len(text.split()) <= _MAX_CLAIM_WORDS
    if is_long or leans(text) or why_not_alone([text], topic) or not is_clear(text, topic):
        return False
    # "The ship sank": a chapter on ships tells of several.
    article, noun, verb = text.split()[:3]
    is_bare = article == "The" and noun.islower() and (is_verb(verb, f"The {noun}") or verb.endswith(("ed", "s")))
    return not is_bare or english.context_need(mask_math(text)[0], topic)[0] == "none"


def is_verb(word: str, phrase: str) -> bool:
    """Whether a word behind a phrase is its finite verb."""
    if word in english.AUXILIARIES.split("|") or (word in english.PAST and word not in english.PARTICIPLES):
        return True
    if word in english.THIRD and word not in english.NOUN_LIKE:
        return not english.is_plural(phrase)
    return word in english.BASES and word not in english.NOUN_LIKE and english.is_plural(phrase)


def paragraphs_of(reading: Reading) -> Iterator[list[Sentence]]:
    """The paragraphs of a book's prose; none of an article, nor of a section that sums up."""
    if article_of(reading) is not None or not reading.document.title:
        return
    everything = (sentence for passage in reading.passages for sentence in passage.sentences)
    for (section, _), group in itertools.groupby(everything, key=lambda one: (one.heading, one.paragraph)):
        if not is_summary(section):
            yield list(group)


def tellings(reading: Reading) -> Iterator[Told]:
    """Every sentence of a book that states something: alone, or with the one or two before it that it takes to read it."""
    if article_of(reading) is not None or not reading.document.title:
        return
    everything = (sentence for passage in reading.passages for sentence in passage.sentences)
    topic = topic_words(reading)
    for _, group in itertools.groupby(everything, key=lambda one: (one.heading, one.paragraph)):
        paragraph = list(group)
        for at in range(len(paragraph)):
            told = told_of(tuple(paragraph[max(0, at - MAX_BACK) : at + 1]), topic)
            if told is not None:
                yield told


@lru_cache(maxsize=4096)  # several rules ask for those of one document, one after another
def told_of(sentences: tuple[Sentence, ...], topic: frozenset[str], least: int = 0) -> Told | None:
    """The last of some sentences with as few of those before it as it takes; None if all of them are not enough.

    Args:
        sentences: of one paragraph.
        topic: words that the reader knows they are about.
        least: how many of those before it at least.
    """
    last = sentences[-1]
    for back in range(least, len(sentences)):
        run = sentences[-1 - back :]
        texts = (untied(run[0].text), *(one.text for one in run[1:]))
        if sum(len(text.split()) for text in texts) > _MAX_TOLD_WORDS:
            break
        # A sentence that stands alone but leans in another way is not mended by one before it.
        is_sound = can_be_claimed(texts[0], topic) and not leans(impersonal(" ".join(texts)))
        if is_sound and (back == 0 or (is_alone(texts, topic) and _follows(texts, topic))):
            return Told(texts, tuple(one.position for one in run), last.heading, topic)
    return None


def _follows(texts: Sequence[str], topic: frozenset[str]) -> bool:
    """Whether a definite phrase of the last sentence means something that those before it, or the topic, speak of."""
    said = topic | {form for word in english.words(" ".join(texts[:-1])) for form in (word, word.rstrip("s"))}
    need, phrase = english.context_need(mask_math(impersonal(texts[-1]))[0], said)
    return (
        need != "drop"
        or not phrase.startswith("the ")
        or bool({word.rstrip("s") for word in english.words(phrase)[1:]} & said)
    )
