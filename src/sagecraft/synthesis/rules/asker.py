"""What all questions about an article by name share: their wording, their answers, and whether a phrase of the abstract can be asked about.

A question takes a phrase out of its abstract. It must still mean the same there: no pronoun without its noun, and no
definite phrase that an earlier sentence explains ("the deviation").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property

from sagecraft.artifact import keyed_hash
from sagecraft.literature import english
from sagecraft.literature.names import Names
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate, fill
from sagecraft.synthesis.rules.reported import LISTS, Article, Told

LEAD_WORDS = (
    "In|For|With|Using|By|From|Based on|Combining|To|In order to|Through|Applying|Motivated by|Given|Under|At|On|Within|Unlike|"
    "Despite|Assuming|When|While|Although|Leveraging|Employing|Adopting|Utilizing|Utilising|Exploiting|Analyzing|Analysing|"
    "Comparing|Considering|Building on|Focusing on|Over|After|Across|Among|Inspired by|Following|Starting from|Via|As|Beyond|Contrary to|Compared to|Compared with|Relative to|Toward|Towards|During|Throughout|Like|Unless|If|Once|Because of|Due to|To date|Following|Prior to|Owing to|Besides|Since|Until|Before|Per"
)

#: Of these nobody would ask: they tell how much or how sure, and not what of.
_EMPTY_SUBJECT = re.compile(
    r"(?:an? (?:\w+ )?(?:variety|range|number|host|series|handful|plethora|multitude) of|evidence|no|not|only|there|additional|further|future|other|experimental|preliminary|follow-up|(?:the |our )?"
    r"(?:(?:first|new|main|key|final|full|overall) )?(?:results?|data|code|codes|products?|catalogu?e?s?|data products|conclusions?|findings|outcome))(?:\b(?! of\b| from\b)|$)",
    re.IGNORECASE,
)


class Asker:
    """Makes the candidates of one article: questions in several wordings, answers of whole sentences."""

    def __init__(self, reading: Reading, article: Article) -> None:
        self.reading = reading
        self.article = article
        self.names: Names = reading.names
        self.title = article.title
        words = english.words(article.document.title)
        self.title_words = frozenset([*words, *(word.rstrip("s") for word in words)])

    def wording(self, forms: Sequence[str], name: str, **slots: str) -> str:
        """One of the wordings, by the article and a name."""
        form = forms[keyed_hash(self.reading.seed, "article", self.article.document.id, name) % len(forms)]
        question = fill(form, T=self.title, **slots)
        return question[0].upper() + question[1:]

    def candidate(
        self, rule: str, kind: str, question: str, focus: str, told: Sequence[Told], key: str | None = None
    ) -> Iterator[Candidate]:
        """A candidate answered by sentences, in their order; none where a sentence that qualifies one of them cannot be told."""
        places: dict[int, Told] = {}
        for one in told:
            company = self.article.company(one)
            if company is None:
                return
            places |= {other.place: other for other in company}
        ordered = [places[place] for place in sorted(places)]
        answer = self.joined(ordered)
        yield Candidate(
            kind=kind, question=question, focus=focus, answer=answer, key=key, rule=rule, recall=answer,
            positions=tuple(one.position for one in ordered), scope=self.article.document.id,
        )  # fmt: skip

    def joined(self, told: Sequence[Told]) -> str:
        """Sentences as one answer; the authors are named in the first and "they" in a later one that opens with them.

        A sentence that takes something back of the one before keeps its "However".
        """
        texts: list[str] = []
        for number, one in enumerate(told):
            text = one.plain()
            before = told[number - 1].text if number else ""
            is_theirs = before.startswith("The authors ") and text.startswith("The authors ")
            text = "They " + text.removeprefix("The authors ") if is_theirs else text
            lowered = self.names.lower_first(text) if number and one.place == told[number - 1].place + 1 else None
            texts.append(f"{one.contrast}, {lowered}" if one.contrast and lowered else text)
        return " ".join(texts)

    def subject(self, clause: str, place: int | None = None) -> str | None:
        """The subject of a clause as it stands within a sentence, if it can be asked about.

        Args:
            clause: masked, without its full stop.
            place: of its sentence; what points back from there is refused.
        """
        clause = _BRACKETS.sub("", clause)
        if clause[0].isupper() and (led := _LED_CLAUSE.match(clause)):
            clause = led.group("rest")
        gerund = _GERUND.match(clause)
        if gerund and _is_gerund(gerund.group("subject")):
            found = gerund.group("subject")
            return found[0].lower() + found[1:]
        found = subject_of(clause)
        if (
            found is None
            or _EMPTY_SUBJECT.match(found)
            or found.endswith(("’s", "'s", " better", " more", " less", " worse"))
        ):
            return None
        is_odd = (
            found.split()[-1] in english.POINTING_NOUNS and found.lower().startswith("the ") and len(found.split()) < 4
        )
        if is_odd or english.context_need(f"What is {found[0].lower()}{found[1:]}?", self.title_words)[0] == "drop":
            return None
        if (place is not None and self.points_back(found, place)) or self._is_one_of_many(found):
            return None
        return self.lowered(found) if clause[0].isupper() else found

    def _is_one_of_many(self, phrase: str) -> bool:
        """Whether a subject is a thing of which there are many, and not the one that the title names ("the old bell")."""
        found = re.fullmatch(r"[Tt]he (?:[a-z-]+ )?(?P<noun>[a-z]+)", phrase)
        return found is not None and found["noun"] in _OF_MANY and found["noun"] not in self._titled

    @cached_property
    def _titled(self) -> frozenset[str]:
        return frozenset(english.words(self.article.document.title))

    def points_back(self, text: str, place: int) -> bool:
        """Whether a definite phrase of a text means what an earlier sentence of the abstract spoke of ("the deviation").

        Args:
            text: masked.
            place: of its sentence.
        """
        before = " ".join(self.article.texts[:place])
        earlier = {_singular(word) for word in english.words(before)}
        titled = {_singular(word) for word in self.title_words}
        for phrase, is_explained in _definites(text):
            head = _singular(phrase[-1])
            is_named = any(any(c.isupper() or c.isdigit() for c in word) for word in phrase)
            if is_explained or is_named or head in titled:
                continue
            is_known = head in earlier if len(phrase) == 1 else " ".join(phrase[-2:]) in before
            if is_known or any(_PARTICIPLE.search(word) for word in phrase[:-1]):
                return True
        return False

    def clause(self, text: str, place: int) -> str | None:
        """A clause as it stands within a question; None where it would not mean the same there.

        Args:
            text: masked, without its full stop.
            place: of its sentence.
        """
        text = _BRACKETS.sub("", text).strip(" ,")
        num_words = len(text.split())
        if not 3 <= num_words <= _MAX_CLAUSE_WORDS or _NO_CLAUSE.search(text):
            return None
        if not self.phrase(text, place) or not _is_clause(text):
            return None
        return self.lowered(text)

    def lowered(self, text: str) -> str | None:
        """A phrase as it stands within a sentence; None if its first word may be a name."""
        first = text.split(" ", 1)[0].rstrip(",")
        plain = first.lower()
        stem = plain.removesuffix("ing")
        is_gerund = plain.endswith("ing") and (
            stem in english.BASES or f"{stem}e" in english.BASES or stem[:-1] in english.BASES
        )
        is_common = plain in english.OPENERS or is_gerund or plain in _LEADING or _COMMON_END.search(plain) is not None
        follows = text[len(first) + 1 :].split(" ")[0]
        is_common = is_common or (plain.endswith("s") and follows in {"of", "are", "were", "have"}) or plain in _KNOWN
        if _COMPOUND.fullmatch(first) and first.split("-")[0].lower() not in self.names_in_text:
            return plain + text[len(first) :]
        if first.istitle() and is_common and not text[len(first) :].lstrip(" ,")[:1].isupper():
            return plain + text[len(first) :]
        return self.names.lower_first(text)

    @cached_property
    def names_in_text(self) -> frozenset[str]:
        """Words, in small letters, that stand with a capital within a sentence of the abstract or the title."""
        text = " ".join((*self.article.texts, f". {self.article.document.title}"))
        return frozenset(word.lower() for word in re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", text))

    def phrase(self, text: str, place: int) -> bool:
        """Whether a part of a sentence means the same in a question about the article."""
        if re.search(r"\bauthors?\b|\bthe article\b|\b(?:respectively|here|below|above|also|therefore|thus)\b", text):
            return False
        # "their" may then be the authors'.
        is_theirs = re.search(r"\btheir\b", text) and any(
            one.place == place and "authors" in one.text for one in self.article.told
        )
        if is_theirs:
            return False
        pronoun = english.PRONOUN.search(re.sub(r"\b[Tt]here (?=is|are)", "", text))
        if pronoun and not _OWNED.match(text):
            return False
        asked = f"What is {text[0].lower()}{text[1:]}?"
        return english.context_need(asked, self.title_words)[0] != "drop" and not self.points_back(text, place)


#: A list, an aside, two sentences in one, "the most promising are …" (of what?).
_NO_CLAUSE = re.compile(r"[;:()“”\"]|--|—|\. |\b[Tt]he (?:most|least) [a-z]+ (?:is|are|was|were)\b")
#: How a clause cannot begin.
_NO_OPENING = english.PREPOSITIONS | frozenset(
    [
        "and",
        "or",
        "but",
        "which",
        "that",
        "who",
        "where",
        "when",
        "while",
        "whereas",
        "because",
        "as",
        "if",
        "although",
        "though",
        "since",
        "so",
        "than",
        "not",
        "only",
        "also",
        "both",
        "either",
        "neither",
        "this",
        "these",
    ]
)


#: "A rolling stone loses some of its mass": the one pronoun is that of the subject.
_OWNED = re.compile(
    r"^(?!.*\bthat (?:its|their)\b)(?!(?:It|They|Its|Their|it|they|its|their)\b)(?:\S+ ){3,}(?:its|their) (?!.*\b(?:it|they|them|its|their|he|she|one|ones|themselves|itself)\b)"
)


def _is_clause(text: str) -> bool:
    """Whether a text is a clause with a subject and a finite verb, as far as its words tell; a phrase before it may lead it."""
    led = _LED_CLAUSE.match(text[0].upper() + text[1:])
    text = led.group("rest") if led else text
    parts = text.split()
    # "most are old": most of what?
    if (
        parts[0].lower() in {"most", "some", "many", "all", "several", "each", "few", "others"}
        and parts[1] in _VERB_AFTER
    ):
        return False
    if parts[0].lower() in _NO_OPENING or parts[0].endswith("ly"):
        return False
    if subject_of(text) is not None:
        return True
    for place, word in enumerate(parts[1:12], start=1):
        before = " ".join(parts[:place])
        if word in _VERB_AFTER:
            return not re.search(r"\b(?:that|which|who|where|when)\b", before)
        if word in {"that", "which", "who", "where", "when", "while"}:
            return False
        if word in english.THIRD and word not in english.NOUN_LIKE and english.is_noun_phrase(before, 12):
            return True
    return False


_LEADING = frozenset(LEAD_WORDS.lower().split("|"))
#: How words end that are no names.
_COMMON_END = re.compile(
    r"^(?!.*(?:actic|ian)$).{3,}(?:al|ic|ous|ive|able|ible|ent|less|ful|ary|ern|ued|ized|ised|[^aeiou]ed|tions?|ments?|ity|ities|ness|"
    r"isms?|ysis|yses|ics|ances?|ences?|ologies)$"
)
#: "Free-floating", "Low-frequency": no name begins so, unless the text has it with a capital elsewhere.
_COMPOUND = re.compile(r"[A-Z][a-z]+(?<!ian)(?:-[a-z]+)+")
_KNOWN = english.BASES | english.NOUN_LIKE | english.PARTICIPLES


def _singular(word: str) -> str:
    return word[:-3] + "y" if word.endswith("ies") else word.rstrip("s")


#: "the enhanced abundance": enhanced by what was told before.
_PARTICIPLE = re.compile(r"^[a-z]{3,}ed$")
_MAX_CLAUSE_WORDS = 28
_EXPLAINS = frozenset(["of", "that", "which", "whose", "between", "in", "at", "for", "from", "to", "on", "with"])
_ENDS = english.PREPOSITIONS | english.OPENERS | english.DETERMINERS | frozenset(english.AUXILIARIES.split("|"))


def _definites(text: str) -> Iterator[tuple[list[str], bool]]:
    """The definite phrases of a text: their words, and whether words behind them explain them."""
    for found in re.finditer(r"\b[Tt]he (?=([^,;:()]+))", text):
        phrase: list[str] = []
        is_explained = False
        for word in found.group(1).split():
            is_verb = phrase and (word in english.THIRD or word in english.PAST) and word not in english.NOUN_LIKE
            # "the observed trend": behind "the" such a word opens no clause.
            if (word in _ENDS if phrase else word in _EXPLAINS) or word in _EXPLAINS or is_verb:
                is_explained = word in _EXPLAINS
                break
            phrase.append(word.strip("."))
        if phrase:
            yield phrase, is_explained


_OF_MANY = frozenset(LISTS["of_many"].split())
_OBJECT_STARTS = frozenset({"a", "an", "the", "that", "no", "its", "their", "both"})
_VERB_AFTER = frozenset(english.AUXILIARIES.split("|"))
_ONLY_VERBS = frozenset(LISTS["only_verbs"].split())
_WITH_OF = frozenset({"consists", "consist", "consisted"})


_BRACKETS = re.compile(r" \([^()]{1,60}\)(?=[ ,.]|$)")
_LED_CLAUSE = re.compile(
    # "Combining bells, ropes and clappers": no lead, but a list
    rf"^(?:{LEAD_WORDS}) [^,;:]{{3,110}}, (?P<rest>(?!(?:[^ ,]+ ){{0,3}}?(?:and|or)\b|but\b|which\b|where\b)[^,]{{12,}}.*)$"
)
_GERUND = re.compile(
    r"^(?P<subject>[A-Z][a-z]+ing (?!(?:is|are|was|were|of|in|for)\b)[^,;:]{4,90}?) (?:is|are|remains?|requires?|provides?|can|will|has|was)\b"
)


def _is_gerund(phrase: str) -> bool:
    """Whether "Measuring the pitch of bells" is what it looks like, and names what it is about."""
    first, _, rest = phrase.partition(" ")
    stem = first.lower().removesuffix("ing")
    is_verb = stem in english.BASES or f"{stem}e" in english.BASES or stem[:-1] in english.BASES
    return is_verb and len(phrase.split()) <= 10 and english.is_noun_phrase(re.sub(r"^(?:how|why|whether) ", "", rest))


_SAYS_WHICH = re.compile(
    r"(?<= )(?:[a-z]{3,}ed|seen|shown|known|found|driven|given|taken|built|made) (?:via|using|through|during|under|to|as|over|between|within|along|across|around|into|towards?|near|after|by|in|from|at|of|for|with|on)(?= )"
)
#: "The shapes of bells, such as their rims, are …": the aside is left out.
_ASIDE = re.compile(
    r"^([^,;:]{5,80}), (?:such as|including|which|where|whose|e\.g\.|i\.e\.|an?|the|one of|along with|together with|as well as|driven|known|seen|given|"
    r"shown|found|built|made|\w+ed|\w+ing)\b[^,;:]{3,140}, (?=\w+)|^([^,;:]{5,80}) --? [^;:]{3,140}? --? (?=\w+)"
)
_ADVERBS = frozenset(
    [
        "often",
        "also",
        "even",
        "still",
        "thus",
        "now",
        "then",
        "further",
        "therefore",
        "always",
        "never",
        "sometimes",
        "hence",
    ]
)
_MORE = frozenset(LISTS["verbs"].split())
_THIRD = english.THIRD | {
    (f"{base[:-1]}ies" if base.endswith("y") and base[-2] not in "aeiou" else f"{base}s"): base for base in _MORE
}
_PAST = english.PAST | {f"{base.removesuffix('e')}ed": base for base in _MORE}


def subject_of(clause: str) -> str | None:
    """The noun phrase before the first verb of a clause, or None if unsure."""
    parts = _ASIDE.sub(lambda found: f"{found.group(1) or found.group(2)} ", clause).split()
    for place in range(1, min(len(parts) - 1, 16)):
        word = parts[place]
        # "winds strongly influence": the adverb is the verb's.
        is_adverb = parts[place - 1].endswith("ly") or parts[place - 1] in _ADVERBS
        end = place - 1 if place > 1 and is_adverb else place
        phrase = " ".join(parts[:end])
        is_noun_too = word in english.NOUN_LIKE or english.THIRD.get(word) in english.NOUN_LIKE
        is_verb = word in _VERB_AFTER or (word in _THIRD and (not is_noun_too or parts[place + 1] in _OBJECT_STARTS))
        # "the pitch increases with …": what a noun could not be followed by as well.
        goes_on = parts[place + 1] in {"with", "by", "towards", "toward", "as"} and not is_plural(phrase)
        is_verb = is_verb or (word in _THIRD and goes_on and end > 1 and english.is_noun_phrase(phrase))
        # "simulations with fast transport": behind a preposition only a plural is sure to end the phrase.
        is_whole = parts[end - 1].endswith("s") or not set(parts[:end]) & english.PREPOSITIONS
        is_base = word in english.BASES | _MORE and word not in english.NOUN_LIKE
        is_verb = is_verb or (is_base and is_whole and is_plural(phrase))
        is_verb = is_verb or (word in _PAST and parts[place + 1] in _OBJECT_STARTS)
        # "signals have", "studies of"
        if word not in _VERB_AFTER and (
            parts[place + 1] in _VERB_AFTER or (parts[place + 1] == "of" and word not in _WITH_OF)
        ):
            is_verb = False
        if not is_verb:
            if word in {"that", "which", "who", "where", "when", "while", "because"}:
                return None
            continue
        # "The abundance of matter produced via collisions": a part that says which one is none of the main verb's.
        plain = _SAYS_WHICH.sub("with", phrase)
        # "checks in towers show bells drop": the verb stood before.
        is_passed = not _ONLY_VERBS.isdisjoint(parts[1:end])
        if is_passed or not english.is_noun_phrase(plain, 12) or english.PRONOUN.search(phrase):
            return None
        return phrase
    return None


def predicate(clause: str, subject: str) -> str:
    """What stands behind the subject of a clause, with the space before it."""
    found = re.search(
        rf"(?<![\w-])[{re.escape(subject[0].upper() + subject[0].lower())}]{re.escape(subject[1:])}(?= )", clause
    )
    return clause[found.end() :] if found else ""


def is_plural(phrase: str) -> bool:
    """Whether a verb agrees with a phrase in the plural; what stands behind a preposition does not count."""
    words = phrase.split()
    ends = [place for place, word in enumerate(words) if place and word in english.PREPOSITIONS]
    words = words[: ends[0]] if ends else words
    # "the shapes inferred from …": the head stands before.
    while len(words) > 1 and words[-1] in english.PARTICIPLES | _PAST.keys() and words[-2].endswith("s"):
        words = words[:-1]
    return english.is_plural(" ".join(words))
