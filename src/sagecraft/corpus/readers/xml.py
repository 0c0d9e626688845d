"""XML of strangers: no entities, no network, no huge trees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sagecraft.corpus.readers.files import read_bytes
from sagecraft.corpus.readers.result import ReaderError


def parse_xml(path: Path) -> Any:
    """The root element of a file.

    Raises:
        ReaderError: not well-formed, or it declares entities (which can read files and fill the memory).
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
        root = etree.fromstring(read_bytes(path), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ReaderError("bad-xml", " ".join(str(error).split())[:200]) from error
    dtd = root.getroottree().docinfo.internalDTD
    if dtd is not None and any(True for _ in dtd.iterentities()):
        raise ReaderError("xml-entities", "the document declares entities, which are not expanded")
    return root
