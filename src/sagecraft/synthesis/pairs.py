"""Questions of a whole corpus: asked, graded, made to stand alone, deduplicated and brought to their shares."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft.artifact import keyed_hash
from sagecraft.corpus.documents import Document, read_documents
from sagecraft.corpus.sentences import Sentence, mask_math
from sagecraft.literature import english
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.ask import ask
from sagecraft.synthesis.candidate import Candidate
from sagecraft.synthesis.dedup import QuestionIndex
from sagecraft.synthesis.grade import grade
from sagecraft.synthesis.passages import accounts, metadata, quoted
from sagecraft.synthesis.rules import RULES

if TYPE_CHECKING:
    from sagecraft.corpus.overlap import Leaks
    from sagecraft.synthesis.synth import SynthConfig

#: A word that a document uses so often is what the document is about: "the disc" of a text on discs needs only its topic.
_TOPIC_WORD_COUNT = 8
_TOPIC = (
    "On the subject of {topic}: {question}",
    "In the context of {topic}, {question}",
    "Concerning {topic}: {question}",
)
#: Reason of what a benchmark asks too.
IN_BENCHMARK = "in-benchmark"
#: Kinds with a share of their own; all others are as many as the rules give.
_SHARES = {"metadata": "metadata_share", "account": "account_share"}


@dataclass(frozen=True)
class Pair:
    """A question that stands alone, its answer, and where both come from."""

    id: str
    question: str
    candidate: Candidate
    document: str
    position: int
    positions: tuple[int, ...]
    sentences: tuple[str, ...]
    scope: str
    source: str
    license: str

    @property
    def ground(self) -> str:
        """The grounded sentences as they stand in the document (of a metadata question: the answer, from the record)."""
        return " ".join((*self.sentences, *self.candidate.ground)) or self.candidate.answer

    def as_drop(self) -> dict[str, Any]:
        """What `dropped.jsonl` says of it."""
        return {
            "document": self.document, "sentence": self.ground, "kind": self.candidate.kind, "question": self.question,
            "answer": self.candidate.answer,
        }  # fmt: skip


def collect(
    config: SynthConfig, documents: Path, leaks: Leaks | None
) -> tuple[list[Pair], list[dict[str, Any]], dict[str, int]]:
    """All pairs that pass, in the order of their documents' ids; what was dropped, with reasons; and counts."""
    counts = {
        "num_documents": 0,
        "num_withheld_skipped": 0,
        "num_sentences": 0,
        "num_sentences_tied": 0,
        "num_candidates": 0,
    }
    dropped: list[dict[str, Any]] = []
    pairs: list[Pair] = []
    for document in read_documents(documents):
        if document.withheld:
            counts["num_withheld_skipped"] += 1  # the benchmark is made of these: nothing may be taught from them
            continue
        counts["num_documents"] += 1
        made = list(_pairs_of(config, document, counts))
        counts["num_candidates"] += len(made)
        passed = []
        for pair, reason in made:
            hits = (
                leaks.find(f"{pair.question}\n{pair.candidate.answer}") if leaks is not None and reason is None else []
            )
            if hits:
                found = {"item": hits[0].item, "item_text": hits[0].item_text}
                dropped.append({**pair.as_drop(), "reason": IN_BENCHMARK, **found})
            elif reason is None:
                passed.append(pair)
            else:
                dropped.append({**pair.as_drop(), "reason": reason})
        kept, surplus = _limit(config, passed)
        pairs += kept
        dropped += [{**pair.as_drop(), "reason": reason} for pair, reason in surplus]
    pairs.sort(key=lambda pair: (pair.document, pair.position, pair.question))
    unique, repeated = _distinct(pairs)
    return unique, dropped + [{**pair.as_drop(), "reason": "near-duplicate"} for pair in repeated], counts


def _pairs_of(config: SynthConfig, document: Document, counts: dict[str, int]) -> Iterable[tuple[Pair, str | None]]:
    """Every question of one document, each with the reason to drop it, or None."""
    reading = Reading(document, config.seed)
    sentences = {sentence.position: sentence for passage in reading.passages for sentence in passage.sentences}
    counts["num_sentences"] += len(sentences)
    counts["num_sentences_tied"] += sum(
        english.tie(mask_math(sentence.text)[0]) is not None for sentence in sentences.values()
    )
    wanted = set(config.kinds)
    for rule in RULES.values():
        for candidate in rule(reading):
            if candidate.kind not in wanted:
                continue
            grounds = [sentences[position] for position in candidate.positions]
            pair = _pair(document, grounds, candidate, candidate.question, candidate.scope)
            yield pair, candidate.drop or grade(candidate, pair.ground)
    yield from _sentence_pairs(config, reading, list(sentences.values()))


def _sentence_pairs(
    config: SynthConfig, reading: Reading, sentences: list[Sentence]
) -> Iterable[tuple[Pair, str | None]]:
    """What the rules over single sentences, sections and records make that are no `RULES` yet."""
    document, wanted = reading.document, set(config.kinds)
    topic_words = _topic_words(document)
    for sentence in sentences:
        if english.tie(mask_math(sentence.text)[0]) is not None:
            continue
        for candidate in ask(sentence.text, reading.names):
            if candidate.kind in wanted:
                yield _stand_alone(config, document, sentence, candidate, topic_words)
    if "account" in wanted:
        for candidate, opening in accounts(document, sentences, config.seed):
            pair = _pair(document, opening, candidate, candidate.question, scope=document.id)
            yield pair, grade(candidate, pair.ground)
    if "metadata" in wanted:
        for candidate in metadata(document, config.seed):
            yield _pair(document, [], candidate, candidate.question, scope=""), grade(candidate, candidate.answer)


