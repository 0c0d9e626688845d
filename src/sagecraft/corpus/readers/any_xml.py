"""Files called `.xml`: which of the formats they are, told by their root element and not by their name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sagecraft.corpus.readers.cnxml import read_cnxml
from sagecraft.corpus.readers.found import Found, single
from sagecraft.corpus.readers.html import read_html
from sagecraft.corpus.readers.jats import read_jats
from sagecraft.corpus.readers.mathml import local_name
from sagecraft.corpus.readers.result import ReaderError, ReadResult

#: Root element → (name of the format, reader). OAI-PMH and PubMed Central wrap articles.
_ROOTS: dict[str, tuple[str, Callable[[Path, Path], ReadResult]]] = {
    "article": ("jats", read_jats),
    "pmc-articleset": ("jats", read_jats),
    "oai-pmh": ("jats", read_jats),
    "document": ("cnxml", read_cnxml),
    "html": ("html", read_html),
}
#: Prolog, comments and the declaration of the type stand before the root; more than this is no text.
_HEAD_BYTES = 1 << 18


def read_xml(path: Path, root: Path) -> Iterator[Found | ReaderError]:
    """Reads a file by its root element; other XML is refused with the name of that element."""
    try:
        name = _root_name(path)
    except (ReaderError, OSError) as error:
        yield error if isinstance(error, ReaderError) else ReaderError("unreadable", error.strerror or str(error))
        return
    if name not in _ROOTS:
        known = ", ".join(f"<{known}>" for known in ("article", "document", "html"))
        yield ReaderError("unknown-xml", f"root element is <{name[:80]}>; what is read are {known}")
        return
    kind, read = _ROOTS[name]
    for found in single(read)(path, root):
        yield found if isinstance(found, ReaderError) else replace(found, format=kind)


def _root_name(path: Path) -> str:
    from lxml import etree

    parser: Any = etree.XMLPullParser(events=("start",), resolve_entities=False, no_network=True, load_dtd=False)
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head.strip():
        raise ReaderError("empty", "the file holds nothing")
    try:
        parser.feed(head)
        for _, element in parser.read_events():
            return local_name(element)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ReaderError("bad-xml", " ".join(str(error).split())[:200]) from error
    raise ReaderError("bad-xml", "no root element in its first bytes")
