"""Whether sentences can be read without what stands around them: the one test for whatever is quoted from a document.

`english.tie` and `english.context_need` find words that point elsewhere in a phrase of any sort, a question's too; here they
are asked, with the rest, about sentences as they stand in a document. Who shows sentences with something that the reader knows
besides says so: the words of the topic, whether it is the authors' own article, the words of what was said before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sagecraft.corpus.sentences import mask_math
from sagecraft.literature import english

_HYPOTHETICAL = re.compile(
    r"\b(?:suppose|supposing|imagine|let us|let’s|let's|in (?:this|the|our|that) (?:example|analogy|thought experiment)|say you|what if|"
    r"pretend|for the sake of|hypothetical\w*)\b|(?:^|[,;:] |[Nn]ow |[Tt]hen )(?:assume|consider|take|let|think|picture) (?!place\b|into\b|on\b|about \d)|"
    r"\b(?:if|when|as|that) (?:you|we|one)\b",
    re.IGNORECASE,
)
_IMPERATIVE = re.compile(
    r"^\(?(?:(?:Now|First|Next|Again|Then|So|But|And|Also|Please),? )?(?:Recall|Remember|Note|Notice|Look|See|Compare|Observe that|Check|"
    r"Try|Use|Find|Calculate|Compute|Estimate|Explain|Describe|Click|Watch|Visit|Go to|Keep in mind|Bear in mind|Think|Ask|Read)\b"
)
_SHOWN = re.compile(
    r"\b(?:Figure|Fig\.|Table|Equation|Eq\.|Section|Chapter|Appendix|Panel) ?\(?[A-Z]?\d|\b(?:figure|table|diagram|image|photograph|picture|"
    r"graph|plot|panel|illustration|map|drawing|video|box|caption|chapter|section|appendix)\b(?= (?:shows?|above|below|at|on the|here)\b)|"
    r"\((?:left|right|top|bottom|center|centre|a|b|c|d)\)|\b(?:shown|seen|pictured|labell?ed|listed|plotted) (?:here|above|below|in (?:the|this))\b",
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    r"\b(?:we|us|our|ours|ourselves|you|your|yours|yourself|I|my|me)\b|’s (?:take|look|see|turn|begin|start)\b",
    re.IGNORECASE,
)
#: How a sentence begins that goes on from the one before.
_CONTINUES = re.compile(
    r"^(?:And|But|So|Or|Yet|Nor|Then|Thus|Hence|Therefore|However|Moreover|Furthermore|Besides|Nevertheless|Nonetheless|Instead|Otherwise|"
    r"Also|Still|Again|Likewise|Similarly|Conversely|Meanwhile|Next|Finally|First|Second|Third|Another|Other|Others|Indeed|Perhaps|"
    r"In (?:addition|contrast|turn|fact|other words|short|summary|particular|effect|both|either|each|some|most|many) ?(?:cases?)?\b|For (?:example|instance)|As a (?:result|consequence)|On the other hand|"
    r"At (?:the same|that) time|After all|By comparison|That is|Not only|Only|Even|Just|More recently|Later|Earlier|Soon|Now|Today’s|All of|"
    r"Both|Neither|Either|Each|Such|What|Why|How|No wonder|Of course|Unfortunately|Fortunately|Luckily|Surprisingly|Interestingly)\b"
)
#: "It is clear that …", "It takes …", "There are …": such a pronoun stands for nothing.
_EXPLETIVE = re.compile(
    r"\b(?:[Ii]t (?:is|was|will be|has been|would be|may be|seems|appears|turns out|takes|took)\b(?=[^.;]*\b(?:that|to|for|how|whether|why|who)\b)|[Tt]here\b)"
)
_PRONOUN = re.compile(
    r"\b(?:it|its|itself|they|their|theirs|them|themselves|he|his|him|himself|she|her|hers|herself|one|ones|this|these|those)\b",
    re.IGNORECASE,
)
_POINTS_BACK = frozenset({"this", "these", "those", "one", "ones"})
_NOT_NOUNS = (
    {"whatever", "whoever", "however", "wherever"}
    | english.OPENERS
    | english.DETERMINERS
    | english.PREPOSITIONS
    | set(english.AUXILIARIES.split("|"))
)


#: What authors speak of as their own thing may be any: neither title nor sentence says which.
_ANY_OWN = frozenset(
    {"system", "systems", "target", "targets", "field", "fields", "region", "regions", "core", "object", "objects"}
)
_ORDINALS = frozenset(
    {"first", "second", "third", "fourth", "fifth", "last", "next", "previous", "former", "latter", "same", "other"}
)
#: "For most of his life, Ada Lovelace …"
_NAMED_AT_ONCE = re.compile(r"[^,]{0,40}, [A-Z][\w.’-]+ [A-Z]")
_PERSON = re.compile(r"\b(?:[Hh]e|[Ss]he|[Hh]is|[Hh]er|him)\b")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]|^[A-Z][\w.’-]+(?:[’']s|,| [A-Z])")


def why_not_alone(
    sentences: Sequence[str],
    topic: frozenset[str] = frozenset(),
    *,
    own: bool = False,
    told: frozenset[str] = frozenset(),
) -> str | None:
    """Why consecutive sentences mean nothing, or another thing, when they are read by themselves; None if they can be.

    The test is strict: what it refuses may stand alone, what it lets through should.

    Args:
        sentences: as they stand in the document, in order.
        topic: words (small letters) that the reader knows the text is about: of the title and the heading that the question
            names.
        own: whether they are shown as the word of an article's authors, so that “the” may mean what is theirs.
        told: words (small letters, plurals in the singular too) of sentences that are shown before them.

    Returns:
        `question`, `hypothetical`, `imperative`, `shown` (it speaks of a figure or a table), `address` (we, you), `tied` (to the
        sentence before), `pronoun` (without a noun before it), `definite` (“the …” of which nobody was told), or `unfinished`.
    """
    masked = [mask_math(sentence)[0] for sentence in sentences]
    for text in masked:
        if reason := _of_itself(text):
            return reason
    first = masked[0]
    tie = english.tie(first)
    if _CONTINUES.match(first) or (tie is not None and not (tie == "it" and _EXPLETIVE.match(first))):
        return "tied"
    if any(_continues_late(text) for text in masked[1:]):
        return "tied"
    if _has_open_pronoun(first) or _is_unnamed(first):
        return "pronoun"
    return "definite" if _is_unknown(first, topic, own, told) else None


def is_clear(text: str, topic: frozenset[str]) -> bool:
    """Whether every definite phrase says by itself which one is meant, or has a word of the topic: more than `why_not_alone` asks."""
    masked = mask_math(text)[0]
    while True:
        need, phrase = english.context_need(masked, topic)
        if need != "topic":
            return need == "none"
        is_of_topic = any(
            {word, word.rstrip("s"), word.removesuffix("’s")} & topic for word in english.words(phrase)[1:]
        )
        found = re.search(
            rf"\b[Tt]he(?= {re.escape(phrase.removeprefix('the '))}\b(?P<more> (?:of|between|that|which|in|from|on|for|with|to) )?)",
            masked,
        )
        if found is None or not (is_of_topic or found.group("more")):
            return False
        masked = f"{masked[: found.start()]}a{masked[found.end() :]}"


def _is_unknown(text: str, topic: frozenset[str], own: bool, told: frozenset[str]) -> bool:
    """Whether a sentence says “the …” of which the reader was not told."""
    need, phrase = english.context_need(text, topic | told)
    if need == "none":
        return False
    noun = phrase.split()[-1].lower()
    if phrase.startswith("the "):
        is_theirs = own and noun not in english.POINTING_NOUNS | _ANY_OWN and phrase.split()[1] not in _ORDINALS
        if is_theirs or {noun, noun.rstrip("s")} & told:
            return False
    return need == "drop" or not topic


def _is_unnamed(text: str) -> bool:
    """Whether "he" or "she" stands before any name."""
    found = _PERSON.search(text)
    if found is None or _NAME.search(text[: found.start()]) or _NAMED_AT_ONCE.match(text, found.end()):
        return False
    # "Galileo saw that he …" begins with a name, "True to form, she …" does not.
    second = text.split(" ", 2)[1]
    is_verb = second in english.PAST or second in english.THIRD or second in english.AUXILIARIES.split("|")
    return not (is_verb and found.start() > text.index(second))


def _of_itself(text: str) -> str | None:
    """What is wrong with one sentence wherever it stands."""
    if text.endswith(("?", "?”", "?)")):
        return "question"
    if (
        not text.endswith((".", "!", ".”", ".)", "\ue001"))
        or text.count("(") != text.count(")")
        or text.count("“") != text.count("”")
    ):
        return "unfinished"
    if not text.lstrip("“(")[:1].isupper() and not text[:1].isdigit() and text[:1] != "\ue000":
        return "unfinished"
    if _HYPOTHETICAL.search(text):
        return "hypothetical"
    if _IMPERATIVE.match(text):
        return "imperative"
    if _SHOWN.search(text):
        return "shown"
    return "address" if _ADDRESS.search(text) else None


def _continues_late(text: str) -> bool:
    """Whether a later sentence points further back than to the sentences that are quoted with it."""
    return (
        re.search(
            r"\b(?:[Ee]arlier|[Ll]ater|[Pp]revious(?:ly)?|[Aa]bove|[Bb]elow) (?:in|chapter|section|described|discussed|mentioned)|\b(?:[Tt]he former|respectively)\b",
            text,
        )
        is not None
    )


def _has_open_pronoun(text: str) -> bool:
    """Whether a pronoun stands in a sentence before any noun that it could mean."""
    bare = _EXPLETIVE.sub(lambda found: "·" * len(found.group(0)), text)
    found = _PRONOUN.search(bare)
    if found is None or _NAMED_AT_ONCE.match(bare, found.end()):
        return False
    if found.group(0).lower() in _POINTS_BACK and found.start() == 0:
        return True
    before = re.findall(r"[^\W\d_][\w’'-]*|\ue000", bare[: found.start()])
    nouns = [word for word in before if word.lower() not in _NOT_NOUNS and not word.lower().endswith("ly")]
    return len(nouns) < 1