def _stand_alone(
    config: SynthConfig, document: Document, sentence: Sentence, candidate: Candidate, topic_words: frozenset[str]
) -> tuple[Pair, str | None]:
    """The pair, with the topic named in the question where a phrase needs it."""
    need, phrase = english.context_need(mask_math(candidate.question)[0], topic_words)
    if need == "none" and candidate.kind == "method" and re.match(r"How (?:was|were)\b", candidate.question):
        need = "topic"  # how something was done belongs to the work that did it
    question, scope = candidate.question, ""
    if need == "topic" and (topic := quoted(document.title)):
        form = _TOPIC[keyed_hash(config.seed, "topic", document.id, question) % len(_TOPIC)]
        question = form.format_map({"topic": topic, "question": question[0].lower() + question[1:]})
        scope = document.id
    elif need == "none" and _leans(candidate.answer, topic_words):
        return _pair(document, [sentence], candidate, question, scope), "not-alone"
    elif need != "none":
        reason = f"not-alone: {phrase}" if need == "drop" else "no-title"
        return _pair(document, [sentence], candidate, question, scope), reason.split(":")[0]
    return _pair(document, [sentence], candidate, question, scope), grade(
        replace(candidate, question=question), sentence.text
    )


def _leans(answer: str, topic_words: frozenset[str]) -> bool:
    """Whether an answer opens with a definite phrase that only its neighbours explain ("The process is named …")."""
    opening = mask_math(answer)[0].split(",")[0]
    return answer.startswith("The ") and english.context_need(" ".join(opening.split()[:7]), topic_words)[0] == "drop"


def _pair(document: Document, sentences: Sequence[Sentence], candidate: Candidate, question: str, scope: str) -> Pair:
    name = hashlib.sha256("\x1f".join((document.id, candidate.kind, question)).encode()).hexdigest()[:16]
    return Pair(
        id=f"{candidate.kind}-{name}",
        question=question,
        candidate=candidate,
        document=document.id,
        position=sentences[0].position if sentences else -1,
        positions=tuple(sentence.position for sentence in sentences),
        sentences=tuple(sentence.text for sentence in sentences),
        scope=scope,
        source=document.source,
        license=document.license,
    )


def _topic_words(document: Document) -> frozenset[str]:
    """Words that need no explanation once the title is named: the title's own, and those the text keeps using."""
    title = english.words(document.title)
    often = [word for word, count in Counter(english.words(document.text)).items() if count >= _TOPIC_WORD_COUNT]
    return frozenset([*title, *(word.rstrip("s") for word in title), *often])


def _limit(config: SynthConfig, pairs: Sequence[Pair]) -> tuple[list[Pair], list[tuple[Pair, str]]]:
    """At most so many a sentence and a document, drawn by a keyed hash."""
    kept: list[Pair] = []
    surplus: list[tuple[Pair, str]] = []
    num_by_sentence: Counter[tuple[str, int]] = Counter()
    for pair in sorted(pairs, key=lambda pair: (keyed_hash(config.seed, "limit", pair.id), pair.id)):
        sentence = (pair.candidate.kind if pair.candidate.kind in _SHARES else "", pair.position)
        if pair.position >= 0 and num_by_sentence[sentence] >= config.max_pairs_per_sentence:
            surplus.append((pair, "enough-of-sentence"))
        elif len(kept) >= config.max_pairs_per_document:
            surplus.append((pair, "enough-of-document"))
        else:
            num_by_sentence[sentence] += 1
            kept.append(pair)
    return kept, surplus


def _distinct(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    """Splits off questions that are near-equal to one before them; those that name a topic are compared within it."""
    indexes: dict[str, QuestionIndex] = defaultdict(QuestionIndex)
    kept: list[Pair] = []
    repeated: list[Pair] = []
    for pair in pairs:
        (kept if indexes[pair.scope].add(pair.candidate.question) else repeated).append(pair)
    return kept, repeated


def select(config: SynthConfig, pairs: Sequence[Pair]) -> tuple[list[Pair], list[tuple[Pair, str]]]:
    """Brings metadata and accounts down to their shares and the whole to `max_pairs`, drawn by a keyed hash."""
    shares = {kind: float(getattr(config, name)) for kind, name in _SHARES.items()}
    drawn = sorted(pairs, key=lambda pair: (keyed_hash(config.seed, "select", pair.id), pair.id))
    counts = Counter(pair.candidate.kind for pair in drawn)
    total = min(len(drawn), config.max_pairs or len(drawn))
    while True:
        # The largest total in which no share is exceeded: each round takes away what was too much.
        caps = {kind: min(counts[kind], int(share * total)) for kind, share in shares.items()}
        others = sum(count for kind, count in counts.items() if kind not in shares)
        possible = min(total, others + sum(caps.values()))
        if possible == total:
            break
        total = possible
    kept: list[Pair] = []
    surplus: list[tuple[Pair, str]] = []
    taken: Counter[str] = Counter()
    for pair in drawn:
        kind = pair.candidate.kind
        if kind in caps and taken[kind] >= caps[kind]:
            surplus.append((pair, f"enough-of-{kind}"))
        elif len(kept) >= total:
            surplus.append((pair, "enough"))
        else:
            taken[kind] += 1
            kept.append(pair)
    return kept, surplus
