"""The English that the rules need: verb forms, function words, noun phrases, and what ties a sentence to its neighbours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

_LISTS: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("english.yaml").read_text(encoding="utf-8"))


def _word_list(name: str) -> frozenset[str]:
    return frozenset(_LISTS[name].split())


def _inflect(base: str) -> tuple[str, str, str]:
    if base.endswith("y") and base[-2] not in "aeiou":
        return base[:-1] + "ies", base[:-1] + "ied", base[:-1] + "ied"
    third = base + ("es" if base.endswith(("s", "sh", "ch", "x", "z", "o")) else "s")
    past = base + ("d" if base.endswith("e") else "ed")
    return third, past, past


def _verb_forms() -> dict[str, tuple[str, str, str]]:
    forms = {base: _inflect(base) for base in _LISTS["verbs"].split()}
    return forms | {base: (one, two, three) for base, (one, two, three) in _LISTS["irregular_verbs"].items()}


#: Base → third person singular, past, participle.
FORMS = _verb_forms()
#: Third person singular → base; past → base; participles.
THIRD = {third: base for base, (third, _, _) in FORMS.items()}
PAST = {past: base for base, (_, past, _) in FORMS.items()}
PARTICIPLES = frozenset(participle for _, _, participle in FORMS.values())
BASES = frozenset(THIRD.values())
NOUN_LIKE = _word_list("noun_like")
DETERMINERS = _word_list("determiners")
_NOT_IN_PHRASE = _word_list("not_in_subject")
OPENERS = _word_list("openers")
NOT_PEOPLE = sorted(_word_list("not_people"))
_UNIQUE = _word_list("unique")
_POINTING = _word_list("pointing_adjectives")
POINTING_NOUNS = _word_list("pointing_nouns")
PREPOSITIONS = _word_list("prepositions")


AUXILIARIES = "is|are|was|were|has|have|had|can|could|will|would|may|might|must|should|does|do|did|cannot"
#: Words that tie a sentence to its neighbours wherever they stand.
_TIED = re.compile(
    r"\b(this|these|those|such|former|latter|aforementioned|respectively|here|hereafter|we|our|us|ours|you|your|i|my|"
    r"previously mentioned|just (?:described|mentioned)|already (?:described|mentioned)|as (?:described|shown|noted|"
    r"mentioned|discussed|seen|stated) (?:above|below|earlier|before|later|in)|(?:described|shown|given|mentioned|listed|"
    r"discussed|noted|distance|quoted|derived|limits?|values?|expression|relation) (?:above|below|earlier)|"
    r"section|sections|chapter|appendix|(?:table|figure|fig\.|eq\.|equation|eqs\.|equations|box|example|exercise|panel|curve|curves) "
    r"?(?:\d+|\(|\?|above|below|[ivx]+\b|[A-Z]\b)|the (?:table|figure|text|caption|left|right|next|previous|preceding|"
    r"following|above|below|same|other|others|second|remaining|resulting|latter|first of|last of|paper|article|author|"
    r"authors|reader|rest|question|answer|example|problem)|other hand|for scale|(?:in|on) the (?:image|picture|diagram|graph|plot|photograph|photo|illustration|drawing|inset|panel)|in (?:either|both|neither) cases?|for example|for instance|"
    r"likewise|in turn|in contrast|on the contrary|by contrast|similarly|this paper|et al)\b|"
    r"\b(?:in|of|at|by|from|with|on|to|for|before|after|until|since|through|near|above|below|around|under|over|between) "
    r"that (?!is\b|are\b|of\b|in\b|was\b|were\b|which\b|can\b|has\b|have\b)\w+|\babove[.,;:)]|\bbelow[.,;:)]|\balso\b|"
    r"\b(?:one|some|many|most|all|both|two|three|several|none|each|half) of (?:them|these|those|which|it)\b|"
    r"\b(?:is|are|was|were) (?:therefore|thus|hence|then|instead|however)\b|\b(?:therefore|thus|hence|instead|"
    r"however|moreover|nevertheless|accordingly|consequently)\b",
    re.IGNORECASE,
)
PRONOUN = re.compile(
    r"\b(it|its|itself|they|their|them|themselves|he|his|him|she|her|hers|one|ones|there)\b", re.IGNORECASE
)
_NOUNS_IN_LY = frozenset({"family", "anomaly", "assembly", "supply", "reply", "ally", "fly", "bully"})
#: Words of a question that count things which it does not name.
_LOOSE = re.compile(
    r"\bboth\b(?!.* and )|\b(?:an?|the) (?:second|third|fourth|further|last|similar|comparable|different) \w+|\banother\b|\bother\b|\bcertain\b|"
    r"\b(?:much|far|even) \w+er\b(?!.* than )"
)
#: Words after a definite phrase that explain it.
_EXPLAINING = frozenset({"of", "that", "which", "whose", "between", "in", "at", "for", "from", "to", "on", "with"})
_THE = re.compile(
    r"\b[Tt]he (?=((?:[^\W\d_][\w'’-]*|\ue000\d+\ue001|\d\S*)(?: (?:[^\W\d_][\w'’-]*|\ue000\d+\ue001|\d\S*)){0,6}))"
)


_WORD = re.compile(r"[^\W\d_][\w'’*-]*")


def words(text: str) -> list[str]:
    """Words in small letters, without numbers."""
    return [found.group(0).lower() for found in _WORD.finditer(text)]


def tie(text: str) -> str | None:
    """What ties a sentence to its neighbours, or None if it stands alone."""
    found = _TIED.search(text)
    if found:
        return found.group(0).strip()
    first = text.split(" ", 1)[0].strip(",").lower()
    return (
        first
        if first in {"it", "its", "they", "their", "he", "his", "she", "her", "one", "another", "others"}
        else None
    )


def context_need(question: str, topic_words: frozenset[str]) -> tuple[str, str]:
    """Whether the definite phrases of a question mean something by themselves.

    Args:
        question: a question with its formulas masked.
        topic_words: the words the document keeps speaking of (small letters), its title's among them.

    Returns:
        ("none", ""), ("topic", phrase) if the phrase needs the topic beside it, or ("drop", phrase) if it means
        nothing without its neighbours ("the sample").
    """
    quoted = re.sub("“[^”]*”", "it", question)
    loose = _LOOSE.search(quoted)
    if loose:
        return "drop", loose.group(0)
    need = ("none", "")
    for found in _THE.finditer(quoted):
        phrase, follows = _definite(found.group(1).split())
        if phrase and phrase[-1] in POINTING_NOUNS and follows not in _EXPLAINING:
            return "drop", "the " + " ".join(phrase)
        if not phrase or any(_names(word) for word in phrase):
            continue
        text = "the " + " ".join(phrase)
        noun = phrase[-1]
        is_explained = follows in _EXPLAINING
        if phrase[0] in _UNIQUE and phrase[0] not in _POINTING:
            continue
        if phrase[0] in _POINTING and not (is_explained and len(phrase) > 1):
            return "drop", text
        if noun in _UNIQUE or (follows in {"between", "that", "which", "whose"}):
            continue
        if follows == "of" and not re.search(
            rf"{re.escape(noun)} of (?!(?:an?|the|all|any|every|each|one)\b)[a-z]", quoted
        ):
            continue
        if len(phrase) == 1 and not is_explained and not {noun, noun.rstrip("s")} & topic_words:
            return "drop", text
        need = ("topic", text)
    return need


def _names(word: str) -> bool:
    """Whether a word of a phrase says which one is meant: a name or a number, no symbol and no “X-ray”."""
    if word.startswith("\ue000"):
        return False
    return not word[0].isalpha() or any(c.isupper() for c in re.sub(r"^[A-Z]-(?=[a-z])", "", word))


def _definite(following: list[str]) -> tuple[list[str], str]:
    """The words of a definite phrase, and the word after it."""
    phrase: list[str] = []
    for word in following:
        bare = word.strip(",?.;:")
        is_verb = bool(phrase) and (bare in PARTICIPLES or bare in PAST or bare in THIRD or bare in BASES)
        if bare.lower() in OPENERS | _NOT_IN_PHRASE | DETERMINERS | PREPOSITIONS | set(AUXILIARIES.split("|")) | {
            "due",
            "of",
        }:
            return phrase, bare
        if is_verb and len(phrase) >= 1 and bare not in NOUN_LIKE:
            return phrase, bare
        phrase.append(bare)
        if bare != word:
            return phrase, ""
    return phrase, ""


def is_noun_phrase(phrase: str, max_words: int = 11) -> bool:
    """Whether a text can be the subject of a question: no finite verb, no clause, no loose opener (cautious, not complete)."""
    parts = phrase.split()
    if not 1 <= len(parts) <= max_words or re.search(r"[,;:()\"“”?!]", phrase):
        return False
    lowered = [part.lower() for part in parts]
    stem = lowered[0].removesuffix("ing")
    follows_verb = stem in BASES or f"{stem}e" in BASES or (len(parts) > 1 and lowered[1] in PREPOSITIONS | DETERMINERS)
    is_gerund = lowered[0].endswith("ing") and len(parts) > 1 and follows_verb
    last = lowered[-1]
    has_loose_end = last == "now" or (last.endswith("ly") and last not in _NOUNS_IN_LY)
    if has_loose_end or (last in THIRD and len(parts) > 1 and last not in NOUN_LIKE):
        return False
    if is_gerund or lowered[0] in OPENERS or lowered[0].endswith("ly") or lowered[-1] in DETERMINERS | OPENERS:
        return False
    auxiliaries = set(AUXILIARIES.split("|"))
    if any(word in _NOT_IN_PHRASE or word in auxiliaries for word in lowered):
        return False
    # A past form behind the first noun is a verb ("the star became") or a reduced clause; both make bad subjects,
    # unless a preposition follows and makes the reduced clause plain ("the gas ejected by the star").
    for position, word in enumerate(lowered[1:], start=1):
        follows = lowered[position + 1] if position + 1 < len(lowered) else ""
        before = lowered[position - 1]
        is_past = word in PAST and word not in {"set", "read", "split", "spread", "shed", "found", "left", "ground"}
        if word in THIRD and follows and not follows.startswith("\ue000") and follows not in PREPOSITIONS | {"and"}:
            return False
        is_base = word in BASES and before.endswith("s") and before not in PAST and not before.endswith("ss")
        if is_base and (word not in NOUN_LIKE or follows[:1].isdigit() or follows in DETERMINERS):
            return False
        if (
            is_past
            and before not in DETERMINERS
            and follows not in {"by", "in", "from", "at", "of", "for", "with", "on"} | BASES
        ):
            if follows and word in PARTICIPLES and before in {"of", "a", "the", "an", "and"}:
                continue
            return False
    return True


def is_plural(phrase: str) -> bool:
    """Whether a verb in the present agrees with this subject in the plural."""
    head = re.split(r" (?:of|in|at|from|with|for|between|on|near|by|to|around|within|through) ", phrase)[0]
    last = head.split()[-1].lower()
    if " and " in head:
        return True
    return last.endswith("s") and not last.endswith(("ss", "us", "is", "ics")) and last[0].islower()
