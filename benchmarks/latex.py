"""LaTeX to text: sagecraft's reader beside pandoc and pylatexenc, on the same papers, on one core, in one run.

    python benchmarks/latex.py [--json FILE] [--repeats N] [FOLDER…]

Each FOLDER holds papers, one a subfolder (or is itself one). Without folders: the sample corpus, and `../shared/data` if it is there.
Speed is CPU time, so that other work on the machine disturbs it little; the start of pandoc's process is taken off its time.
`ratio` is sagecraft's papers a second over the best peer's, in the worst case. Fidelity is counted by `latex_source` and
`latex_score`, which share nothing with the reader.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import latex_score
import latex_source
from peers import environment

from sagecraft.corpus.readers.latex import find_main

PEERS = ["pypandoc_binary==1.17", "pylatexenc==2.11", "pypdfium2==4.30.0"]
READERS = ["sagecraft", "pandoc", "pandoc-citeproc", "pylatexenc"]
ALL = "all cases"
HERE = Path(__file__).resolve().parent
#: What a count is called in the table, and whether more of it is better.
COUNTS = {
    "display_equations": ("display equations kept", True),
    "inline_equations": ("inline equations kept", True),
    "citations": ("citations resolved", True),
    "left_over_commands": ("left-over commands among words", False),
    "macros_expanded": ("uses of own macros expanded", True),
    "table_cells": ("table cells kept apart", True),
    "pdf_words_found": ("words of the PDF's prose found, in order", True),
    "words_in_pdf": ("words of the prose that stand in the PDF, in order", True),
}


@dataclass
class Case:
    """Papers that are timed together.

    Attributes:
        name: What the table calls it.
        papers: (main file, folder that it may read).
        pdf: The printed paper, if there is one.
    """

    name: str
    papers: list[tuple[Path, Path]]
    pdf: Path | None = None
    cpu: dict[str, list[float]] = field(default_factory=dict)
    wall: dict[str, list[float]] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def _unpacked(archive: Path, scratch: Path) -> Path:
    folder = scratch / archive.parent.name
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


def _papers_in(folder: Path, scratch: Path) -> list[Case]:
    """The papers of a folder: archives first, then main files, one a subfolder."""
    archives = sorted(folder.rglob("*.tar.gz"))
    cases: list[Case] = []
    taken: list[Path] = []
    for archive in archives:
        main = find_main(root := _unpacked(archive, scratch))
        if main is not None:
            pdfs = sorted(archive.parent.glob("*.pdf"))
            cases.append(Case(archive.parent.name, [(main, root)], pdfs[0] if len(pdfs) == 1 else None))
            taken.append(archive.parent)
    candidates = sorted({path.parent for path in folder.rglob("*.tex")}, key=lambda path: (len(path.parts), path))
    for candidate in candidates:
        if any(candidate.is_relative_to(parent) for parent in taken):
            continue
        main = find_main(candidate)
        if main is not None:
            pdf = main.with_suffix(".pdf")
            cases.append(
                Case(str(candidate.relative_to(folder.parent)), [(main, candidate)], pdf if pdf.is_file() else None)
            )
            taken.append(candidate)
    return cases


def _default_cases(scratch: Path) -> list[Case]:
    root = HERE.parent
    samples = [case.papers[0] for case in _papers_in(root / "examples" / "astronomy", scratch)]
    cases = [Case("sample corpus", samples)]
    shared = root.parent / "shared" / "data"
    for name in ("arxiv-papers", "latex-books"):
        if (shared / name).is_dir():
            cases += _papers_in(shared / name, scratch)
    return cases


def _run(reader: str, python: Path, papers: list[tuple[Path, Path]], warm_up: Path | None) -> dict[str, Any]:
    job = {
        "reader": reader,
        "warm_up": str(warm_up) if warm_up else "",
        "papers": [(str(main.resolve()), str(root.resolve())) for main, root in papers],
    }
    done = subprocess.run(
        [str(python), str(HERE / "latex_worker.py")], input=json.dumps(job), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{reader} did not run: {done.stderr.strip()[-500:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _measure(cases: list[Case], repeats: int, scratch: Path) -> dict[str, dict[str, Any]]:
    """Times and texts of every reader on every case; readers take turns within a repetition."""
    peers = environment("latex", PEERS)
    warm_up = scratch / "warm-up" / "main.tex"
    warm_up.parent.mkdir()
    warm_up.write_text("\\documentclass{article}\\begin{document}Warm $x$.\\end{document}\n", encoding="utf-8")
    about: dict[str, dict[str, Any]] = {}
    for _ in range(repeats):
        for case in cases:
            for reader in READERS:
                if reader in case.errors:
                    continue
                result = _run(reader, Path(sys.executable) if reader == "sagecraft" else peers, case.papers, warm_up)
                start = result["start_cpu"], result["start_wall"]
                about.setdefault(reader, {"version": result["version"], "starts": []})["starts"].append(start[0])
                errors = [row["error"] for row in result["rows"] if "error" in row]
                if errors:
                    case.errors[reader] = errors[0]
                own_process = 0 if reader in ("sagecraft", "pylatexenc") else 1
                ok = [row for row in result["rows"] if "text" in row]
                case.texts[reader] = [row.get("text", "") for row in result["rows"]]
                if not errors:
                    case.cpu.setdefault(reader, []).append(
                        sum(max(row["cpu"] - own_process * start[0], 1e-4) for row in ok)
                    )
                    case.wall.setdefault(reader, []).append(sum(row["wall"] for row in ok))
    return {
        reader: {"version": row["version"], "start_seconds": round(statistics.median(row["starts"]), 4)}
        for reader, row in about.items()
    }


def _fidelity(cases: list[Case]) -> dict[str, dict[str, dict[str, int]]]:
    """For every case and reader, the counts summed over its papers."""
    out: dict[str, dict[str, dict[str, int]]] = {}
    for case in cases:
        sources = [latex_source.load(main, root) for main, root in case.papers]
        pdf = None
        if case.pdf is not None:
            pages = _run("pdf", environment("latex", PEERS), [(case.pdf, case.pdf.parent)], None)["rows"][0]
            pdf = latex_score.pdf_prose(pages.get("text", ""), sources[0])
        for reader in READERS:
            sums: dict[str, dict[str, int]] = {}
            for source, text in zip(sources, case.texts[reader], strict=True):
                for name, count in latex_score.score(source, text, reader != "pylatexenc", pdf).items():
                    total = sums.setdefault(name, {"kept": 0, "total": 0})
                    total["kept"] += count.kept
                    total["total"] += count.total
            out.setdefault(case.name, {})[reader] = sums
    if len(out) > 1:
        out[ALL] = {reader: _summed([readers[reader] for readers in out.values()]) for reader in READERS}
    return out


def _summed(cases: list[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    """Counts over all cases; what a reader failed on it did not keep."""
    total: dict[str, dict[str, int]] = {}
    for counts in cases:
        for name, count in counts.items():
            sums = total.setdefault(name, {"kept": 0, "total": 0})
            sums["kept"] += count["kept"]
            sums["total"] += count["total"]
    return total


def _speed(cases: list[Case]) -> tuple[list[dict[str, Any]], float | None]:
    rows: list[dict[str, Any]] = []
    ratios: list[float] = []
    for case in cases:
        rates = {reader: len(case.papers) / statistics.median(times) for reader, times in case.cpu.items() if times}
        peers = {reader: rate for reader, rate in rates.items() if reader != "sagecraft"}
        ratio = rates["sagecraft"] / max(peers.values()) if peers and "sagecraft" in rates else None
        ratios += [ratio] if ratio is not None else []
        rows.append(
            {
                "case": case.name,
                "papers": len(case.papers),
                "papers_per_cpu_second": {reader: round(rate, 3) for reader, rate in rates.items()},
                "wall_seconds": {reader: round(statistics.median(times), 4) for reader, times in case.wall.items()},
                "ratio": round(ratio, 3) if ratio is not None else None,
                "errors": case.errors,
            }
        )
    return rows, min(ratios) if ratios else None


def _print(
    speed: list[dict[str, Any]], fidelity: dict[str, dict[str, dict[str, dict[str, int]]]], ratio: float | None
) -> None:
    print("\npapers per CPU second (median)\n")
    print(f"{'case':34}" + "".join(f"{reader:>17}" for reader in READERS) + f"{'ratio':>9}")
    for row in speed:
        rates = row["papers_per_cpu_second"]
        cells = "".join(f"{rates[reader]:17.2f}" if reader in rates else f"{'fails':>17}" for reader in READERS)
        print(f"{row['case']:34}{cells}" + (f"{row['ratio']:9.2f}" if row["ratio"] else f"{'-':>9}"))
    failed = {row["case"]: row["errors"] for row in speed}
    print("\nfidelity\n")
    print(f"{'count':52}{'case':34}" + "".join(f"{reader:>17}" for reader in READERS))
    for name, (words, _more) in COUNTS.items():
        for case, readers in fidelity.items():
            counts = {reader: sums.get(name, {"kept": 0, "total": 0}) for reader, sums in readers.items()}
            if not any(count["total"] for count in counts.values()):
                continue
            cells = ""
            for reader in READERS:
                count = counts[reader]
                shown = f"{count['kept'] / count['total']:.2%}" if count["total"] else "-"
                if reader in failed.get(
                    case, {}
                ):  # on one paper of the case at least; what came out of the others is counted
                    shown = (
                        "fails"
                        if not count["kept"] or name in ("left_over_commands", "macros_expanded")
                        else f"({shown})"
                    )
                cells += f"{shown:>17}"
            print(f"{words:52}{case:34}{cells}")
    print(
        f"\nratio (sagecraft over the best peer, worst case): {ratio:.2f}"
        if ratio is not None
        else "\nno case ran on both sides"
    )


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description="LaTeX to text: sagecraft beside pandoc and pylatexenc")
    parser.add_argument("folders", nargs="*", type=Path, help="folders of LaTeX papers")
    parser.add_argument("--json", type=Path, help="where the figures are written")
    parser.add_argument("--repeats", type=int, default=5, help="interleaved repetitions")
    parser.add_argument("--keep", type=Path, help="a folder for the outputs of all readers")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # children inherit it
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        cases = [case for folder in arguments.folders for case in _papers_in(folder, scratch)] or _default_cases(
            scratch
        )
        about = _measure(cases, arguments.repeats, scratch)
        speed, ratio = _speed(cases)
        fidelity = _fidelity(cases)
    if arguments.keep is not None:
        for case in cases:
            for reader, texts in case.texts.items():
                folder = arguments.keep / case.name.replace("/", "_")
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{reader}.md").write_text("\n\n\n".join(texts), encoding="utf-8")
    _print(speed, fidelity, ratio)
    if arguments.json is not None:
        result = {"benchmark": "latex", "ratio": round(ratio, 3) if ratio is not None else None, "repeats": arguments.repeats,
                  "readers": about, "speed": speed, "fidelity": fidelity}  # fmt: skip
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
