r"""A formula while it is read, and the environments that display one."""

from __future__ import annotations

from dataclasses import dataclass, field

from sagecraft.corpus.readers.latex_refs import SECTION_LEVELS
from sagecraft.corpus.readers.latex_tokens import is_word

#: Display environments: what holds their rows inside `$$`, and whether every row is numbered.
DISPLAY: dict[str, tuple[str, bool]] = {
    "equation": ("", False),
    "displaymath": ("", False),
    "dmath": ("", False),
    "align": ("aligned", True),
    "flalign": ("aligned", True),
    "eqnarray": ("aligned", True),
    "alignat": ("alignedat", True),
    "xalignat": ("alignedat", True),
    "gather": ("gathered", True),
    "dgroup": ("gathered", True),
    "multline": ("gathered", False),
    "IEEEeqnarray": ("aligned", True),
    "numcases": ("cases", True),
    "subnumcases": ("cases", True),
    "empheq": ("", False),
}
#: Environments whose columns are `left & relation & right`, of which `aligned` needs only the first mark.
THREE_COLUMNS = ("eqnarray", "IEEEeqnarray")
CASES = ("numcases", "subnumcases")
#: The same environments when they stand inside other mathematics.
INNER = {name: wrapper for name, (wrapper, _rows) in DISPLAY.items() if wrapper}
STOPS = frozenset(f"\\{name}" for name in SECTION_LEVELS)
TEXT = frozenset(
    "\\" + name
    for name in [
        "mbox",
        "text",
        "textrm",
        "textnormal",
        "textup",
        "textbf",
        "textit",
        "textsf",
        "texttt",
        "hbox",
        "textsc",
        "emph",
    ]
)


@dataclass
class Formula:
    """One formula while it is read."""

    closer: str
    wrapper: str = ""
    by_row: bool = False
    numbered: bool = False
    parts: list[str] = field(default_factory=list)
    braces: list[str] = field(default_factory=list)
    environments: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    silent: bool = False
    tag: str = ""
    columns: int = 0
    has_rows: bool = False
    word: bool = False
    done: bool = False
    row_start: int = 0

    def after_script(self) -> bool:
        """Whether the next piece is a sub- or superscript, which must be one piece."""
        return bool(self.parts) and self.parts[-1] in ("_", "^")

    def add(self, token: str) -> None:
        """Appends a piece; a control word before a letter gets its space."""
        if not token:
            return
        if self.word and token[0].isalpha():
            self.parts.append(" ")
        self.parts.append(token)
        self.word = is_word(token)


def bare(tokens: list[str]) -> list[str]:
    r"""An argument that is mathematics whatever the author writes: `\tablenotemark{$\dagger$}` needs no dollars of its own."""
    if "$" not in tokens or not TEXT.isdisjoint(tokens):
        return tokens
    return [token for token in tokens if token != "$"]
