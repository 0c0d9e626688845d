"""Near-duplicates: sagecraft beside datatrove's MinHash steps, on the same documents, in one run.

    python benchmarks/dedup.py [--json FILE] [--repeats N] [--planted N] [DATA]

DATA is a JSONL file (`.gz` or not) with `summary` or `text`; by default the abstracts of `../shared/data` if they are there, else documents
recombined from the sentences of the sample corpus. Planted into it are copies at Jaccard 0.85 and above, which are to be found, and
texts at 0.6 and below, which are to be kept apart: each document is edited once at most, by words put in, left out or
replaced, or by moving sentences and parts of them. The similarity is that of word 5-grams, measured on strings, apart from both sides.

datatrove gets as many processes as there are cores, its own defaults (8 hashes a bucket), and the fewest buckets, 14 (its default)
or more, with which it finds as many planted copies as are asked for. sagecraft runs in one process. Both read and write
files. `ratio` is sagecraft's documents a second over datatrove's, by the clock or by CPU time, whichever is less.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers import environment

from sagecraft.artifact import keyed_hash
from sagecraft.corpus.documents import Document, read_documents, write_documents
from sagecraft.corpus.planted import Planted, plant_all

PEERS = [
    "datatrove==0.10.1",
    "spacy==3.8.7",
    "orjson==3.10.18",
    "xxhash==3.5.0",
    "regex==2026.11.15",
    "tokenizers==0.23.3",
]
ROOT = Path(__file__).resolve().parents[1]
ABSTRACTS = ROOT.parent / "shared" / "data" / "arxiv-abstracts" / "abstracts.jsonl.gz"
SHINGLE_WORDS = 5
COPIES, APART = (0.85, 1.0), (0.3, 0.6)
#: The issue's goals.
GOALS = {"recall": 0.99, "kept_apart": 0.99, "ratio": 10.0}
#: Numbers of buckets that datatrove may have, the default first.
BUCKETS = (14, 16, 18, 20, 24, 28, 32, 40)
SHARD = 2000


@dataclass
class Corpus:
    """What both sides get.

    Attributes:
        name: what the table calls it.
        texts: originals, then the planted.
        planted: their `base` is a position in `texts`; the first of them stands at `num_originals`.
        num_originals: documents that were there.
    """

    name: str
    texts: list[str]
    planted: list[Planted]
    num_originals: int


def main() -> None:
    """Runs both sides and prints the table."""
    options = arguments()
    corpus = make_corpus(options.data, options.planted)
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_inputs(corpus, folder, cores)
        python = environment("dedup", PEERS)
        bench = Bench(corpus, folder, cores, str(python))
        buckets, peer = bench.calibrate()
        own = bench.sagecraft()
        runs: dict[str, list[Run]] = {"sagecraft": [own], "datatrove": [peer]}
        for _ in range(options.repeats - 1):
            # In turns, so that whatever else the machine does disturbs both.
            runs["sagecraft"].append(bench.sagecraft())
            runs["datatrove"].append(bench.datatrove(buckets))
    result = summary(corpus, runs, buckets, cores)
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, help="JSONL with `summary` or `text`")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each side")
    parser.add_argument("--planted", type=int, default=800, help="copies, and as many texts to keep apart")
    return parser.parse_args()


def make_corpus(data: Path | None, num_planted: int) -> Corpus:
    """The originals, and what is planted into them."""
    source = data or (ABSTRACTS if ABSTRACTS.is_file() else None)
    texts = list(read_texts(source)) if source else recombined(8000)
    order = sorted(range(len(texts)), key=lambda position: keyed_hash("benchmark", "base", position))
    planted: list[Planted] = []
    for part, wanted in enumerate((COPIES, APART)):
        chosen = order[part * num_planted : (part + 1) * num_planted]
        found = plant_all([texts[at] for at in chosen], wanted, SHINGLE_WORDS, ("benchmark", part))
        planted += [Planted(chosen[each.base], each.edit, each.text, each.jaccard) for each in found]
    name = source.name if source else "documents recombined from examples/"
    return Corpus(name, texts + [each.text for each in planted], planted, len(texts))


def read_texts(path: Path) -> Iterator[str]:
    """Title and text of each row, once each."""
    seen = set()
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        for line in file:
            row = json.loads(line)
            text = f"{row.get('title', '')}\n\n{row.get('text') or row.get('summary') or ''}".strip()
            if text not in seen:
                seen.add(text)
                yield text


def recombined(count: int) -> list[str]:
    """Documents of eight sentences of the sample corpus each, drawn by key: alike in style, hardly in text."""
    sentences = sorted(
        {
            " ".join(sentence.split())
            for file in sorted((ROOT / "examples").rglob("*.md"))
            for sentence in re.split(r"(?<=[.!?])\s+", file.read_text(encoding="utf-8"))
            if 8 <= len(sentence.split()) <= 60
        }
    )
    return [
        " ".join(sentences[keyed_hash("benchmark", number, place) % len(sentences)] for place in range(8))
        for number in range(count)
    ]


def write_inputs(corpus: Corpus, folder: Path, cores: int) -> None:
    """The same documents as an artifact of sagecraft and as JSONL, a file for each core."""
    documents = [Document(str(number), text) for number, text in enumerate(corpus.texts)]
    for number, start in enumerate(range(0, len(documents), SHARD)):
        write_documents(folder / "artifact", documents[start : start + SHARD], f"part-{number:05d}")
    (folder / "jsonl").mkdir()
    # In turns: each file has its share of the planted, which stand at the end.
    for core in range(cores):
        rows = (json.dumps({"id": document.id, "text": document.text}) for document in documents[core::cores])
        (folder / "jsonl" / f"{core:02d}.jsonl").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")


@dataclass
class Run:
    """One run of one side.

    Attributes:
        seconds: by the clock.
        cpu: of all its processes.
        kept: identifiers of what stays.
    """

    seconds: float
    cpu: float
    kept: set[str]


class Bench:
    """Starts the sides on one corpus."""

    def __init__(self, corpus: Corpus, folder: Path, cores: int, python: str) -> None:
        self._corpus = corpus
        self._folder = folder
        self._cores = cores
        self._python = python
        self._count = 0

    def _start(self, python: str, task: dict[str, Any]) -> tuple[float, float]:
        worker = Path(__file__).with_name("dedup_worker.py")
        done = subprocess.run(
            [python, str(worker)], input=json.dumps(task), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{task['side']} failed:\n{done.stderr[-2000:]}")
        seconds, cpu = json.loads(done.stdout.strip().split("\n")[-1])
        return seconds, cpu

    def _fresh(self, side: str) -> Path:
        self._count += 1
        return self._folder / f"{side}-{self._count}"

    def sagecraft(self) -> Run:
        """This project's command."""
        out = self._fresh("sagecraft")
        task = {"side": "sagecraft", "documents": str(self._folder / "artifact"), "out": str(out)}
        times = self._start(sys.executable, task)
        return Run(*times, {document.id for document in read_documents(out)})

    def datatrove(self, buckets: int) -> Run:
        """The peer's four steps."""
        work = self._fresh("datatrove")
        task = {"side": "datatrove", "documents": str(self._folder / "jsonl"), "work": str(work)}
        times = self._start(self._python, task | {"buckets": buckets, "rows": 8, "cores": self._cores})
        files = sorted((work / "kept").glob("*.jsonl"))
        return Run(*times, {json.loads(line)["id"] for file in files for line in file.open(encoding="utf-8")})

    def calibrate(self) -> tuple[int, Run]:
        """The fewest buckets with which the peer finds enough, and its run."""
        for buckets in BUCKETS:
            run = self.datatrove(buckets)
            if quality(self._corpus, run)["recall"] >= GOALS["recall"]:
                break
        return buckets, run


