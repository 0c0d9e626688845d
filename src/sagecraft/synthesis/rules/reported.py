"""What an article says of itself, told by others: "we find" becomes "the authors find", and "this paper" "the article".

An abstract speaks as "we" and of "this work". Told of an article that the question names, its sentences stand alone; what
still points out of the sentence then ("these", "Table 3") is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from sagecraft.corpus.documents import Document
from sagecraft.corpus.sentences import mask_math, unmask
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import quoted

LISTS: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("articles.yaml").read_text(encoding="utf-8"))
WORK = "paper|work|study|letter|article|review|contribution|investigation|note|manuscript"

#: Sentences of a text without sections at most, to be the abstract of an article.
_MAX_SENTENCES = 25
_MIN_TITLE_WORDS = 3
_ABSTRACT = re.compile(r"(?:abstract|summary)[.:]?$", re.IGNORECASE)
#: Numbers that archives and publishers give to articles.
IDENTIFIER = re.compile(r"\d{4}\.\d{4,5}(?:v\d+)?|10\.\d{4,9}/\S+")
_OWN_VOICE = re.compile(rf"\b(?:[Ww]e|[Oo]ur)\b|\b[Tt]his (?:{WORK})\b")
_LABEL = re.compile(
    r"^(?:Aims?|Methods?|Results?|Conclusions?|Context|Background|Objectives?|Purpose|Findings|Goals?|Data|Motivation|Summary)(?:: ?|\. )"
)
#: "In our first paper": an earlier work is told of, not this one.
_EARLIER = "(?:first|second|third|previous|earlier|prior|preceding|companion|accompanying|last|former|recent|original|next|other|past)"
_EARLIER_WORK = re.compile(
    rf"\b(?:[Oo]ur|[Tt]heir|authors’) (?:own )?(?:{_EARLIER} (?:{WORK})|(?!first|second|third|last|original|next){_EARLIER} "
    r"(?:works|papers|studies|articles|letters|analys[ei]s|results?|findings?|efforts?|publications?|catalogu?es?|models?))\b"
)
_OPENING = re.compile(
    rf"^(?:(?:With)?[Ii]n (?:this|the present|the current|our)(?: (?!{_EARLIER}\b)\w+)? (?:{WORK}|series|proceedings?|chapter|thesis)|Here(?:in)?|In what follows)(?:, | (?=we\b))"
)
_CONNECTIVE = re.compile(
    r"^(?:However|Moreover|Furthermore|Further|Additionally|In addition|Finally|First|Firstly|Second|Secondly|Third|Thirdly|Lastly|"
    r"Therefore|Thus|Consequently|Overall|Specifically|In particular|Notably|Interestingly|Importantly|Crucially|Remarkably|"
    r"Altogether|Hence|Nevertheless|Also|Then|Next|In summary|In conclusion|To conclude|Surprisingly|Accordingly|Intriguingly|"
    r"Strikingly|In general|To this end|To that end|As a first step|Most importantly|Nonetheless|Yet|Subsequently|Besides), "
)
#: How a sentence opens that takes something back of the one before.
_CONTRAST = re.compile(
    r"^(?P<word>However|Nevertheless|Nonetheless|Yet|Still|But|Conversely|In contrast|By contrast|On the other hand|On the contrary|Although|Though)\b"
)
#: Said beside the verb, it leans on the sentence before.
_ADVERB = re.compile(
    r"(?<=\bwe) (?:also|thus|therefore|then|further|furthermore|hence|next|finally|additionally|subsequently|first|firstly|here|"
    r"instead|now|consequently|lastly|secondly|moreover) (?=[a-z])"
)
_INSERTED = re.compile(
    r" (?:(?:also|thus|therefore|hence|furthermore|further|additionally|moreover|here) )(?=(?:find|show|suggest|indicate|demonstrate|reveal|imply|"
    r"provide|confirm|predict|highlight|support)s?\b)"
)
#: "should therefore": behind an auxiliary, too, it leans on the sentence before.
_THEREFORE = re.compile(
    r"(?<=\b(?:can|may)) (?:therefore|thus|hence)(?= [a-z])|(?<=\b(?:will|must)) (?:therefore|thus|hence)(?= [a-z])|(?<=\bshould) (?:therefore|thus|hence)(?= [a-z])"
)
_THIS = re.compile(
    rf"\b(?P<the>[Tt]his|[Tt]he (?:present|current)|[Oo]ur) (?:(?:present|current) )?(?P<what>{WORK})(?= [a-z])(?! of\b)"
)
_MY_EVIDENCE = re.compile(rf"^Our (?=(?:[\w-]+ ){{0,3}}(?:{'|'.join(LISTS['evidence'].split())})\b)")
_THESE_RESULTS = re.compile(
    r"^(?:(?:Altogether|Together|Overall|Taken together|Combined|Collectively), )?(?:All )?[Tt]hese (?=(?:[a-z-]+ )?(?:results|findings)\b)"
)
_MINE = re.compile(r"\b(?P<word>[Ww]e|[Oo]ur|[Oo]urs|[Uu]s|[Oo]urselves)\b(?!’|')")
#: Words after which "our" means everybody's ("our understanding"), or a thing that all share.
_SHARED = re.compile(
    rf"\bour (?:(?:[\w-]+ )?(?:{'|'.join(LISTS['shared'].split())})\b(?! (?:[a-z]+s|sample|catalog(?:ue)?|model|survey|data|list|study|set)\b(?<!is|as|us))|own )",
    re.IGNORECASE,
)
_GENERIC_WE = re.compile(
    r"\b(?:we have (?:now |recently )?(?:discovered|learned|learnt|seen|known|come)|as we know|we know|we live|we see|we can (?:see|observe|expect|learn|understand)|let us|we need|we must|we now know|we call|we are)\b",
    re.IGNORECASE,
)
#: A single author's own voice; not "type I bells".
_ONE_AUTHOR = re.compile(r"(?:^|, |\b(?:and|that|which|when|where|if|as|while) )I (?=[a-z])|\bmy\b")
#: What means the sentence before, or a place outside.
_POINTING = re.compile(
    r"\b(?:this|these|those (?!of\b|in\b|from\b|with\b|that\b|who\b|at\b)|such (?!as\b|that\b)|the former|the latter|the same (?!\w+ (?:as|that|of)\b)|aforementioned|above[- ]mentioned|"
    r"the (?:two|three|four|five|six|seven|eight|nine|ten|others?|second|third|remaining|resulting|previous|following|above|latter|proposed|said)\b(?! (?:of|that|which)\b)|"
    r"(?:of|in|at|by|from|with|on|to|for) that (?!is\b|are\b|of\b|in\b|was\b|were\b|which\b|can\b|has\b|the\b)\w+|"
    r"(?:both|each|either|neither|all)(?: of)? (?:the |these |those )?(?:cases?|methods?|models?|scenarios?|approaches|samples?|of them)|"
    r"in (?:both|either|each|that|which) cases?|et al|previously|previous (?:work|paper|study|studies)|(?:first|second|companion|next|earlier) (?:paper|article|letter)|"
    r"above(?=[.,;])|\(a\) and \(b\)|(?:Table|Figure|Fig\.|Section|Sect\.|Sec\.|Eq\.|Equation|Appendix|Paper) ?\(?(?-i:\d|[IVX]+\b|[A-Z]\b))",
    re.IGNORECASE,
)
_LEANING = re.compile(
    r"^(?:(?:It|Its|They|Their|He|She|One|Another|Others?|Both|Each|Most|Some|All|Either|Neither|None|Such|Many|Two|Three|Here|There|For example|For instance|In contrast|By contrast|"
    r"Conversely|Instead|Otherwise|In turn|Meanwhile|Similarly|Likewise|As a result|As such|In this|In that|After that|Rather|Alternatively|Second|So|But|And|Or|"
    r"In both|In all|Unlike)\b|(?:In contrast|Compared) to (?:this|that))"
)
#: "We find that it rings": what does?
_FOUND_OF_IT = re.compile(
    r"^The (?:authors|article|results) (?:\w+ ){1,3}that (?:its?\b(?! (?:is|was|has|can be|may be) (?:\w+ )?(?:that|to|possible|likely|difficult|crucial|important|necessary|essential|not|been))|itself\b)"
)
#: "Although the time is short, it …": what stands there is seldom the time.
_LATE_PRONOUN = re.compile(
    r"^(?:Although|Though|While|Whereas|Even though) [^,]+, it\b(?! (?:is|was|has|remains) (?:\w+ )?(?:that|to|possible|known|difficult|"
    r"unclear|crucial|important|necessary|essential|not|been)\b)"
)
_ODD = re.compile(
    r"https?://|www\.|\[\d|\\(?:cite|ref|begin|item)|[{}|]|\?\?|~|^\W*[a-z]|^[\W\d]|\b(?:GitHub|available (?:at|from|on|online))\b|[!?]|(?<!\d)%|\((?:abridged|shortened)"
)
_EARLY_PRONOUN = re.compile(
    r"^(?:\S+ ){0,3}(?:it|its|itself|they|their|them|themselves)\b(?! (?:is|was|has|remains) (?:\w+ )?(?:that|to|possible|known|difficult|unclear|crucial|important|necessary|essential|not|been))",
    re.IGNORECASE,
)


_PROSE = re.compile(r"\b(?:we|our|us|this|these|the|of|and|that|is|are) [a-z]{2,}")


@dataclass(frozen=True)
class Told:
    """A sentence of an abstract in the third person.

    Attributes:
        text: as it is told, with its formulas masked, with a full stop; no connective before it.
        formulas: the masked ones.
        position: `Sentence.position`.
        place: running number in the abstract.
        contrast: what it opens with in the article where it takes something back of the sentence before ("However"), or "".
    """

    text: str
    formulas: tuple[str, ...]
    position: int
    place: int
    contrast: str = ""

    def plain(self, text: str | None = None) -> str:
        """A part of it (or the whole) with its formulas."""
        found = unmask(self.text if text is None else text, list(self.formulas))
        return re.sub(r"\s+([.,;])(?=\s|$)", r"\1", re.sub(r"[.,;]\s*(\${1,2})\s*\.$", r"\1.", found))


@dataclass(frozen=True)
class Article:
    """The abstract of an article.

    Attributes:
        document: the article.
        title: between quotation marks.
        told: the sentences that can be told; the others point out of themselves.
        texts: all sentences as they stand, formulas masked.
    """

    document: Document
    title: str
    told: tuple[Told, ...]
    texts: tuple[str, ...]

    @cached_property
    def first_own(self) -> int:
        """Place of the first sentence in which the abstract speaks of the work itself; 0 if none does: then nothing is introduction."""
        return next((place for place, text in enumerate(self.texts) if _OWN_VOICE.search(text)), 0)

    @cached_property
    def _by_place(self) -> dict[int, Told]:
        return {told.place: told for told in self.told}

    def company(self, told: Told) -> tuple[Told, ...] | None:
        """A sentence with those beside it that qualify it, or that it qualifies ("However, …"); None if one of them cannot be told.

        What stands before the abstract speaks of the work itself is no outcome, and told alone.
        """
        if told.place < self.first_own:
            return (told,)
        first, last = told.place, told.place
        while first > self.first_own and _CONTRAST.match(self.texts[first]):
            first -= 1
        while last + 1 < len(self.texts) and _CONTRAST.match(self.texts[last + 1]):
            last += 1
        found = [self._by_place.get(place) for place in range(first, last + 1)]
        company = tuple(one for one in found if one is not None)
        return company if len(company) == len(found) else None


#: The reading that was asked for last, and its article. Sixteen rules ask for it one after another, and to tell an abstract
#: took half of their time.
_latest: list[tuple[Reading, Article | None]] = []


def article_of(reading: Reading) -> Article | None:
    """The abstract of a reading, or None if it is no article.

    An article has a title of some words, an author or a year on record, and an article's number or a voice of its own ("we",
    "this work"); its abstract is the section of that name, or the whole of a short text without sections.
    """
    if not _latest or _latest[0][0] is not reading:
        _latest[:] = [(reading, _article(reading))]
    return _latest[0][1]


def _article(reading: Reading) -> Article | None:
    document = reading.document
    if len(document.title.split()) < _MIN_TITLE_WORDS or not (document.authors or document.year):
        return None
    sentences = [sentence for passage in reading.passages for sentence in passage.sentences]
    headings = {sentence.heading for sentence in sentences}
    abstract = [sentence for sentence in sentences if _ABSTRACT.match(sentence.heading)]
    if not abstract and len(headings) == 1 and len(sentences) <= _MAX_SENTENCES:
        abstract = sentences
    if not abstract or not (IDENTIFIER.fullmatch(document.id) or any(_OWN_VOICE.search(one.text) for one in abstract)):
        return None
    masked = [mask_math(sentence.text) for sentence in abstract]
    told = []
    for place, (sentence, (text, formulas)) in enumerate(zip(abstract, masked, strict=True)):
        retold = tell(text)
        # A stray "$" makes a formula of half a sentence, which would be told as it stands.
        if retold is not None and not any(_PROSE.search(formula) for formula in formulas):
            opening = re.match(r"^(However|Nevertheless|Nonetheless|Yet), ", text)
            told.append(Told(retold, tuple(formulas), sentence.position, place, opening.group(1) if opening else ""))
    return Article(document, quoted(document.title), tuple(told), tuple(text for text, _ in masked))


def tell(text: str) -> str | None:
    """A masked sentence in the third person; None if it would not stand alone beside the name of the article."""
    text = _LABEL.sub("", text.strip())
    text = _CONNECTIVE.sub("", text)
    text = _OPENING.sub("", text)
    text = _CONNECTIVE.sub("", text)
    text = re.sub(r"^(?:However|Therefore|Thus|Hence|Here|Then|Finally|Next|Further) (?=we\b)", "", text)
    text = text[:1].upper() + text[1:]
    if (
        not text.endswith((".", "\ue001"))
        or _GENERIC_WE.search(text)
        or _ONE_AUTHOR.search(text)
        or len(text.split()) < 6
    ):
        return None
    text = text.rstrip(".") + "."
    text = _ADVERB.sub(" ", re.sub(r"^We\b", "we", text))
    text = _THEREFORE.sub("", _INSERTED.sub(" ", text))
    text = re.sub(
        rf",? (?:in this (?:{WORK})|here)(?=[,. ])(?<!presented here)(?<!reported here)(?<!described here)(?<!studied here)",
        "",
        text,
    )
    text = _MY_EVIDENCE.sub("The ", text)
    # Of an article that the question names, "these results" are its results.
    text = _THESE_RESULTS.sub("The ", text)
    text = re.sub(r"^The (?:paper|work|study) (?=(?:also )?[a-z]+s (?!of\b|on\b|in\b))", "The article ", text)
    text = _THIS.sub(lambda found: "The article" if found.group("the")[0].isupper() else "the article", text)
    if re.search(r"\b[Tt]hey\b", text) and _MINE.search(text):
        return None  # beside authors that are told of as "they", it would mean them
    text = _third_person(text)
    text = text[:1].upper() + text[1:]
    bare = re.sub("“[^”]*”", "it", text)
    if (
        _POINTING.search(bare)
        or _EARLIER_WORK.search(bare)
        or _LEANING.match(bare)
        or _LATE_PRONOUN.match(bare)
        or _FOUND_OF_IT.match(bare)
        or _ODD.search(bare)
        or _EARLY_PRONOUN.match(re.sub(r"^The authors’? (.*?)\btheir\b", r"The authors \1the", bare))
    ):
        return None
    return text


def _third_person(text: str) -> str:
    """The authors instead of "we": "the authors" where it comes first, "they" later; "our" after them is "their"."""
    shared = {found.start() for found in _SHARED.finditer(text)}
    is_named = bool(re.search(r"\b[Tt]he authors\b", text))

    def say(found: re.Match[str]) -> str:
        nonlocal is_named
        word = found.group("word").lower()
        if found.start() in shared:
            return found.group(0)
        first = not is_named
        is_named = True
        if word == "ourselves":
            return "themselves"
        if word == "ours":
            return "theirs"
        return {"we": ("they", "the authors"), "us": ("them", "the authors"), "our": ("their", "the authors’")}[word][
            first
        ]

    return _MINE.sub(say, text)
