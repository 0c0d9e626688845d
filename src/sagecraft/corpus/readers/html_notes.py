"""Footnotes of pages: the text of a note is put where it is called, once."""

from __future__ import annotations

from typing import Any

from sagecraft.corpus.readers.html_page import classes_of
from sagecraft.corpus.readers.mathml import local_name

_CALL_CLASSES = frozenset(
    ("footnote-ref", "footnoteref", "footnote-reference", "noteref", "fnref", "footnote", "fn-ref", "footnote-anchor")
)
_CALL_ROLES = frozenset(("doc-noteref",))
_BACK_CLASSES = frozenset(
    ("footnote-back", "footnote-backref", "reversefootnote", "fn-backref", "footnote-backlink", "data-footnote-backref")
)
_NOTE_TAGS = frozenset(("li", "p", "div", "aside", "dd", "span"))
#: A longer "note" is a section that a link leads to.
_MAX_NOTE_CHARS = 3000


class Notes:
    """Which links call a note, and where its text is."""

    def __init__(self, root: Any) -> None:
        calls = {
            target: link
            for link in root.iter("a")
            if (target := (link.get("href") or "")).startswith("#") and len(target) > 1 and _is_call(link)
        }
        self._elements = (
            {node.get("id"): node for node in root.iter() if "#" + (node.get("id") or "") in calls} if calls else {}
        )
        self._told: set[str] = set()
        self._told_elements: set[Any] = set()

    def target_of(self, element: Any) -> Any:
        """The note that a link, or a raised link, calls for the first time; None otherwise."""
        link = element
        if local_name(element) == "sup":
            inner = [child for child in element if local_name(child)]
            if len(inner) != 1 or local_name(inner[0]) != "a" or (element.text or "").strip():
                return None
            link = inner[0]
        key = (link.get("href") or "")[1:]
        note = self._elements.get(key) if _is_call(link) else None
        if (
            note is None
            or key in self._told
            or local_name(note) not in _NOTE_TAGS
            or any(note is node for node in link.iterancestors())
        ):
            return None
        self._told.add(key)
        if sum(len(text) for text in note.itertext()) > _MAX_NOTE_CHARS:
            return None
        self._told_elements.add(note)
        return note

    def is_told(self, element: Any) -> bool:
        """True for a note that stands where it was called."""
        return element in self._told_elements

    def is_mark(self, link: Any) -> bool:
        """True for a link that only leads to a note or back from it."""
        back = (
            not _BACK_CLASSES.isdisjoint(classes_of(link))
            or link.get("role") == "doc-backlink"
            or link.get("rev") == "footnote"
        )
        text = "".join(link.itertext()).strip()
        if back or text in ("↩", "↩︎", "↑", "⏎", "^", "⤴"):
            return True
        return _is_call(link) and (link.get("href") or "")[1:] in self._elements


def _is_call(link: Any) -> bool:
    if not (link.get("href") or "").startswith("#"):
        return False
    names = {name.lower() for name in classes_of(link)}
    if (
        not _CALL_CLASSES.isdisjoint(names)
        or link.get("role") in _CALL_ROLES
        or link.get("data-footnote-ref") is not None
    ):
        return True
    target = str(link.get("href"))[1:].lower()
    return (
        target.startswith(("fn:", "fn-", "fn", "footnote", "note-", "user-content-fn-"))
        and target.lstrip("abcdefghijklmnopqrstuvwxyz:-_").isdigit()
    )
