"""Questions about an article by name that its other sentences answer, or several together: what it is about, why it was written, what it says of a thing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from sagecraft.corpus.sentences import mask_math
from sagecraft.literature import english
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.ask import ask
from sagecraft.synthesis.candidate import Candidate, Rule
from sagecraft.synthesis.rules.articles import Saying, is_evidence, sayings_of
from sagecraft.synthesis.rules.asker import Asker
from sagecraft.synthesis.rules.reported import Told, article_of

_MAX_ANSWER_WORDS = 150
_MAX_RESULTS = 4
_ACCOUNT = (
    "What is {T} about, and what does it find?",
    "Give a short summary of the article {T}.",
    "Summarize {T} in a few sentences.",
    "What was done in {T}, and with what outcome?",
    "Tell me briefly about the work described in {T}.",
    "What should one know about the article {T}?",
)
_RESULTS = (
    "What are the main results of {T}?",
    "Which findings are reported in {T}?",
    "What did the work described in {T} bring to light?",
    "List the findings of the article {T}.",
)
_METHODS = (
    "Which data or methods does the work in {T} rely on?",
    "How was the work described in {T} carried out?",
    "Describe the approach taken in {T}.",
    "What approach do the authors of {T} take?",
)
_GAP = (
    "Which open question or difficulty stands behind {T}?",
    "What motivates the work described in {T}?",
    "Which gap in knowledge does {T} start from?",
    "What was unsettled or difficult, according to {T}, before the work it describes?",
)
_BACKGROUND = (
    "What background does {T} give on {S}?",
    "How does {T} introduce {S}?",
    "What does {T} say about {S} by way of introduction?",
    "In the introduction to their work, what do the authors of {T} say about {S}?",
)
_REPORT = (
    "What does {T} report about {S}?",
    "What is said about {S} in {T}?",
    "What can be learned from {T} about {S}?",
    "According to the article {T}, what is to be said about {S}?",
    "In {T}, what is stated about {S}?",
)
_UNSETTLED = re.compile(
    r"\b(?:remains?|still|is|are|was|were|been) (?:[a-z]+ly |still |a |an |the |one of the |among the )*(?:unclear|unknown|unsolved|unresolved|uncertain|debated|elusive|"
    r"challenging|challenge|open|mystery|puzzle|puzzling|unexplored|unconstrained|poorly|controversial|understudied|unexplained|limited|difficult|under debate|"
    r"not (?:well|fully|yet|completely) [a-z]+|not understood|incomplete|lacking|matter of debate|subject of debate|problem)\b|"
    r"\b(?:little is known|lacks?|poorly (?:understood|constrained|known)|has (?:not|never) been|have (?:not|never) been|hampered|hindered|difficulties|no consensus|rarely)\b"
)


def summaries(asker: Asker, sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """What was done, the first finding and what follows, as one short account; and all findings, all methods."""
    aims = [saying.told for saying in sayings if saying.kind == "aim" and saying.verb in _OPENING_VERBS]
    methods = [saying.told for saying in sayings if saying.kind == "method"]
    found = [saying.told for saying in sayings if saying.kind == "finding"]
    follows = [told for told in asker.article.told if is_evidence(told)]
    results = sorted([*found, *follows], key=lambda told: told.place)
    start = (aims or methods)[:1]
    parts = [*start, *[told for told in results if not start or told.place > start[0].place][:2]]
    parts += [told for told in follows[-1:] if told not in parts]
    parts = _within(parts)
    if start and len(parts) >= 2:
        yield from asker.candidate(
            "article-account", "account", asker.wording(_ACCOUNT, "account"), f"what {asker.title} is about", parts
        )
    shown = _within(results[:_MAX_RESULTS])
    if len(shown) >= 2 and len(shown) == len(results):
        yield from asker.candidate(
            "article-results", "finding", asker.wording(_RESULTS, "results"), f"the findings of {asker.title}", shown
        )
    ways = _within(methods)
    if 2 <= len(ways) == len(methods):
        yield from asker.candidate(
            "article-methods", "method", asker.wording(_METHODS, "methods"), f"the approach of {asker.title}", ways
        )


_OPENING_VERBS = frozenset(
    "present investigate study explore examine propose introduce develop describe revisit review evaluate assess test search-for aim-to".replace(
        "-", " "
    ).split()
) | {"search for", "aim to", "seek to", "focus on"}


def _within(told: Sequence[Told]) -> list[Told]:
    """The first of them that make no more than so many words."""
    kept: list[Told] = []
    num_words = 0
    for one in told:
        num_words += len(one.text.split())
        if num_words > _MAX_ANSWER_WORDS:
            break
        kept.append(one)
    return kept


def gaps(asker: Asker, _sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """What was not known or hard before the work: sentences before the first on the authors that say so."""
    before = asker.article.first_own
    unsettled = [
        told for told in asker.article.told
        if told.place < before and _UNSETTLED.search(told.text) and "authors" not in told.text and not is_evidence(told)
    ]  # fmt: skip
    if 1 <= len(unsettled) <= 2:
        yield from asker.candidate(
            "article-gap", "purpose", asker.wording(_GAP, "gap"), f"what stands behind {asker.title}", unsettled
        )


def statements(asker: Asker, sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """“X is Y.” → what the article says of X; all sentences on the same subject answer it together."""
    before = asker.article.first_own
    spoken = {saying.told.place for saying in sayings}
    groups: dict[str, list[Told]] = defaultdict(list)
    for told in asker.article.told:
        if told.place in spoken or is_evidence(told) or told.text.startswith(("The authors ", "The article ")):
            continue
        subject = asker.subject(told.text.rstrip("."), told.place)
        if subject is not None and re.search(r"\bauthors\b|\bthe article\b", subject):
            continue
        if subject is not None and (len(subject.split()) > 1 or subject[0].isupper()):
            groups[told.plain(subject)].append(told)
    for subject, group in groups.items():
        if len(_within(group)) < len(group):
            continue
        is_background = group[-1].place < before
        rule, kind, forms = (
            ("article-background", "account", _BACKGROUND) if is_background else ("article-report", "finding", _REPORT)
        )
        yield from asker.candidate(
            rule, kind, asker.wording(forms, subject, S=subject), f"what {asker.title} says about {subject}", group
        )


_HEDGES = frozenset({"suggest", "argue", "infer", "predict", "estimate", "interpret", "propose", "attribute"})
_LED = ("According to {T}, {Q}", "According to the article {T}, {Q}", "As {T} has it, {Q}", "Going by {T}, {Q}")


def asked(asker: Asker, sayings: Sequence[Saying]) -> Iterator[Candidate]:
    """The rules over single sentences, asked of what the article states or finds, with its name before the question."""
    clauses = {saying.told.place: saying.rest.removeprefix("that ") for saying in sayings if saying.is_claim}
    hedged = {saying.told.place for saying in sayings if saying.is_claim and saying.verb in _HEDGES}
    spoken = {saying.told.place for saying in sayings}
    for told in asker.article.told:
        if asker.article.company(told) != (told,):
            continue
        clause = clauses.get(told.place) or (None if told.place in spoken else told.text.rstrip("."))
        if clause is None or re.search(r"\b[Tt]he (?:authors|article)\b", clause) or english.PRONOUN.match(clause):
            continue
        sentence = told.plain(clause[0].upper() + clause[1:] + ".")
        for candidate in ask(sentence, asker.names):
            question = candidate.question
            if english.context_need(mask_math(question)[0], asker.title_words)[0] == "drop" or candidate.kind in (
                "term",
                "superlative",
            ):
                continue
            if re.search(r"\b(?:is|are|was|were|do|does|did|has|have) (?:no|few|little|neither|not all)\b", question):
                continue
            if candidate.kind == "definition" and candidate.answer != sentence:
                continue
            if told.place in hedged:
                # "The authors suggest that …" is no plain fact.
                if candidate.answer != sentence:
                    continue
                candidate = replace(candidate, answer=told.plain())
            key = candidate.key
            if key and re.search(rf"{re.escape(key)}, ", sentence):
                key = None  # it goes on behind the comma
            led = asker.wording(_LED, question, Q=question[0].lower() + question[1:])
            yield replace(
                candidate, question=led, key=key, rule="article-sentence", positions=(told.position,),
                scope=asker.article.document.id, recall=candidate.answer,
            )  # fmt: skip


def abstracts(reading: Reading) -> Iterator[Candidate]:
    """All of these questions about an article; none of what is no article."""
    article = article_of(reading)
    if article is None:
        return
    asker = Asker(reading, article)
    sayings = sayings_of(article)
    for part in (summaries, gaps, statements, asked):
        yield from part(asker, sayings)


RULES: dict[str, Rule] = {"abstract": abstracts}
