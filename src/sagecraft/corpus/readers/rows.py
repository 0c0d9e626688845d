"""Rows of a data set (JSON lines, Parquet) as documents: which column is the text, the title, the licence.

Columns are known by name. Case and separators do not matter: `Full Text`, `full_text` and `fullText` are one name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from sagecraft.corpus.readers.blocks import dollar_math
from sagecraft.corpus.readers.found import Found
from sagecraft.corpus.readers.result import ReaderError, ReadResult

#: From strong to weak: a row with a body and an abstract is read for its body.
TEXT_KEYS = ("text", "fulltext", "markdown", "content", "body", "bodytext", "articletext", "article", "document",
             "abstract", "summary")  # fmt: skip
_TITLE_KEYS = ("title", "headline")
_ID_KEYS = ("id", "identifier", "arxivid", "doi", "paperid", "pmcid", "pmid", "corpusid", "uuid")
_AUTHOR_KEYS = ("authorsparsed", "authors", "author", "creators", "creator")
_CATEGORY_KEYS = (
    "categories",
    "category",
    "subjects",
    "subject",
    "keywords",
    "tags",
    "fieldsofstudy",
    "primarycategory",
)
_YEAR_KEYS = ("year", "publicationyear", "pubyear", "date", "published", "publicationdate", "publisheddate",
              "datepublished", "pubdate", "created", "createddate")  # fmt: skip
_LICENSE_KEYS = ("license", "licence", "licenseurl", "rights")
_ARXIV_NEW = re.compile(r"(?:arxiv:)?(\d\d)(?:0[1-9]|1[0-2])\.\d{4,5}(?:v\d+)?", re.IGNORECASE)
_ARXIV_OLD = re.compile(r"(?:arxiv:)?[a-z\-]+(?:\.[A-Z]{2})?/(\d\d)(?:0[1-9]|1[0-2])\d{3}(?:v\d+)?", re.IGNORECASE)
#: A value whose JSON is longer (an embedding, a second copy of the text) is not carried along.
_MAX_EXTRA_CHARS = 4000


def plain_name(key: str) -> str:
    """A column's name without case and separators."""
    return re.sub(r"[\W_]+", "", key).lower()


def document_of(row: Mapping[str, Any], number: int, where: str) -> Found | ReaderError:
    """One row as a document, or why it is none.

    Args:
        row: column → value, as the file has it.
        number: position in the file, from 1.
        where: what the position counts, `line` or `row`.
    """
    left = {str(key): value for key, value in row.items() if value is not None}
    names: dict[str, str] = {}
    for key in left:
        names.setdefault(plain_name(key), key)

    def take(keys: tuple[str, ...]) -> Any:
        """Takes the first of these columns that is there and not empty out of the row."""
        for key in keys:
            if key in names and left.get(names[key]) not in (None, "", [], {}):
                return left.pop(names[key])
        return None

    try:
        text = joined(take(TEXT_KEYS))
    except RecursionError:
        text = ""
    if not text.strip():
        return ReaderError(
            "no-text", f"{where} {number}: none of {', '.join(TEXT_KEYS)} holds text; it has {listed(row)}"
        )
    withheld = left.pop(names.get("withheld", ""), None)
    if not isinstance(withheld, bool | None):
        return ReaderError("bad-value", f"{where} {number}: withheld is {withheld!r:.40}, neither true, false nor null")
    identifier = take(_ID_KEYS)
    identifier = str(identifier).strip() or None if isinstance(identifier, str | int) else None
    title, license_name = take(_TITLE_KEYS), take(_LICENSE_KEYS)
    license_name = license_name[0] if isinstance(license_name, list) else license_name
    result = ReadResult(
        # Abstracts are written for pages that render both forms of mathematics.
        text=dollar_math(text),
        title=" ".join(title.split()) if isinstance(title, str) else None,
        authors=names_of(take(_AUTHOR_KEYS)),
        year=year_of(take(_YEAR_KEYS)) or arxiv_year(identifier),
        categories=list_of(take(_CATEGORY_KEYS)),
        license=license_name.strip() or None if isinstance(license_name, str) else None,
        identifier=identifier,
    )
    return Found(result, row=number, withheld=withheld, extra=_small(left))


