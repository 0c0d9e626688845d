"""Rules that grade a question and its answer before any model would: each returns the reason to drop it, or None."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from sagecraft.corpus.sentences import mask_math
from sagecraft.literature import english
from sagecraft.literature.pointing import AUTHORS, CITES, POINTS_OUTSIDE
from sagecraft.synthesis.candidate import TEACHER, Candidate

_QUOTED = re.compile("“[^”]*”")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
#: Between thousands: "13,500", "13 500", and LaTeX's "13{,}500", "13\\,500".
_THOUSANDS = re.compile(r"(?<=\d)(?:,|\{,\}|\\,|[ \u2009\u202f\xa0])(?=\d{3}(?!\d))")
_SIGNED = re.compile(r"([-−–])?(\d+(?:[.,]\d+)*)")
#: Behind these (and letters and figures) a dash is one of a name or a range, and no sign.
_CLOSING = frozenset(")]}%°")
MIN_LATIN_SHARE = 0.8
MAX_QUESTION_CHARS = 600
#: A problem with steps of its own may give its conditions one by one.
MAX_PROBLEM_CHARS = 1_000
MAX_ANSWER_WORDS = 220


@dataclass(frozen=True)
class Case:
    """What is graded.

    Attributes:
        candidate: question and answer.
        ground: what it is grounded in, as it stands in the document.
        title: of the document.
    """

    candidate: Candidate
    ground: str
    title: str

    @cached_property
    def bare_question(self) -> str:
        """The question with what it quotes left out: `‹›` stands there."""
        return _QUOTED.sub("‹›", self.candidate.question)

    @cached_property
    def bare_answer(self) -> str:
        """The answer with what it quotes left out."""
        return _QUOTED.sub("‹›", self.candidate.answer)


def _length(case: Case) -> str | None:
    question, answer = len(case.candidate.question.split()), len(case.candidate.answer.split())
    most = MAX_QUESTION_CHARS if case.candidate.thought is None else MAX_PROBLEM_CHARS
    if question < 3 or len(case.candidate.question) > most:
        return "question-length"
    return "answer-length" if answer < 5 or answer > MAX_ANSWER_WORDS else None


def _leak(case: Case) -> str | None:
    if case.candidate.kind == "metadata":
        return None
    told = f"{case.candidate.question} {case.candidate.answer}"
    if POINTS_OUTSIDE.search(told) or CITES.search(told) or AUTHORS.search(case.bare_question):
        return "leak"
    names_article = "‹›" in case.bare_question
    return "leak" if not names_article and AUTHORS.search(case.bare_answer) else None


def _numbers(case: Case) -> str | None:
    """A number of the answer stands in the source or in the question; a worked answer may have computed it."""
    if case.candidate.thought is not None:
        return None
    known = f"{case.ground} {case.candidate.question}"
    known_signs = _signs(f"{known} {_THOUSANDS.sub('', known)}")
    ways = (_signs(case.candidate.answer), _signs(_THOUSANDS.sub("", case.candidate.answer)))
    return None if any(_are_known(told, known_signs) for told in ways) else "number-not-in-source"


def _signs(text: str) -> dict[str, set[str]]:
    """Number → how it is written: `-`, `+` (without a sign), or `?` where a dash may be one of a range."""
    found: dict[str, set[str]] = {}
    for match in _SIGNED.finditer(text):
        before = text[max(0, match.start() - 1) : match.start()]
        sign = "+" if match[1] is None else "?" if before.isalnum() or before in _CLOSING else "-"
        found.setdefault(match[2], set()).add(sign)
    return found


def _are_known(told: dict[str, set[str]], known: dict[str, set[str]]) -> bool:
    """Whether each number is one of the source, with the sign that it has there: −2.5 is not 2.5."""
    return all(
        number in known and (sign == "?" or known[number] & {sign, "?"})
        for number, signs in told.items()
        for sign in signs
    )


def _words(case: Case) -> str | None:
    """The answer uses no content word that its source and its question do not: it is a quotation or a rewriting."""
    if case.candidate.thought is not None:
        return None
    # With and without its formulas: "$\\sim$5" hides words of the source that the answer shows, or the other way round.
    source = f"{case.ground} {case.candidate.question} {case.title}"
    known = {_stem(word) for word in (*english.words(source), *english.words(mask_math(source)[0]))}
    used = {_stem(word) for word in english.words(mask_math(case.candidate.answer)[0]) if word not in _SPARE}
    return "word-not-in-source" if used - known else None


_SPARE = frozenset(
    [
        "is",
        "was",
        "were",
        "are",
        "be",
        "been",
        "published",
        "appeared",
        "written",
        "by",
        "in",
        "the",
        "a",
        "an",
        "and",
        "or",
        "of",
        "to",
        "for",
        "with",
        "at",
        "on",
        "from",
        "that",
        "which",
        "it",
        "its",
        "not",
        "no",
        "yes",
        "they",
        "their",
        "them",
        "authors",
        "authors’",
        "author",
        "use",
        "used",
        "uses",
        "abbreviation",
        "abbreviated",
        "short",
        "article",
        "title",
        "year",
        "statement",
        "right",
        "wrong",
        "correct",
        "true",
        "false",
        "says",
        "given",
    ]
)
_SUFFIX = re.compile(r"(?:ies|ied|ing|es|ed|s|ly|e|y)$")


def _stem(word: str) -> str:
    return _SUFFIX.sub("", word) if len(word) > 4 else word.removesuffix("s")


#: Formulas that were masked, and those that `mask_math` leaves alone since a digit follows ("$\\sim$5").
_ANY_MATH = re.compile("\ue000\\d+\ue001|\\$[^$\\n]+\\$")
#: "i) …, ii) …": no bracket that was opened.
#: "Three challenges: 1) …": the list goes on in a sentence that is not there.
_FIRST, _SECOND = (re.compile(rf"(?<!\S)\(?(?:{mark})\)(?=\s)") for mark in ("1|i|a", "2|ii|b"))
_ENUMERATION = re.compile(r"(?<!\S)(?:[ivx]{1,4}|\d|[a-h])\)(?=\s)")


#: Characters that nobody sees, or half a word in another alphabet that looks like ours.
_UNSEEN = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u2064\\ufeff]|[A-Za-z][\\u0400-\\u04ff]|[\\u0400-\\u04ff][A-Za-z]"
)
_MARKUP = re.compile(
    r"\\[A-Za-z]{2,}|\\['`\"^~=.][A-Za-z]|\\[cvkur] [A-Za-z]|[{}|]|https?://|\[\d|\ufffd|</?(?:sub|sup|i|b|em|p|br|div|span|a|img|table|tr|td|li|ul|strong|h\d)\b[^<>]*>|"
    r"&(?:[A-Za-z]{2,8}|#\d{1,5});|\*\*|`|\]\("
)
_SMALL = "what which who whom whose when where why how is are was were do does did and or that to it not than as me"
_FUNCTION_WORDS = (
    english.DETERMINERS | english.OPENERS | english.PREPOSITIONS | {*english.AUXILIARIES.split("|"), *_SMALL.split()}
)
#: Of 11,200 questions and answers of the rules, titles left out, the least had 0.06; "Quelle est la masse de la cloche" has none.
_MIN_FUNCTION_SHARE, _MIN_ENGLISH_SHARE = 0.05, 0.2


def _function_share(text: str) -> float:
    """Share of words that carry no content in English; 1 for a text of few words."""
    found = english.words(mask_math(text)[0])
    return sum(word in _FUNCTION_WORDS for word in found) / len(found) if len(found) >= 6 else 1.0


def _foreign(case: Case) -> bool:
    """Whether question or answer are in another language, and their source is in English."""
    least = min(_function_share(case.bare_question), _function_share(case.bare_answer))
    return least < _MIN_FUNCTION_SHARE and _function_share(case.ground) >= _MIN_ENGLISH_SHARE


def _language(case: Case) -> str | None:
    if _UNSEEN.search(f"{case.candidate.question}{case.candidate.answer}"):
        return "markup"
    plain = mask_math(f"{case.candidate.question} {case.candidate.answer}")[0]
    letters = [c for c in plain if not c.isspace()]
    latin = sum(c.isascii() or c in "“”’‘–—×±°µμéèüöäáíóñçÅåøØ−′″²³" for c in letters)
    if latin < MIN_LATIN_SHARE * len(letters) or _foreign(case):
        return "language"
    return "markup" if _MARKUP.search(_ANY_MATH.sub("", plain)) else None


def _repetition(case: Case) -> str | None:
    told = Counter(" ".join(english.words(one)) for one in _ENDS.split(case.candidate.answer) if len(one.split()) >= 4)
    if any(count > 1 for count in told.values()):
        return "repetition"
    found = english.words(case.candidate.answer)
    triples = [tuple(found[i : i + 3]) for i in range(len(found) - 2)]
    if any(found[i] == found[i + 1] == found[i + 2] for i in range(len(found) - 2)):
        return "repetition"
    # Two things that are compared are told of in the same words.
    least = 0.5 if case.candidate.kind in ("comparison", "critique", "derivation") else 0.7
    return "repetition" if triples and len(set(triples)) < least * len(triples) else None


_ENDS = re.compile(r"(?<=[.?!])\s+")
#: What a question cannot end with: a subject that was cut behind its adverb, or before its noun.
_LOOSE_END = re.compile(
    r"\b(?:never|not|also|only|often|usually|always|sometimes|then|thus|still|just|almost|the|an?|and|or|its|their)[.?]$"
)


def _is_balanced(text: str) -> bool:
    return text.count("$") % 2 == 0 and text.count("(") == text.count(")") and text.count("“") == text.count("”")


def _form(case: Case) -> str | None:
    question, answer = case.candidate.question, case.candidate.answer
    if not question.endswith(("?", ".", "?”", ".”")) or "$$" in question or not question.lstrip("“$")[:1].isupper():
        return "form"
    if _LOOSE_END.search(question):
        return "form"
    if any(not _is_balanced(text) and not _is_balanced(_ENUMERATION.sub("", text)) for text in (question, answer)):
        return "unbalanced"
    if _FIRST.search(answer) and not _SECOND.search(answer):
        return "cut-list"
    if answer.rstrip().endswith((":", ",")) or re.search(r"\s$|[^\S\n]{2}", answer):
        return "form"
    return None


def _pronoun(case: Case) -> str | None:
    """A pronoun of the question that nothing in it explains; one that has a title beside it speaks of the article."""
    if case.candidate.kind in ("account", "metadata") or case.candidate.thought is not None:
        return None
    bare = case.bare_question
    if re.search(
        r"\b(?:this|these|those|that \w+ (?:is|are)\?)\b",
        re.sub(r"\b[Ii]s this\b|\b[Tt]his (?:claim|statement)\b", "", bare),
    ):
        return "pronoun"
    found = None if "‹›" in bare else english.PRONOUN.search(bare)
    if found and case.candidate.rule == TEACHER and found.group(0).lower() in ("its", "their"):
        # "How does the mass of a star decide its life?": whoever writes freely asks so, and the noun stands before
        found = None if _is_named(bare[: found.start()], found.group(0)) else found
    return "pronoun" if found else None


def _given_away(case: Case) -> str | None:
    """A question whose answer stands in it."""
    candidate = case.candidate
    key = (candidate.key or "").lower()
    if candidate.kind in ("term", "critique", "comparison", "derivation", "metadata"):
        return None
    digits = _NUMBER.findall(key)
    if candidate.kind == "number" and digits and set(digits) <= set(_NUMBER.findall(case.bare_question)):
        return "answer-in-question"
    return "answer-in-question" if len(key) > 3 and key in case.bare_question.lower() else None


#: Content words that an answer adds at least: of all where it tells of a thing ("X is considered"), of others where its
#: question holds many ("What do they use to …?"); and the share that a clause adds to the one in the question.
_MIN_NEW_WORDS, _MAX_RESTATED, _MIN_NEW_SHARE = 3, 3, 0.2
_ADDS_MUCH = frozenset({"account", "finding"})
_ADDS_CLAUSE = frozenset({"cause", "consequence", "derivation", "what-if"})
#: Of other kinds the answer is one of the things that the question names.
_MUST_ADD = frozenset(
    {"definition", "cause", "method", "purpose", "number", "consequence", "account", "finding", "aim"}
)


def _restated(case: Case) -> str | None:
    """An answer that says no word, number or formula beyond its question, as "X is what is X"."""
    candidate = case.candidate
    if candidate.kind not in _MUST_ADD | _ADDS_CLAUSE or candidate.thought is not None:
        return None
    answer, formulas = mask_math(candidate.answer)
    asked = {_stem(word) for word in english.words(mask_math(case.bare_question)[0])}
    told = {_stem(word) for word in english.words(answer) if word not in _FUNCTION_WORDS}
    numbers = set(_NUMBER.findall(answer)) - set(_NUMBER.findall(case.bare_question))
    if numbers or formulas:
        return None
    num_new = len(told - asked)
    is_told = num_new < _MIN_NEW_WORDS and (candidate.kind in _ADDS_MUCH or len(told) > _MAX_RESTATED * _MIN_NEW_WORDS)
    is_told |= candidate.kind in _ADDS_CLAUSE and num_new < _MIN_NEW_SHARE * len(told)
    return "answer-in-question" if is_told or (not num_new and candidate.kind in _MUST_ADD) else None


_FIGURE_TEXT = re.compile(
    r"^(?:Figure|Fig\.|Table|Plate) ?\d|\b(?:horizontal|vertical|[xy])[- ]axis\b|"
    r"\b(?:is|are) (?:shown|drawn|plotted|labell?ed|marked|colou?red|outlined|shaded) (?:in|as|by|with|at)\b|"
    r"\b(?:in|on) (?:the|this) (?:image|picture|photo|photograph|diagram|plot|graph|panel|inset|drawing)\b|"
    r"\b(?:left|right|top|bottom|upper|lower)[- ](?:hand )?(?:panel|image|plot|inset|corner)\b",
)
_EXERCISE = re.compile(
    r"^(?:Exercise|Example|Problem|Solution|Hint)(?: [\d.]+)?[.:]|\b(?:your (?:answer|calculator)|(?:exercise|problem) \d+)\b|"
    r"^(?:Calculate|Compute|Determine|Estimate|Sketch|Verify|Explain|Describe|List) (?:the|how|why|what|your|an?)\b"
)
_HYPOTHETICAL = re.compile(
    r"(?:^|[.?!] )(?:Suppose|Imagine|Assume(?! that)|Consider an?|Pretend|Let(?: us|[’']s)?|Take|Say|Picture|Think of|Now (?:suppose|imagine|take|consider))\b|"
    r"\b(?:in this (?:example|case|scenario|thought experiment)|hypothetical|imaginary|you (?:were|could|would)|let us|let[’']s)\b"
)
_UNNAMED = re.compile(r"\b(?:of|for|from) an? [^‹›]{3,60}\?$")
_EMPTY_CONDITION = re.compile(
    r"^What (?:would |will )?happen(?:s|ed)? (?:as|when|if|after|once|while) (?:time (?:goes|passes|went|passed)|"
    r"(?:things|something|that|we|you|people|someone|nothing|everything|it|they) )",
)
_PLURAL_EVIDENCE = re.compile(
    r"^(?:What|Which)\b[^‹›]*\b(?:do|does|did|have|has)\b(?: \w+){0,3} (?:models?|observations?|results?|stud(?:y|ies)|data|"
    r"measurements?|simulations?|experiments?|calculations?|analys[ei]s|surveys?|evidence|researchers?|scientists?|theor(?:y|ies)|"
    r"findings?|estimates?|tests?|images?|spectra|spectrum|authors?|predictions?|works?|papers?)\b[^‹›]*\b(?:show|shown|indicate|"
    r"indicated|suggest|suggested|imply|reveal|revealed|find|found|predict|confirm|demonstrate|support|conclude|require|say|tell)\?$"
)
_OPEN_PRONOUN = re.compile(r"\b(they|them|their|theirs|it|its|he|him|his|she|her|hers)\b", re.IGNORECASE)
_EVALUATION = re.compile(
    r"^[^,;]{2,90}? (?:is|are|remains?|represents?) (?:an?|one of the|among the|the)? ?(?:\w+ ){0,2}(?:important|key|crucial|challenging|"
    r"powerful|essential|fundamental|critical|major|promising|common|useful|interesting|significant|vital|central|ideal|unique|"
    r"excellent|natural|popular|difficult|exciting|viable|valuable|primary|main|leading|standard|great|good|new|open|hot)\b"
)
_WEAK_HEAD = re.compile(
    r"^[^,;]{2,90}? (?:is|are) (?:an?|the) (?:[\w-]+ ){0,3}(?:mechanisms?|techniques?|problems?|tools?|methods?|questions?|topics?|"
    r"issues?|ingredients?|factors?|challenges?|aspects?|candidates?|examples?|approach(?:es)?|features?|phenomen(?:on|a)|"
    r"components?|consequences?|steps?)\b(?! (?:of|that|which|in which|by which|where|for|used|whose|to|with))"
)


def _figure_text(case: Case) -> str | None:
    if case.candidate.thought is not None:
        return None  # its own steps are told, not the source, which may draw the problem
    return "figure-text" if _FIGURE_TEXT.search(case.ground) else None


def _exercise(case: Case) -> str | None:
    if case.candidate.thought is not None:
        return None  # a worked exercise is asked as one
    return "exercise" if _EXERCISE.search(case.ground) else None


def _hypothetical(case: Case) -> str | None:
    """An assumption read as a fact: a "suppose", or a value of an object that has no name."""
    candidate = case.candidate
    if candidate.thought is not None or candidate.kind == "metadata":
        return None
    is_unnamed = candidate.kind == "number" and "‹›" not in case.bare_question and _UNNAMED.search(case.bare_question)
    return "hypothetical" if is_unnamed or _HYPOTHETICAL.search(case.ground) else None


def _empty_condition(case: Case) -> str | None:
    return "empty-condition" if _EMPTY_CONDITION.search(case.bare_question) else None


def _plural_evidence(case: Case) -> str | None:
    """What models or results show is many things, unless an article is named."""
    return "plural-evidence" if _PLURAL_EVIDENCE.search(case.bare_question) else None


def _open_pronoun(case: Case) -> str | None:
    """A pronoun of the answer before which the answer has no noun that it could mean."""
    if case.candidate.kind == "metadata" or case.candidate.thought is not None:
        return None
    found = _OPEN_PRONOUN.search(case.bare_answer)
    if not found:
        return None
    return None if _is_named(case.bare_answer[: found.start()], found.group(1)) else "open-pronoun"


def _is_named(text: str, pronoun: str) -> bool:
    """Whether a text has a noun that a pronoun behind it could mean."""
    before = english.words(text)
    content = [word for word in before if word not in english.DETERMINERS | english.OPENERS and len(word) > 2]
    if pronoun.lower() in {"they", "them", "their", "theirs"}:
        return any(word.endswith(("s", "people", "men", "women", "ae", "data")) for word in content) or "and" in before
    return bool(content)


#: "Then" and "there" of what stands before, an ordinal of a row that is not told of.
_PLACE_BEFORE = re.compile(
    r"\b(?:in|at|on|near|around|inside|within|where|into|onto|toward|towards|above|below|between|outside|place|region)\b"
)
_THERE = re.compile(
    r"\bthere\b(?!,? (?:is|are|was|were|has|have|had|may|might|must|can|cannot|could|should|would|will|do|does|did|seems?|exists?|existed|"
    r"appears?|be|being|remains?|to be|also|still|often|now|usually|come|comes|arose|arises?|follows?)\b)"
)
_THEN = re.compile(r"(?<!and )(?<!just )(?<!since )(?<!by )\bthen\b")
_ORDER_BEFORE = re.compile(
    r"\b(?:[Ii]f|[Ww]hen|[Aa]fter|[Ff]irst|[Bb]efore|[Oo]nce|[Ff]rom|[Ii]nitially|[Uu]ntil|[Ss]ince|to|that|and|[Aa]s|[Bb]y)\b"
)
_INITIAL = re.compile(
    r"\bthe initial (?!conditions?|states?|values?|stages?|phases?|mass|masses|time|velocity|size|temperature|density)\w+(?= (?:is|are|was|were|and|in|to|by|for|with)\b|[.,;])"
)
_THIRD_OF = re.compile(
    r"\b(?:[Aa] (?:third|fourth|fifth)|[Tt]he (?:third|fourth|fifth))\b(?= [a-z,])(?! (?:of|as|party)\b)"
)
_ROW_BEFORE = re.compile(r"\b(?:two|three|four|five|first|second|both|another|one|pairs?|binary)\b", re.IGNORECASE)
#: "A shield protects it": neither the shield nor anything else that stands before.
_OBJECT_PRONOUN = re.compile(
    r"^(?:(?!(?:that|which|who|when|where|if|because|as|while|and|but|or|so|until|before|after|since|than|although|though|whether|to|what|how|why|by|with|through)\b)"
    r"[\w’-]+ ){2,}(?:[a-z]{3,}(?<![su])s|[a-z]{3,}ed|gave|made|kept|held|drove|led|took|brought) (?:it|them)\b(?= (?:from|to|into|with|as|by|in|on|at|for|and|out|apart|up|down|back|away|toward|towards|off)\b|[.,;])"
)


def _open_word(case: Case) -> str | None:
    """A word of the first sentence that points at something that nobody was told of: "there", "then", "a third"; and an object "it"."""
    candidate = case.candidate
    if candidate.kind in ("metadata", "critique", "definition", "term") or candidate.thought is not None:
        return None
    first = _ENDS.split(case.bare_answer)[0]
    for word, before in ((_THERE, _PLACE_BEFORE), (_THEN, _ORDER_BEFORE), (_THIRD_OF, _ROW_BEFORE)):
        found = word.search(first)
        if found and not before.search(first[: found.start()]):
            return "open-pronoun"
    found = _INITIAL.search(case.bare_answer)
    if found and "initial" not in case.candidate.question:
        return "open-pronoun"
    return "open-pronoun" if _OBJECT_PRONOUN.match(first) else None


#: Kinds that ask for the one thing that does it: "X also comes from Y" names one of several.
_ASKS_FOR_ALL = frozenset({"cause", "consequence", "purpose", "place", "what-if"})


def _narrowed(case: Case) -> str | None:
    """An answer without the "also" of its source, where the question asks for the cause, the origin, the place; an aim without its "further"."""
    kind, answer = case.candidate.kind, case.candidate.answer
    word = "also" if kind in _ASKS_FOR_ALL else "further" if kind == "aim" else None
    if word is None or case.candidate.thought is not None or case.candidate.rule == TEACHER:
        return None
    return "narrowed" if _count(word, answer) < _count(word, case.ground) else None


def _count(word: str, text: str) -> int:
    return len(re.findall(rf"\b{word}\b", text, re.IGNORECASE))


def _weak_definition(case: Case) -> str | None:
    """An evaluation in the form of a definition: "X is an important technique"."""
    if case.candidate.kind not in ("definition", "term") or case.candidate.thought is not None:
        return None
    answer = case.candidate.answer
    return "weak-definition" if _EVALUATION.search(answer) or _WEAK_HEAD.search(answer) else None


GRADERS: tuple[Callable[[Case], str | None], ...] = (
    _length, _leak, _numbers, _words, _language, _repetition, _form, _pronoun, _given_away, _restated,
    _figure_text, _exercise, _hypothetical, _empty_condition, _plural_evidence, _open_pronoun, _open_word, _narrowed, _weak_definition,
)  # fmt: skip


def grade(candidate: Candidate, ground: str, title: str, own_words: bool = False) -> str | None:
    """The first reason to drop a question, or None.

    Args:
        candidate: question and answer.
        ground: the sentences it is grounded in.
        title: of the document.
        own_words: the answer may say it in words that its source does not use: whether it says the same, a model judges.
    """
    case = Case(candidate, ground, title)
    graders = (grader for grader in GRADERS if not (own_words and grader is _words))
    return next((reason for grader in graders if (reason := grader(case)) is not None), None)
