"""What a JATS article says of itself, and the works it cites."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sagecraft.corpus.readers.blocks import collapse
from sagecraft.corpus.readers.latex_bib import split_names
from sagecraft.corpus.readers.latex_cite import from_entry, short_form
from sagecraft.corpus.readers.mathml import local_name
from sagecraft.corpus.readers.rows import year_of

#: Dates that say when a copy was made, not when the work appeared.
_OTHER_DATES = (
    "pmc-release",
    "nihms-submitted",
    "retracted",
    "corrected",
    "received",
    "accepted",
    "preprint",
    "original-publication",
)
#: Subjects that name a kind of article.
_ARTICLE_KIND = re.compile(
    r"(?:.*\b(?:articles?|letters?|editorial|communications?|correspondence|commentary|reports?|corrigend\w+|errat\w+)|reviews?|"
    r"original (?:paper|research|contribution)s?|research|paper|insights?|perspectives?|article-?type)",
    re.IGNORECASE,
)
_CREATIVE_COMMONS = re.compile(r"https?://creativecommons\.org/(?:licenses|publicdomain)/[\w./\-]+", re.IGNORECASE)
_ATTRIBUTION = re.compile(
    r"Creative Commons Attribution((?:[- ](?:Non-?Commercial|No-?Deriv\w*|Share-?Alike|Unported|International))*)"
    r"(?:[- ](\d\.\d))?",
    re.IGNORECASE,
)
_CITATIONS = ("element-citation", "mixed-citation", "nlm-citation", "citation")
_XLINK = "{http://www.w3.org/1999/xlink}href"
_MAX_ENTRY_CHARS = 2000


def child(element: Any, name: str) -> Any:
    """The first child of this name; None if there is none."""
    return next((node for node in element if local_name(node) == name), None) if element is not None else None


def named(element: Any, *names: str) -> Iterator[Any]:
    """All descendants of these names."""
    if element is not None:
        yield from (node for node in element.iter() if local_name(node) in names)


def plain(element: Any) -> str:
    """Text of an element, spaces collapsed; empty for None."""
    return "" if element is None else collapse("".join(element.itertext()))


class Front:
    """`<article-meta>` and `<journal-meta>`."""

    def __init__(self, article: Any) -> None:
        front = child(article, "front")
        front = front if front is not None else child(article, "front-stub")
        inner = child(front, "article-meta")
        self._meta = inner if inner is not None else front

    @property
    def abstract(self) -> Any:
        """The abstract itself, not the graphical one or the teaser."""
        abstracts = [node for node in self._meta if local_name(node) == "abstract"] if self._meta is not None else []
        return next((node for node in abstracts if not node.get("abstract-type")), None)

    @property
    def title(self) -> Any:
        """The element of the title."""
        return child(child(self._meta, "title-group"), "article-title")

    @property
    def keywords(self) -> list[str]:
        """Keywords of the authors."""
        groups = [node for node in self._meta if local_name(node) == "kwd-group"] if self._meta is not None else []
        kept = [
            group
            for group in groups
            if group.get("kwd-group-type", "author") not in ("research-organism", "abbreviations")
        ]
        return [text for group in kept[:2] for node in named(group, "kwd") if (text := plain(node))]

    @property
    def authors(self) -> list[str]:
        """Names, "First Last"; groups by their names."""
        names: list[str] = []
        for group in self._meta if self._meta is not None else ():
            if local_name(group) != "contrib-group":
                continue
            for contrib in group:
                if local_name(contrib) == "contrib" and contrib.get("contrib-type", "author") == "author":
                    names += [name] if (name := _contributor(contrib)) else []
        return list(dict.fromkeys(" ".join(name.split()) for name in names))

    @property
    def year(self) -> int | None:
        """The earliest year in which the article appeared."""
        dates = [node for node in self._meta if local_name(node) == "pub-date"] if self._meta is not None else []
        kept = [node for node in dates if (node.get("pub-type") or node.get("date-type")) not in _OTHER_DATES]
        years = [year for node in kept or dates if (year := year_of(plain(child(node, "year"))))]
        copyright_year = child(child(self._meta, "permissions"), "copyright-year")
        return min(years) if years else year_of(plain(copyright_year) or None)

    @property
    def categories(self) -> list[str]:
        """Subjects, without those that name the kind of article; else the keywords."""
        subjects = [plain(node) for node in named(child(self._meta, "article-categories"), "subject")]
        kept = [subject for subject in dict.fromkeys(subjects) if subject and not _ARTICLE_KIND.fullmatch(subject)]
        return kept or self.keywords

    @property
    def license(self) -> str | None:
        """URL of the licence, else what the licence is called."""
        permissions = child(self._meta, "permissions")
        for node in named(permissions, "license_ref"):
            if text := plain(node):
                return text
        for node in named(permissions, "license"):
            link = node.get(_XLINK) or next(
                (link.get(_XLINK) for link in named(node, "ext-link", "uri") if link.get(_XLINK)), None
            )
            if link:
                return str(link).strip()
        return _license_in_words(plain(permissions) or plain(child(self._meta, "copyright-statement")))

    @property
    def identifier(self) -> str | None:
        """DOI, else the number in PubMed Central, of arXiv or in PubMed."""
        numbers = {
            node.get("pub-id-type"): plain(node)
            for node in (self._meta if self._meta is not None else ())
            if local_name(node) == "article-id"
        }
        for kind in ("doi", "pmcid", "pmc", "arxiv", "pmid"):
            if number := numbers.get(kind):
                return (
                    f"PMC{number}"
                    if kind == "pmc" and number.isdigit()
                    else f"pmid:{number}"
                    if kind == "pmid"
                    else number
                )
        return None


def _license_in_words(text: str) -> str | None:
    """URL or name of a Creative Commons licence that a sentence names."""
    if found := _CREATIVE_COMMONS.search(text):
        return found.group()
    found = _ATTRIBUTION.search(text[:5000])
    if not found:
        return None
    kinds = found.group(1).lower().replace("-", "").replace(" ", "")
    parts = [
        short for name, short in (("noncommercial", "NC"), ("noderiv", "ND"), ("sharealike", "SA")) if name in kinds
    ]
    return " ".join(filter(None, ["CC", "-".join(["BY", *parts]), found.group(2)]))


def _contributor(contrib: Any) -> str:
    name = next(named(contrib, "name"), None)
    if name is not None:
        parts = [plain(child(name, part)) for part in ("prefix", "given-names", "surname", "suffix")]
        return " ".join(filter(None, parts))
    name = next(named(contrib, "string-name", "collab"), None)
    if name is None:
        return ""
    if local_name(name) == "collab":  # a group may list its members inside
        return collapse(
            (name.text or "")
            + "".join(plain(part) + (part.tail or "") for part in name if local_name(part) != "contrib-group")
        )
    given, family = plain(child(name, "given-names")), plain(child(name, "surname"))
    return f"{given} {family}".strip() or plain(name)


class References:
    """The works of the reference lists in their order, looked up by identifier.

    Attributes:
        num_cited: citations by number that were met.
        num_resolved: those that became authors and year.
    """

    def __init__(self, article: Any) -> None:
        self._refs: list[Any] = []
        self._position: dict[str, int] = {}
        for ref in named(child(article, "back"), "ref"):
            for holder in (ref, *(node for node in ref if local_name(node) in _CITATIONS)):
                if holder.get("id"):
                    self._position.setdefault(holder.get("id"), len(self._refs))
            self._refs.append(ref)
        self._labels: dict[int, str] = {}
        self.num_cited = self.num_resolved = 0

    def positions(self, rids: str) -> list[int]:
        """Positions of the works that `rid` names, one or several."""
        return [self._position[rid] for rid in rids.split() if rid in self._position]

    def cite(self, positions: list[int]) -> str:
        """`A 2001; B et al. 2002` for positions, each work once; those that are not known are left out."""
        labels = [self._label(position) for position in dict.fromkeys(positions)]
        self.num_cited += len(labels)
        self.num_resolved += sum(map(bool, labels))
        return "; ".join(dict.fromkeys(filter(None, labels)))

    def _label(self, position: int) -> str:
        if position not in self._labels:
            self._labels[position] = _label_of(self._refs[position])
        return self._labels[position]


def _label_of(ref: Any) -> str:
    citation = next((node for name in _CITATIONS for node in named(ref, name)), None)
    if citation is None:
        return ""
    surnames, others = _cited_authors(citation)
    year = next((text for node in named(citation, "year") if (text := plain(node))), "")
    found = re.search(r"(?:1[5-9]|20)\d\d[a-z]?", year)
    if surnames and found:
        return f"{short_form(surnames, others)} {found.group()}"
    entry = plain(citation)[:_MAX_ENTRY_CHARS]
    stated = found or re.search(r"(?<!\d)(?:1[5-9]|20)\d\d[a-z]?(?!\d)", entry)
    if not surnames and stated:
        surnames, others = _vancouver(entry)
        if surnames:
            return f"{short_form(surnames, others)} {stated.group()}"
    reference = from_entry(entry)
    return f"{reference.authors} {reference.year}" if reference else ""


def _vancouver(entry: str) -> tuple[list[str], bool]:
    """Surnames of "Jones AB, van Brown C, et al. Title": initials behind the name, without a full stop."""
    surnames: list[str] = []
    for part in re.split(r"[.:]", entry, maxsplit=1)[0].split(","):
        words = part.split()
        if words[-2:] == ["et", "al"]:
            surnames += [" ".join(words[:-3])] if len(words) > 3 and words[-3].isupper() else []
            return surnames, True
        if not 1 < len(words) <= 5 or not re.fullmatch(r"[A-Z]{1,3}(?:-[A-Z])?", words[-1]):
            break
        surnames.append(" ".join(words[:-1]))
    return surnames, False


def _cited_authors(citation: Any) -> tuple[list[str], bool]:
    """Surnames of a cited work's authors (editors if it has none), and whether more follow."""
    groups = [node for node in citation if local_name(node) == "person-group"]
    authors = [group for group in groups if group.get("person-group-type", "author") in ("author", "allauthors")]
    holder = authors[0] if authors else groups[0] if groups and not _names(citation) else citation
    names = _names(holder) or (_names(citation) if holder is not citation else [])
    return [name for name in names if name], child(holder, "etal") is not None or child(citation, "etal") is not None


def _names(holder: Any) -> list[str]:
    names: list[str] = []
    for node in holder:
        kind = local_name(node)
        if kind == "name-alternatives":
            node = next(named(node, "name", "string-name"), node)
            kind = local_name(node)
        if kind in ("name", "string-name"):
            surname = plain(child(node, "surname"))
            names.append(surname or (split_names(plain(node))[0] or [""])[0])
        elif kind == "collab":
            names.append(plain(node))
    return names
