"""XML of strangers: no entities, no network, no huge trees."""

from __future__ import annotations

import html.entities
import re
from pathlib import Path
from typing import Any

from sagecraft.corpus.readers.files import read_bytes
from sagecraft.corpus.readers.result import ReaderError

#: Named characters, without the five that XML knows itself.
_NAMED_ENTITY = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos);)([A-Za-z][A-Za-z0-9]{1,31});")


def parse_xml(path: Path) -> Any:
    """The root element of a file.

    Raises:
        ReaderError: not well-formed, or it declares entities (which can read files and fill the memory).
    """
    return parse_xml_bytes(read_bytes(path))


def _character(found: re.Match[bytes]) -> bytes:
    """A named character of HTML (`&nbsp;`, `&alpha;`) by its number; DTDs, which would say so, are not loaded."""
    characters = html.entities.html5.get(found.group(1).decode("ascii") + ";")
    return "".join(f"&#{ord(char)};" for char in characters).encode("ascii") if characters else found.group()


def parse_xml_bytes(data: bytes) -> Any:
    """The root element of a document.

    Raises:
        ReaderError: not well-formed, or it declares entities.
    """
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(_NAMED_ENTITY.sub(_character, data) if b"&" in data else data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ReaderError("bad-xml", " ".join(str(error).split())[:200]) from error
    dtd = root.getroottree().docinfo.internalDTD
    if dtd is not None and any(True for _ in dtd.iterentities()):
        raise ReaderError("xml-entities", "the document declares entities, which are not expanded")
    return root
