r"""LaTeX documents: finds the main file of a folder and reads it to Markdown with its mathematics.

The parts, in the order a document passes them: `latex_tokens` (scanner), `latex_macros` and `latex_primitives` (expansion),
`latex_text` with `latex_commands` and `latex_environments` (the page), `latex_math`, `latex_tables`, `latex_refs` (numbers),
`latex_cite` and `latex_bib` (citations). Names that belong to packages and fields are in YAML files beside them.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path

from sagecraft.corpus.readers.latex_commands import OVERRIDABLE, end_muted
from sagecraft.corpus.readers.latex_data import load_data
from sagecraft.corpus.readers.latex_environments import HANDLERS
from sagecraft.corpus.readers.latex_formula import DISPLAY
from sagecraft.corpus.readers.latex_macros import Gullet, read_source
from sagecraft.corpus.readers.latex_primitives import PRIMITIVES
from sagecraft.corpus.readers.latex_text import Typesetter, joined
from sagecraft.corpus.readers.result import ReaderError, ReadResult

_YEAR = re.compile(r"(?<!\d)((?:19|20)\d\d)(?!\d)")
_ARXIV = re.compile(r"(?<!\d)(\d{4}\.\d{4,5})(v\d+)?(?!\d)")
_DOI = re.compile(r"\b10\.\d{4,9}/[^\s{}|]+")
_MAX_CANDIDATES = 500
_LEFT_OVER = re.compile(r"\\[A-Za-z]{2,}")


@lru_cache(maxsize=1)
def _protected() -> frozenset[str]:
    """Names whose meaning a document cannot change here: commands and environments that carry its structure."""
    names = (set(HANDLERS) | set(PRIMITIVES)) - OVERRIDABLE - {f"\\{name}" for name in DISPLAY}
    environments = {"document", *DISPLAY, *(f"{name}*" for name in DISPLAY)}
    return frozenset(names | environments | set(load_data().environments))


def read_latex(main: Path, root: Path) -> ReadResult:
    r"""Reads a LaTeX document.

    Args:
        main: The main file.
        root: The folder that the document may read; `\input` and the like never leave it.

    Raises:
        ReaderError: When there is nothing to read, a limit is passed, or a macro calls itself for ever.
    """
    text = read_source(main)
    gullet = Gullet(load_data(), root, _protected())
    setter = Typesetter(gullet, main, HANDLERS)
    gullet.start(text, main)
    setter.in_body = "\\begin{document}" not in text and "\\documentclass" not in text
    try:
        setter.run_all()
        end_muted(setter)
        setter.leave(0)
        while setter.frames:
            setter.close_frame(setter.frames.pop())
        _class_traits(setter)
        body = _assemble(setter)
    except RecursionError as error:
        raise ReaderError("nesting", "groups or macros are nested too deeply") from error
    if not body.strip():
        raise ReaderError("no-text", f"{main.name} has no text")
    return _result(setter, body)


def _class_traits(setter: Typesetter) -> None:
    """What the document class and natbib say about `\\cite`."""
    packages = setter.gullet.packages
    natbib = packages.get("natbib")
    setter.citations.author_year = natbib is not None and not re.search(r"\b(?:numbers|super)\b", natbib)
    for name in packages:
        if name.startswith("class:") and "author_year" in setter.class_traits(name[6:]):
            setter.citations.author_year = True


def _assemble(setter: Typesetter) -> str:
    """Title, abstract and body as one Markdown text."""
    meta = setter.meta
    parts = [
        f"# {meta.title}" if meta.title else "",
        f"## Abstract\n\n{meta.abstract}" if meta.abstract else "",
        f"Keywords: {meta.keywords}" if meta.keywords else "",
        joined(setter.out),
    ]
    text = "\n\n".join(part for part in parts if part)
    # Lines are cleaned before the marks are filled in: code blocks keep their own white space.
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    text = re.sub(r"\n{3,}", "\n\n", text).strip("\n")
    return setter.late.resolve(text) + "\n"


def _result(setter: Typesetter, body: str) -> ReadResult:
    meta = setter.meta
    setter.citations.references(setter.main)
    counts = {name: setter.counts[name] for name in sorted(setter.counts)}
    for name in ("equations_display", "equations_inline", "citations", "citations_resolved", "kept_verbatim"):
        counts.setdefault(name, 0)
    year = _YEAR.search(meta.date)
    doi = _DOI.search(meta.doi)
    arxiv = _ARXIV.search(setter.main.resolve().parent.name) if not doi else None
    authors = list(dict.fromkeys(meta.authors))
    return ReadResult(
        text=body,
        title=setter.late.resolve(meta.title).replace("*", "") or None,
        authors=authors,
        year=int(year[1]) if year else None,
        identifier=doi[0].rstrip(".,") if doi else (arxiv[1] if arxiv else None),
        counts=counts,
    )


def find_main(folder: Path) -> Path | None:
    """The file of a folder that LaTeX would be run on; None when there is none.

    A `00README` (arXiv's own) decides; else the name and the size do among the files that begin a document.
    """
    folder = folder.resolve()
    stated = _from_readme(folder)
    if stated is not None:
        return stated
    candidates: list[tuple[float, int, str, Path]] = []
    paths = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in (".tex", ".ltx", ".latex", ""))
    for count, path in enumerate(paths):
        if count >= _MAX_CANDIDATES:
            break
        score = _score(path, folder)
        if score > 0:
            candidates.append((-score, -path.stat().st_size, path.as_posix(), path))
    return min(candidates)[3] if candidates else None


def _from_readme(folder: Path) -> Path | None:
    for name in ("00README.json", "00README.XXX", "00README.yaml", "00README.txt", "00README"):
        path = folder / name
        if not path.is_file() or path.is_symlink() or path.stat().st_size > 1_000_000:
            continue
        text = read_source(path)
        names: list[str] = []
        if name.endswith(".json"):
            try:
                sources = json.loads(text).get("sources", [])
                names = [str(s.get("filename")) for s in sources if s.get("usage") == "toplevel"]
            except (ValueError, AttributeError, TypeError, RecursionError):
                names = []
        else:
            names = re.findall(r"^\s*(\S+\.(?:tex|ltx))\s+toplevelfile", text, re.MULTILINE)
        for stated in names:
            found = (folder / stated).resolve()
            if found.is_relative_to(folder) and found.is_file():
                return found
    return None


#: How a document in plain TeX ends, or what only its main file sets.
_PLAIN = re.compile(r"\\bye(?![A-Za-z])|\\magnification|^\\end\s*\Z", re.MULTILINE)
_GOOD_NAMES = ("main", "ms", "paper", "article", "manuscript", "thesis", "book")
_BAD_NAMES = (
    "supp",
    "appendix",
    "response",
    "referee",
    "cover",
    "letter",
    "template",
    "sample",
    "example",
    "reply",
    "diff",
    "old",
)


def _score(path: Path, folder: Path) -> float:
    """How much a file looks like the main one; 0 when it begins no document."""
    try:
        resolved = path.resolve()
        if not resolved.is_relative_to(folder) or not resolved.is_file():
            return 0
        text = read_source(resolved)
    except (ReaderError, OSError, RuntimeError):
        return 0
    lines = [line for line in text.split("\n") if not line.lstrip().startswith("%")]
    text = "\n".join(lines)
    has_class = "\\documentclass" in text or "\\documentstyle" in text
    has_begin = "\\begin{document}" in text
    if not has_begin and not has_class:
        return 0.01 if _PLAIN.search(text) else 0
    score = (10.0 if has_class and has_begin else 1.0) - 2 * (len(path.relative_to(folder).parts) - 1)
    stem = path.stem.lower()
    score += 4 if stem in _GOOD_NAMES else 0
    score -= 4 if any(stem.startswith(bad) or stem.endswith(bad) for bad in _BAD_NAMES) else 0
    score -= 5 if re.search(r"\\documentclass\s*(?:\[[^\]]{0,300}\])?\s*\{(?:subfiles|standalone)\}", text) else 0
    score += 2 if path.with_suffix(".bbl").is_file() else 0
    score += 1 if "\\title" in text else 0
    return max(score, 0.1)


def left_over(text: str) -> tuple[int, int]:
    """Left-over commands outside mathematics and code, and words: what the reader's quality is measured by."""
    num_commands = num_words = 0
    in_code = False
    for line in re.sub(r"\$\$.*?\$\$", " ", text, flags=re.DOTALL).split("\n"):
        if line.startswith(("```", "~~~~")):
            in_code = not in_code
        elif not in_code:
            plain = re.sub(r"(?<!\\)\$[^$]*\$|`[^`]*`", " ", line)
            num_commands += len(_LEFT_OVER.findall(plain))
            num_words += len(plain.split())
    return num_commands, num_words
