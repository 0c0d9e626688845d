"""What the rules of `synth` and `bench` make of a textbook and abstracts, from one split: counts, kinds, guesses, and a draw for readers.

    python benchmarks/yields.py [--book DIR] [--abstracts FILE] [--num-abstracts N] [--withhold BOOK ABSTRACTS] [--draw N] [--draw-seed N] [--out DIR] [--json FILE]

No peer: nothing else makes questions of literature without a model. By default the textbook and the abstracts of `../shared/data`. A share of each
is withheld, by a key, before anything is made; `bench` makes its items of it and compares them with all training documents; `synth` asks
about the others and leaves out what the items ask. Everything runs as its command does. `pairs.jsonl` and `items.jsonl` of OUT are the draw:
question, answer and source, and nothing that tells how it was made.
"""

from __future__ import annotations

import argparse
import gzip
import heapq
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sagecraft import artifact
from sagecraft.artifact import keyed_hash
from sagecraft.corpus import withhold
from sagecraft.corpus.documents import Document, read_documents
from sagecraft.literature.reading import Reading

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
#: The least and the most that are asked for.
LEAST = {"questions": 15_000, "from the textbook": 4_000, "kinds": 8, "items": 1_000}
MOST = {"share of metadata": 0.2, "share of the largest other kind": 0.25, "guess from chance, points": 3.0}


def main() -> None:
    """Makes the split, runs the two stages, prints what came."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--book", type=Path, default=DATA / "openstax-astronomy")
    parser.add_argument("--abstracts", type=Path, default=DATA / "arxiv-abstracts" / "abstracts.jsonl.gz")
    parser.add_argument("--num-abstracts", type=int, default=2000)
    parser.add_argument(
        "--withhold", type=float, nargs=2, default=(0.02, 0.47), help="shares of the modules and of the abstracts"
    )
    parser.add_argument("--draw", type=int, default=100, help="pairs and items for readers")
    parser.add_argument("--draw-seed", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder to keep; a temporary one if not given")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    for path in (options.book, options.abstracts):
        if not path.exists():
            sys.exit(f"{path}: not there; name a textbook with --book and abstracts with --abstracts")
    with tempfile.TemporaryDirectory() as scratch:
        out = options.out or Path(scratch)
        out.mkdir(parents=True, exist_ok=True)
        seconds = make(options, out)
        figures = counted(out)
        draw(out, options.draw, options.draw_seed)
    report(figures, seconds)
    if options.json:
        options.json.write_text(json.dumps({**figures, "seconds": seconds}, indent=1) + "\n", encoding="utf-8")


def make(options: argparse.Namespace, out: Path) -> dict[str, float]:
    """Ingests, withholds, and runs both stages. Returns the seconds of each."""
    with (gzip.open if options.abstracts.suffix == ".gz" else open)(options.abstracts, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    chosen = heapq.nsmallest(
        options.num_abstracts, rows, key=lambda row: keyed_hash(options.seed, "abstract", row["id"])
    )
    artifact.write_jsonl(out / "abstracts.jsonl", chosen)
    seconds = {"ingest": command("ingest", options.book, out / "abstracts.jsonl", "--out", out / "corpus")}
    config = withhold.WithholdConfig(ids=withheld_ids(out / "corpus", options.withhold, options.seed))
    withhold.run(config, {"documents": out / "corpus"}, out / "split")
    training, withheld = out / "split" / "training", out / "split" / "withheld"
    seconds["bench"] = command("bench", withheld, "--training", training, "--out", out / "bench")
    items = out / "bench" / "items.jsonl"
    seconds["synth"] = command("synth", training, "--benchmark", items, "--out", out / "synth")
    return seconds


def withheld_ids(corpus: Path, shares: tuple[float, float], seed: int) -> list[str]:
    """A share of the modules and a share of the abstracts, by a key."""
    chosen: list[str] = []
    documents = [(document.id, document.format == "cnxml") for document in read_documents(corpus)]
    for is_book, share in zip((True, False), shares, strict=True):
        names = [name for name, is_module in documents if is_module is is_book]
        chosen += heapq.nsmallest(round(share * len(names)), names, key=lambda name: keyed_hash(seed, "withheld", name))
    return sorted(chosen)


def command(*words: str | Path) -> float:
    """Runs a command of sagecraft and returns its seconds."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "sagecraft", *map(str, words)], check=True)
    return time.perf_counter() - began