def quality(corpus: Corpus, run: Run) -> dict[str, Any]:
    """What a run found of the planted.

    Recall: of a copy and its original one is gone. Kept apart: both stay. `others_dropped`: originals without a copy that went.
    """
    found: list[bool] = []
    apart: list[bool] = []
    bases = set()
    for number, planted in enumerate(corpus.planted):
        bases.add(planted.base)
        both = {str(planted.base), str(corpus.num_originals + number)} <= run.kept
        (found if planted.jaccard >= COPIES[0] else apart).append(both)
    others = sum(str(n) not in run.kept for n in range(corpus.num_originals) if n not in bases)
    recall = 1 - sum(found) / len(found)
    return {
        "recall": recall,
        "kept_apart": sum(apart) / len(apart),
        "others_dropped": others,
        "copies": len(found),
        "apart": len(apart),
    }


def summary(corpus: Corpus, runs: dict[str, list[Run]], buckets: int, cores: int) -> dict[str, Any]:
    """All figures."""
    sides: dict[str, Any] = {}
    for side, made in runs.items():
        seconds, cpu = (statistics.median(getattr(run, name) for run in made) for name in ("seconds", "cpu"))
        sides[side] = {
            "seconds": seconds,
            "cpu_seconds": cpu,
            "documents_per_second": len(corpus.texts) / seconds,
            "documents_per_cpu_second": len(corpus.texts) / cpu,
            "all_seconds": [round(run.seconds, 3) for run in made],
            "all_cpu_seconds": [round(run.cpu, 3) for run in made],
            **quality(corpus, made[0]),
        }
    own, peer = sides["sagecraft"], sides["datatrove"]
    ratios = {name: own[name] / peer[name] for name in ("documents_per_second", "documents_per_cpu_second")}
    jaccards = {name: sorted(p.jaccard for p in corpus.planted if (p.jaccard >= COPIES[0]) == copies)
                for name, copies in (("copies", True), ("apart", False))}  # fmt: skip
    return {
        "corpus": corpus.name,
        "num_documents": len(corpus.texts),
        "cores": cores,
        "datatrove_buckets": f"{buckets} x 8",
        "planted_jaccard": {
            name: [values[0], statistics.median(values), values[-1]] for name, values in jaccards.items()
        },
        "sides": sides,
        "ratios": ratios,
        "ratio": min(ratios.values()),
        "met": {
            "recall": own["recall"] >= GOALS["recall"],
            "kept_apart": own["kept_apart"] >= GOALS["kept_apart"],
            "ratio": min(ratios.values()) >= GOALS["ratio"],
        },
    }