def joined(value: object) -> str:
    """Text of a value: a string, or a list of paragraphs or of sections with headings."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n\n".join(filter(None, (joined(part) for part in value)))
    if isinstance(value, dict):
        keys = {plain_name(str(key)): key for key in value}
        heading = next((value[keys[key]] for key in ("heading", "section", "title") if key in keys), None)
        body = next((joined(value[keys[key]]) for key in (*TEXT_KEYS, "paragraphs", "sections") if key in keys), "")
        return f"## {heading.strip()}\n\n{body}" if isinstance(heading, str) and heading.strip() and body else body
    return ""


def listed(names: Iterable[str]) -> str:
    """Names of columns for a message, not more than a line of them."""
    text = ", ".join(f"`{name}`" for name in names)
    return (text[:300] + "…" if len(text) > 300 else text) or "no columns"


def _small(values: dict[str, Any]) -> dict[str, Any]:
    """What else the row states, without what is long; the names of that are kept."""
    kept: dict[str, Any] = {}
    left_out: list[str] = []
    for key, value in values.items():
        try:
            is_small = not isinstance(value, bytes) and len(json.dumps(value, default=str)) <= _MAX_EXTRA_CHARS
        except (ValueError, RecursionError):
            is_small = False
        if is_small:
            kept[key] = value
        else:
            left_out.append(key)
    return {**kept, "left_out": sorted(left_out)} if left_out else kept


def names_of(value: object) -> list[str]:
    """Names of authors, "First Last", from what metadata hold.

    A list of names, of mappings (`name`; `given` and `family`; `first` and `last`) or of [last, first] pairs; or one
    string with `;`, ` and ` or, between full names, commas.
    """
    if isinstance(value, dict):
        value = [value]
    if isinstance(value, str):
        parts = [part.strip() for part in re.split(r";|\band\b|\n", value)]
        names = [name for part in parts for name in _by_commas(part)]
        return [name for name in names if name]
    if not isinstance(value, list):
        return []
    found = [_one_name(item) for item in value]
    return [" ".join(name.split()) for name in found if name.strip()]


def _by_commas(part: str) -> list[str]:
    """`Ada Lovelace, Max Born` is two names, `Lovelace, Ada` is one."""
    pieces = [piece.strip() for piece in part.split(",") if piece.strip()]
    return pieces if len(pieces) > 1 and all(len(piece.split()) > 1 for piece in pieces) else [part.strip(" ,")]


def _one_name(item: object) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, list | tuple) and 1 < len(item) <= 3 and all(isinstance(part, str) for part in item):
        return " ".join(filter(None, [item[1], item[0], *item[2:]]))
    if not isinstance(item, dict):
        return ""
    keys = {plain_name(str(key)): value for key, value in item.items() if isinstance(value, str)}
    whole = keys.get("name") or keys.get("fullname") or keys.get("displayname") or keys.get("author")
    first = keys.get("given") or keys.get("givenname") or keys.get("first") or keys.get("firstname") or ""
    last = keys.get("family") or keys.get("familyname") or keys.get("last") or keys.get("lastname") or ""
    return whole or f"{first} {last}"


def list_of(value: object) -> list[str]:
    """Strings of a list, or of one string with semicolons, commas or spaces between them."""
    if isinstance(value, str):
        mark = next((mark for mark in ";," if mark in value), None)
        return [part.strip() for part in value.split(mark) if part.strip()]
    if not isinstance(value, list):
        return []
    items = [next((item[k] for k in ("name", "term", "category") if k in item), None) if isinstance(item, dict) else item
             for item in value]  # fmt: skip
    return [str(item).strip() for item in items if isinstance(item, str | int) and str(item).strip()]


def year_of(value: object) -> int | None:
    """The first year from 1000 to 2999 in a number, a date or a string."""
    found = re.search(r"(?<!\d)([12]\d{3})(?!\d)", str(value)[:1000]) if value is not None else None
    return int(found.group(1)) if found else None


def arxiv_year(identifier: str | None) -> int | None:
    """Year of an arXiv identifier (YYMM.number since 2007, archive/YYMMnumber from 1991)."""
    if not identifier:
        return None
    if found := _ARXIV_NEW.fullmatch(identifier):
        return 2000 + int(found.group(1))
    found = _ARXIV_OLD.fullmatch(identifier)
    return (1900 if int(found.group(1)) > 90 else 2000) + int(found.group(1)) if found else None
