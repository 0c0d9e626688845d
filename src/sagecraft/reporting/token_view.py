"""Tokens as a reader sees them: each with its text, its document, and whether it is learned.

Plain values, for the terminal and for a page alike. What cannot be seen is made visible: spaces that stand alone,
ends of lines, tabs, characters without a shape.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sagecraft.reporting.page import Page

#: Tokens of a page: more would weigh megabytes and be read by nobody.
MAX_TOKENS = 30_000
_MAX_SOURCES = 40
_MAX_LINEAGE = 6
_ALONE = re.compile(r"^ +$|  +")


@dataclass(frozen=True)
class TokenView:
    """One token.

    Attributes:
        id: in the vocabulary.
        text: what it stands for; empty for one that continues the character of the token before it.
        learned: it is predicted and counts in the loss.
        kind: ordinary `text`, a `special` token, or a `part` of a character that began before.
        position: in its document or conversation.
    """

    id: int
    text: str
    learned: bool
    kind: Literal["text", "special", "part"]
    position: int

    @property
    def shown(self) -> str:
        """The text with what cannot be seen made visible."""
        if self.kind == "part":
            return "‥"
        return visible(self.text) or "∅"


@dataclass(frozen=True)
class PieceView:
    """A document or conversation, or the part of one that stands in a row."""

    id: str
    source: str
    lineage: tuple[str, ...]
    offset: int
    num_tokens: int
    tokens: tuple[TokenView, ...]

    @property
    def name(self) -> str:
        """The id, with the place of the piece if it is not the whole."""
        last = self.offset + len(self.tokens)
        whole = self.offset == 0 and last == self.num_tokens
        return self.id if whole else f"{self.id}, tokens {self.offset:,} to {last - 1:,} of {self.num_tokens:,}"


@dataclass(frozen=True)
class RowView:
    """A row: its number, its pieces from left to right, and the places behind them that nothing fills."""

    number: int
    pieces: tuple[PieceView, ...]
    num_padding: int


def visible(text: str) -> str:
    """Text in which spaces that stand alone or together, ends of lines, tabs and shapeless characters can be seen."""
    text = _ALONE.sub(lambda run: "·" * len(run[0]), text)
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character == "\n":
        return "↵\n"
    if character == "\t":
        return "⇥"
    if character == " ":
        return " "
    shapeless = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs")
    return f"⟨U+{ord(character):04X}⟩" if shapeless else character


def bounded(rows: Sequence[RowView], limit: int = MAX_TOKENS) -> list[RowView]:
    """The first rows that hold at most so many tokens, one at least."""
    kept: list[RowView] = []
    left = limit
    for row in rows:
        left -= sum(len(piece.tokens) for piece in row.pieces)
        if kept and left < 0:
            break
        kept.append(row)
    return kept


def render(title: str, subtitle: str, rows: Sequence[RowView], facts: Sequence[tuple[str, str]]) -> str:
    """A page of rows: documents by colour, learned tokens bold and underlined, what a token is when it is pointed at.

    Args:
        title: of the page.
        subtitle: below it.
        rows: at most `MAX_TOKENS` of their tokens are shown.
        facts: name and value of what the artifact is and what it was made from.
    """
    page = Page(title, subtitle)
    shown = bounded(rows)
    pieces = [piece for row in shown for piece in row.pieces]
    tokens = [token for piece in pieces for token in piece.tokens]
    learned = sum(token.learned for token in tokens)
    page.metrics(
        [
            ("rows", len(shown), f"of {len(rows):,} that were asked for" if len(shown) < len(rows) else ""),
            ("tokens", len(tokens), f"{sum(row.num_padding for row in shown):,} places of padding"),
            ("learned", f"{100 * learned / max(1, len(tokens)):.1f} %", f"{learned:,} tokens"),
            ("documents", len({piece.id for piece in pieces}), ""),
        ]
    )
    counts: dict[str, int] = {}
    for piece in pieces:
        counts[piece.source] = counts.get(piece.source, 0) + len(piece.tokens)
    sources = sorted(counts, key=lambda name: (-counts[name], name))[:_MAX_SOURCES]
    page.tokens(
        [
            {
                "number": row.number,
                "num_padding": row.num_padding,
                "pieces": [_piece(piece, sources, position) for position, piece in enumerate(row.pieces)],
            }
            for row in shown
        ],
        [(name, counts[name]) for name in sources],
    )
    page.heading("Where it comes from")
    page.table(["what", "value"], [list(fact) for fact in facts], numeric=[False, False])
    return page.render()


def _piece(piece: PieceView, sources: Sequence[str], position: int) -> dict[str, object]:
    lineage = ", ".join(piece.lineage[:_MAX_LINEAGE])
    more = len(piece.lineage) - _MAX_LINEAGE
    return {
        "name": piece.name,
        "id": piece.id,
        "source": piece.source,
        "source_number": sources.index(piece.source) if piece.source in sources else len(sources),
        "colour": position % 6,
        "lineage": lineage + (f" and {more:,} more" if more > 0 else ""),
        "tokens": [
            {
                "text": token.shown,
                "css": " ".join(
                    name for name, holds in (("l", token.learned), ("s", token.kind == "special"), ("p", token.kind == "part")) if holds
                ),
                "says": f"{token.id} · {_quoted(token)} · place {token.position:,} · {'learned' if token.learned else 'context'}",
            }
            for token in piece.tokens
        ],
    }  # fmt: skip


def _quoted(token: TokenView) -> str:
    if token.kind == "part":
        return "part of the character before"
    return repr(token.text)
