"""CNXML, the XML of OpenStax textbooks: one module is one document.

Figures, tables, examples and numbered equations are counted in the order of the module, so that a reference to one
reads "Figure 2"; a reference to another module reads as that module's title. Exercises keep their solutions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from sagecraft.corpus.licenses import normalize_license
from sagecraft.corpus.readers.blocks import (
    BREAK,
    END_OF_PART,
    Blocks,
    code_block,
    collapse,
    escape_text,
    inline_math,
    list_block,
    marked,
    quote_block,
    raise_or_lower,
)
from sagecraft.corpus.readers.mathml import local_name, to_latex
from sagecraft.corpus.readers.result import ReaderError, ReadResult
from sagecraft.corpus.readers.tables import Cell, cals_cell, cals_columns, own_rows, spanned_table
from sagecraft.corpus.readers.xml import parse_xml

_NUMBERED = {"figure": "Figure", "table": "Table", "example": "Example", "exercise": "Exercise", "equation": "Equation"}
#: Parts that end without a sign of their own: what follows is parted from them by `END_OF_PART`.
_PARTS = ("exercise", "example")
#: Classes of notes without a title, as the books print them.
_NOTE_TITLES = {
    "check-understanding": "Check your understanding",
    "problem-solving": "Problem-solving strategy",
    "learning-objectives": "Learning objectives",
}
_LIST_STYLES = {"lower-alpha": "a", "upper-alpha": "A", "lower-roman": "i", "upper-roman": "I"}
_MODULE_NAME = re.compile(r"[A-Za-z0-9_\-]{1,80}")
_TITLE = re.compile(r"<title>([^<]{1,300})</title>")
_HEAD_BYTES = 4096


def read_cnxml(path: Path, root: Path) -> ReadResult:
    """Reads a module.

    Args:
        path: an `index.cnxml` or any other file of this format.
        root: references to other modules are not followed out of it.

    Raises:
        ReaderError: not XML, not a CNXML document, or without content.
    """
    tree = parse_xml(path)
    if local_name(tree) != "document":
        raise ReaderError("not-cnxml", f"root element is <{local_name(tree)}>")
    content = _child(tree, "content")
    if content is None:
        raise ReaderError("no-text", "no <content>")
    metadata = _child(tree, "metadata")
    title = collapse(_plain(_child(tree, "title"))) or _meta(metadata, "title")
    reader = _Module(tree, lambda name: _title_of(path, root.resolve(), name))
    if title:
        reader.out.heading(1, title)
    abstract = _child(metadata, "abstract")
    if abstract is not None:
        reader.blocks(abstract)
    reader.blocks(content)
    reader.glossary(_child(tree, "glossary"))
    text = reader.out.render()
    license_url = next((node.get("url") for node in _named(metadata, "license") if node.get("url")), None)
    return ReadResult(
        text=text,
        title=title or None,
        authors=[collapse(_plain(node)) for node in _named(metadata, "fullname")],
        license=license_url or _meta(metadata, "license"),
        identifier=_meta(metadata, "content-id"),
        counts={"math": reader.num_math, **{name: count for name, count in sorted(reader.counts.items()) if count}},
    )


def read_collection(path: Path) -> dict[str, dict[str, Any]]:
    """What a collection (a book) says of its modules: licence, book and chapter by module identifier.

    Raises:
        ReaderError: not XML.
    """
    tree = parse_xml(path)
    metadata = _child(tree, "metadata")
    book = _meta(metadata, "title")
    url = next((node.get("url") for node in _named(metadata, "license") if node.get("url")), None)
    stated = url or _meta(metadata, "license")
    modules: dict[str, dict[str, Any]] = {}

    def walk(element: Any, chapters: list[str]) -> None:
        for child in element:
            name = local_name(child)
            if name == "module" and child.get("document"):
                record = {"categories": [part for part in [book, *chapters] if part]}
                modules[child.get("document")] = {**record, "license": normalize_license(stated)} if stated else record
            elif name == "subcollection":
                walk(child, [*chapters, _meta(child, "title") or ""])
            elif name == "content":
                walk(child, chapters)

    walk(tree, [])
    return modules


def _child(element: Any, name: str) -> Any:
    return next((child for child in element if local_name(child) == name), None) if element is not None else None


def _named(element: Any, name: str) -> list[Any]:
    return [node for node in element.iter() if local_name(node) == name] if element is not None else []


def _plain(element: Any) -> str:
    return "" if element is None else "".join(element.itertext())


def _meta(element: Any, name: str) -> str | None:
    return collapse(_plain(_child(element, name))) or None


def _title_of(path: Path, root: Path, name: str) -> str:
    """Title of a sibling module, read from its first bytes; empty if there is none."""
    if not _MODULE_NAME.fullmatch(name):
        return ""
    return _head_title(path.parent.parent / name / path.name, root)


@lru_cache(maxsize=4096)
def _head_title(file: Path, root: Path) -> str:
    if not file.is_file() or not file.resolve().is_relative_to(root):
        return ""
    with file.open("rb") as handle:
        found = _TITLE.search(handle.read(_HEAD_BYTES).decode("utf-8", errors="replace"))
    return collapse(found.group(1)) if found else ""


class _Module:
    """Walks one module; `out` holds the Markdown so far."""

    def __init__(self, tree: Any, title_of: Callable[[str], str]) -> None:
        self.out = Blocks()
        self.num_math = 0
        self.counts: dict[str, int] = {}
        self._title_of = title_of
        self._labels: dict[str, str] = {}
        self._level = 2
        self._part_ended = False
        self._number(tree)
        self._handlers: dict[str, Callable[[Any], None]] = {
            "section": self._section,
            "para": self._para,
            "title": self._run_in_title,
            "list": self._list,
            "table": self._table,
            "figure": self._figure,
            "note": self._note,
            "example": self._example,
            "exercise": self._exercise,
            "solution": self._solution,
            "equation": self._equation,
            "quote": self._quote,
            "definition": self._definition,
            "code": self._code,
            "preformat": self._code,
            "media": self._media,
        }

    def _number(self, tree: Any) -> None:
        referenced = {node.get("target-id") for node in _named(tree, "link")}
        counters = dict.fromkeys(_NUMBERED, 0)
        for node in tree.iter():
            name, identifier = local_name(node), node.get("id") if isinstance(node.tag, str) else None
            if name == "section" and identifier:
                self._labels[identifier] = collapse(_plain(_child(node, "title"))) or "this section"
            if name not in _NUMBERED or (name == "equation" and identifier not in referenced):
                continue
            if name == "figure" and local_name(node.getparent()) == "figure":
                continue  # a part of a figure
            counters[name] += 1
            if identifier:
                self._labels[identifier] = f"{_NUMBERED[name]} {counters[name]}"

    # Blocks

    def blocks(self, element: Any) -> None:
        """The content of an element: text, inline and block children in their order."""
        self.out.add(escape_text(element.text or ""))
        for child in element:
            self._one(child)
            self.out.add(escape_text(child.tail or ""))
        self.out.close()

    def _one(self, child: Any) -> None:
        name = local_name(child)
        handler = self._handlers.get(name)
        inline_code = name == "code" and child.get("display") != "block"
        if handler is None or inline_code or (name in ("list", "quote") and child.get("display") == "inline"):
            self.out.add(self.inline_of(child))
            return
        self.counts[name] = self.counts.get(name, 0) + 1
        if self._part_ended and name not in (*_PARTS, "section"):
            self.out.block(END_OF_PART)
        self._part_ended = False
        handler(child)
        self._part_ended |= name in _PARTS

    def _nested(self, element: Any, skip: tuple[str, ...] = ()) -> str:
        """Markdown of an element's content, apart from the document."""
        outer, self.out = self.out, Blocks()
        self.out.add(escape_text(element.text or ""))
        for child in element:
            if local_name(child) not in skip:
                self._one(child)
            self.out.add(escape_text(child.tail or ""))
        text = self.out.render()
        self.out = outer
        return text

    def _section(self, element: Any) -> None:
        self.out.close()
        # Sections without a title are named by their class: `summary`, `key-concepts`.
        kind = (element.get("class") or "").split()[:1]
        title = collapse(self.inline(_child(element, "title"))) or " ".join(kind).replace("-", " ").capitalize()
        self.out.heading(self._level, title)
        self._level += 1
        self.out.block(self._nested(element, skip=("title", "label")))
        self._level -= 1

    def _para(self, element: Any) -> None:
        self.out.close()
        title = collapse(self.inline(_child(element, "title")))
        if title:
            self.out.add(f"**{title.rstrip('.')}.** ")
        self.out.add(escape_text(element.text or ""))
        for child in element:
            if local_name(child) != "title":
                self._one(child)
            self.out.add(escape_text(child.tail or ""))
        self.out.close()

    def _run_in_title(self, element: Any) -> None:
        self.out.block(f"**{collapse(self.inline(element))}**")

    def _list(self, element: Any) -> None:
        items = [self._nested(item, skip=("label",)) for item in element if local_name(item) == "item"]
        title = collapse(self.inline(_child(element, "title")))
        if title:
            self.out.block(f"**{title}**")
        start = element.get("start-value") or "1"
        first = int(start) if re.fullmatch(r"\d{1,6}", start) else 1
        style = _LIST_STYLES.get(element.get("number-style") or "", "1")
        self.out.block(list_block(items, element.get("list-type") == "enumerated", first, style))

    def _table(self, element: Any) -> None:
        rows: list[list[Cell]] = []
        num_header_rows = 0
        for row in own_rows(element):
            columns = cals_columns(row)
            entries = [node for node in row if local_name(node) == "entry"]
            cells = [cals_cell(entry, self._nested(entry), columns) for entry in entries]
            if len(cells) == 1 and local_name(row.getparent()) == "thead" and not rows and cells[0].text:
                self.out.block(f"**{self._label(element)}{' '.join(cells[0].text.split())}**")
                continue
            num_header_rows += local_name(row.getparent()) == "thead"
            rows.append(cells)
        caption = self._caption(element)
        if caption:
            self.out.block(f"{self._label(element)}{caption}")
        self.out.block(spanned_table(rows, num_header_rows))

    def _label(self, element: Any) -> str:
        label = self._labels.get(element.get("id") or "")
        return f"{label}. " if label else ""

    def _caption(self, element: Any) -> str:
        title = collapse(self.inline(_child(element, "title")))
        caption = collapse(self.inline(_child(element, "caption")))
        if title and title[-1] not in ".!?":
            title += "."
        return f"{title} {caption}".strip()

    def _figure(self, element: Any) -> None:
        caption = self._caption(element)
        shown = " ".join(filter(None, (collapse(media.get("alt") or "") for media in _named(element, "media"))))
        shown = escape_text(shown.replace("\n", " "))
        if shown and shown not in caption:
            caption = f"{caption} ({shown.rstrip('.')})" if caption else shown
        if caption:
            self.out.block(f"{self._label(element)}{caption}")

    def _media(self, element: Any) -> None:
        # A picture outside a figure has no caption: what it shows stands in its description.
        self.out.add(f" ({alt}) " if (alt := escape_text(collapse(element.get("alt") or ""))) else "")

    def _note(self, element: Any) -> None:
        title = collapse(self.inline(_child(element, "title"))) or collapse(self.inline(_child(element, "label")))
        title = title or _NOTE_TITLES.get((element.get("class") or "").split(" ")[0], "")
        self.out.block(f"**{title}**" if title else "")
        self.out.block(self._nested(element, skip=("title", "label")))

    def _example(self, element: Any) -> None:
        title = collapse(self.inline(_child(element, "title")))
        head = f"{self._label(element)}{title}".strip()
        body = self._nested(element, skip=("title", "label"))
        if head and not title and body.startswith("**"):
            self.out.block(f"**{head} {body[2:]}")  # the title of its first paragraph is that of the example
            return
        self.out.block(f"**{head}**" if head else "")
        self.out.block(body)

    def _exercise(self, element: Any) -> None:
        problem = "\n\n".join(self._nested(node) for node in element if local_name(node) == "problem")
        self.out.block(f"**{self._labels.get(element.get('id') or '', 'Exercise')}.** {problem}")
        for node in element:
            if local_name(node) in ("solution", "commentary"):
                self.counts["solution"] = self.counts.get("solution", 0) + 1
                self._solution(node)

    def _solution(self, element: Any) -> None:
        self.out.block(f"**Solution.** {self._nested(element, skip=('title', 'label'))}")

    def _equation(self, element: Any) -> None:
        self.out.close()
        formulas = [to_latex(math) for math in _named(element, "math")]
        self.num_math += len(formulas)
        label = self._labels.get(element.get("id") or "", "")
        latex = r" \quad ".join(filter(None, formulas))
        if latex:
            self.out.display(latex + (rf" \tag{{{label.split()[-1]}}}" if label else ""))
        else:
            self.out.block(collapse(self.inline(element)))

    def _quote(self, element: Any) -> None:
        self.out.block(quote_block(self._nested(element)))

    def _code(self, element: Any) -> None:
        self.out.block(code_block(_plain(element)))

    def glossary(self, element: Any) -> None:
        """The terms of the module and what they mean."""
        if element is None or _child(element, "definition") is None:
            return
        self.out.heading(2, "Glossary")
        for definition in element:
            if local_name(definition) == "definition":
                self._definition(definition)

    def _definition(self, element: Any) -> None:
        term = collapse(self.inline(_child(element, "term"))).strip("*")
        meanings = [self._nested(node) for node in element if local_name(node) == "meaning"]
        if term and any(meanings):
            self.out.block(f"**{term}**: " + " ".join(filter(None, meanings)))

    # Inline

    def inline(self, element: Any) -> str:
        """Inline Markdown of an element's content, spaces as they stand; empty for None."""
        if element is None:
            return ""
        pieces = [escape_text(element.text or "")]
        for child in element:
            pieces += [self.inline_of(child), escape_text(child.tail or "")]
        return "".join(pieces)

    def inline_of(self, element: Any) -> str:
        """Inline Markdown of one element."""
        name = local_name(element)
        if name == "math":
            self.num_math += 1
            return inline_math(to_latex(element))
        if name == "newline":
            return BREAK
        if name in ("sup", "sub"):
            return raise_or_lower(self.inline(element), name == "sup")
        if name == "link":
            return self._link(element)
        if name == "footnote":
            return f" ({collapse(self.inline(element)).rstrip('.')})"
        if name in ("term", "emphasis"):
            effect = element.get("effect", "bold" if name == "term" else "italics")
            mark = {"bold": "**", "italics": "*"}.get(effect, "")
            return marked(self.inline(element), mark)
        if name in ("image", "iframe", "object", "label", "space", ""):
            return ""
        if name == "media":
            return f" ({alt}) " if (alt := escape_text(collapse(element.get("alt") or ""))) else ""
        return self.inline(element)

    def _link(self, element: Any) -> str:
        text = self.inline(element)
        if collapse(text):
            return text
        target, module = element.get("target-id"), element.get("document")
        if module:
            return escape_text(self._title_of(module)) or "another section"
        if target:
            return self._labels.get(target, "this section")
        return escape_text(element.get("url") or "")