def questions_of(out: Path) -> Iterator[dict[str, Any]]:
    """A row for each question: the one with the switch on, if there are two."""
    rows: dict[str, dict[str, Any]] = {}
    for row in artifact.read_jsonl(out / "synth" / "conversations.jsonl"):
        name = row["id"].rsplit("-", 1)[0]
        if name not in rows or row["thinking"] == "on":
            rows[name] = {**row, "question_id": name}
    yield from rows.values()


def counted(out: Path) -> dict[str, Any]:
    """The figures that the goals are about."""
    documents = {document.id: document for document in read_documents(out / "split" / "training")}
    questions = list(questions_of(out))
    kinds = Counter(row["kind"] for row in questions)
    asked = Counter(documents[row["lineage"][0]["document"]].format for row in questions if row["kind"] != "metadata")
    stats = artifact.load(out / "bench").stats
    others = {kind: number for kind, number in kinds.items() if kind != "metadata"}
    guesses = {**stats["baselines"], "learned": stats["learned_baseline"]}
    return {
        "documents": len(documents),
        "withheld documents": stats["num_documents"],
        "questions": len(questions),
        "from the textbook": asked["cnxml"],
        "kinds": len(kinds),
        "share of metadata": kinds["metadata"] / len(questions),
        "share of the largest other kind": max(others.values()) / len(questions),
        "items": stats["num_items"],
        "guess from chance, points": max(100 * abs(guess - 0.25) for guess in guesses.values()),
        "questions by kind": dict(kinds.most_common()),
        "items by form": stats["items_by_form"],
        "guesses": guesses,
        "MiB of the largest process": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
    }


def draw(out: Path, count: int, seed: int) -> None:
    """Writes `pairs.jsonl` and `items.jsonl`: what a reader needs to judge, in the order of a key."""
    documents = {document.id: document for document in read_documents(out / "corpus")}
    pairs = heapq.nsmallest(count, questions_of(out), key=lambda row: keyed_hash(seed, "read", row["question_id"]))
    artifact.write_jsonl(out / "pairs.jsonl", [pair_to_read(row, documents) for row in pairs])
    items = heapq.nsmallest(
        count, artifact.read_jsonl(out / "bench" / "items.jsonl"), key=lambda row: keyed_hash(seed, "read", row["id"])
    )
    passages: dict[str, str] = {}
    for name in {item["article"] for item in items}:
        passages |= {passage.id: passage.text for passage in Reading(documents[name], 0).passages}
    shown = ("id", "form", "question", "A", "B", "C", "D", "answer", "title")
    rows = [
        {**{key: item[key] for key in shown}, "source": passages.get(item["passage"], item["support"])}
        for item in items
    ]
    artifact.write_jsonl(out / "items.jsonl", rows)


def pair_to_read(row: dict[str, Any], documents: dict[str, Document]) -> dict[str, Any]:
    """A question, its answer and its source: the sentences, or the record where it is about that."""
    document = documents[row["lineage"][0]["document"]]
    source = [entry["sentence"] for entry in row["lineage"] if entry["sentence"]]
    record = {name: str(getattr(document, name)) for name in ("id", "authors", "year", "categories", "license")}
    return {
        "id": row["question_id"],
        "kind": row["kind"],
        "title": document.title,
        "question": row["messages"][0]["content"],
        "answer": row["messages"][-1]["content"],
        "source": source or record,
    }


def report(figures: dict[str, Any], seconds: dict[str, float]) -> None:
    """Prints the figures beside what is asked for."""
    for name, value in figures.items():
        if name in LEAST:
            told = f"{value:,} of {LEAST[name]:,}" + ("" if value >= LEAST[name] else ": missed")
        elif name in MOST:
            told = f"{value:.3f}, at most {MOST[name]}" + ("" if value <= MOST[name] else ": missed")
        elif isinstance(value, dict):
            told = ", ".join(
                f"{key} {part:.3f}" if isinstance(part, float) else f"{key} {part:,}" for key, part in value.items()
            )
        else:
            told = f"{value:,}"
        print(f"{name}: {told}")
    print("seconds: " + ", ".join(f"{name} {value:.0f}" for name, value in seconds.items()))


if __name__ == "__main__":
    main()
