"""One reader over a list of papers, in a process of its own; `latex.py` starts it and takes the times and texts it prints.

Runs under the interpreter that has the reader, so it imports nothing else. Input: JSON on standard input; output: JSON.
"""

from __future__ import annotations

import importlib.metadata
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

#: (main file, its folder) → (text, CPU seconds, wall seconds)
Reading = tuple[str, float, float]


def sagecraft(main: Path, root: Path) -> Reading:
    """This project's reader, in this process."""
    from sagecraft.corpus.readers.latex import read_latex

    return _timed(lambda: read_latex(main, root).text)


def pylatexenc(main: Path, root: Path) -> Reading:
    """Pylatexenc's `latex2text` with formulas kept, in this process."""
    from pylatexenc.latex2text import LatexNodes2Text

    def read() -> str:
        converter = LatexNodes2Text(math_mode="verbatim", keep_comments=False)
        converter.set_tex_input_directory(str(root))
        data = main.read_bytes()
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode("cp1252", errors="replace")
        return str(converter.latex_to_text(text, tolerant_parsing=True))

    return _timed(read)


def pandoc(main: Path, root: Path, *, citeproc: bool = False) -> Reading:
    """Pandoc to Markdown with pipe tables, in a child process as it is used; its time is the child's."""
    import pypandoc

    target = "markdown-simple_tables-multiline_tables-grid_tables+pipe_tables"
    command = [pypandoc.get_pandoc_path(), "-f", "latex", "-t", target, "--wrap=none", str(main.relative_to(root))]
    if citeproc:
        command += ["--citeproc", *(f"--bibliography={path.relative_to(root)}" for path in sorted(root.rglob("*.bib")))]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(command, cwd=root, capture_output=True, timeout=300, check=False)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(" ".join(done.stderr.decode("utf-8", "replace").split())[:200])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout.decode("utf-8", "replace"), cpu, wall


def pdf(main: Path, _root: Path) -> Reading:
    """Text of a PDF, pages apart by form feeds: what the fidelity counts compare with."""
    import pypdfium2

    document = pypdfium2.PdfDocument(main)
    return _timed(lambda: "\f".join(page.get_textpage().get_text_range() for page in document))


def _timed(read: Callable[[], str]) -> Reading:
    wall, cpu = time.perf_counter(), time.process_time()
    text = read()
    return text, time.process_time() - cpu, time.perf_counter() - wall


READERS: dict[str, tuple[str, Callable[[Path, Path], Reading]]] = {
    "sagecraft": ("sagecraft", sagecraft),
    "pandoc": ("pypandoc_binary", pandoc),
    "pandoc-citeproc": ("pypandoc_binary", lambda main, root: pandoc(main, root, citeproc=True)),
    "pylatexenc": ("pylatexenc", pylatexenc),
    "pdf": ("pypdfium2", pdf),
}


def main() -> None:
    """Reads every paper once (after one that is not timed, for imports and tables) and prints what came out."""
    job = json.load(sys.stdin)
    package, reader = READERS[job["reader"]]
    cpu = wall = 0.0
    if job["warm_up"]:
        warm = Path(job["warm_up"])
        for _ in range(2):
            _text, cpu, wall = reader(warm, warm.parent)
    rows: list[dict[str, object]] = []
    for main_file, root in job["papers"]:
        row: dict[str, object] = {"main": main_file}
        try:
            text, seconds, elapsed = reader(Path(main_file), Path(root))
            row |= {"text": text, "cpu": seconds, "wall": elapsed}
        except Exception as error:  # a peer may fail in any way; the row says how
            row["error"] = f"{type(error).__name__}: {error}"[:200]
        rows.append(row)
    version = importlib.metadata.version(package)
    json.dump({"rows": rows, "version": version, "start_cpu": cpu, "start_wall": wall}, sys.stdout)


if __name__ == "__main__":
    main()