def show(result: dict[str, Any]) -> None:
    """The table."""
    own, peer = result["sides"]["sagecraft"], result["sides"]["datatrove"]
    print(f"{result['num_documents']:,} documents ({result['corpus']}), {result['cores']} cores; "
          f"datatrove with {result['datatrove_buckets']} hashes")  # fmt: skip
    for name, (low, middle, high) in result["planted_jaccard"].items():
        print(f"planted {name}: {own[name]}, Jaccard {low:.3f} to {high:.3f}, median {middle:.3f}")
    print(f"{'':34}{'sagecraft':>12}{'datatrove':>12}")
    rows = [
        ("copies found (>= 0.85)", "recall", "{:.2%}"),
        ("kept apart (<= 0.6)", "kept_apart", "{:.2%}"),
        ("other documents dropped", "others_dropped", "{}"),
        ("seconds, median", "seconds", "{:.2f}"),
        ("CPU seconds, median", "cpu_seconds", "{:.2f}"),
        ("documents a second", "documents_per_second", "{:,.0f}"),
        ("documents a CPU second", "documents_per_cpu_second", "{:,.0f}"),
    ]
    for label, key, form in rows:
        print(f"{label:34}{form.format(own[key]):>12}{form.format(peer[key]):>12}")
    print(f"ratio {result['ratio']:.1f}; goals: " + ", ".join(f"{k} {'met' if v else 'missed'}" for k, v in result["met"].items()))  # fmt: skip


if __name__ == "__main__":
    main()
