r"""The interpreter: walks the tokens, keeps the state of the page, and writes Markdown.

What a command or an environment does stands in `latex_commands.py` and `latex_environments.py`; this is the loop and what they share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sagecraft.corpus.readers.latex_cite import Citations
from sagecraft.corpus.readers.latex_macros import Gullet
from sagecraft.corpus.readers.latex_markdown import emphasise, typography
from sagecraft.corpus.readers.latex_math import Maths
from sagecraft.corpus.readers.latex_primitives import PRIMITIVES, harvest_beside
from sagecraft.corpus.readers.latex_refs import STYLES, Late, Numbering, roman_capitals
from sagecraft.corpus.readers.latex_tables import Table
from sagecraft.corpus.readers.latex_tokens import BUILTIN, END, PAR, RAW, is_word, name_of
from sagecraft.corpus.readers.result import ReaderError

if TYPE_CHECKING:
    from sagecraft.corpus.readers.latex_glossary import Entry

#: Pieces rendered within pieces; beyond it an argument is set without its command, so that Python's stack holds.
MAX_NESTING = 60
MAX_STYLES = 8
MAX_GROUPS = 20_000
#: Characters that a document may set; twice what its source may have. Macros multiply: this is what keeps the memory bounded.
MAX_OUTPUT_CHARS = 48_000_000
#: The style of a group that Markdown has no mark for: only Roman figures, which are written small, become capitals.
SMALL_CAPITALS = "sc"


@dataclass
class Frame:
    """A group: where it starts in the output, the emphasis switched on in it, and whether it belongs to an environment."""

    start: int
    style: str = ""
    close: str = ""
    environment: bool = False


@dataclass
class Environment:
    """An open environment; `finish` runs at its end."""

    name: str
    kind: str
    num_frames: int
    finish: Callable[[], None] | None = None
    table: Table | None = None
    counter: int = 0
    indent: str = ""
    captioned: bool = False


@dataclass
class Meta:
    """What a document says about itself."""

    title: str = ""
    authors: list[str] = field(default_factory=list)
    abstract: str = ""
    keywords: str = ""
    date: str = ""
    doi: str = ""


def joined(parts: list[str]) -> str:
    """Pieces of output as one text, unless that is more than any document sets."""
    if sum(map(len, parts)) > MAX_OUTPUT_CHARS:
        raise ReaderError("too-large", f"its macros expand to more than {MAX_OUTPUT_CHARS:,} characters")
    return "".join(parts)


class Typesetter:
    """Writes the Markdown of one document.

    Args:
        gullet: The tokens.
        main: The main file, for the bibliography beside it.
        handlers: What each built-in command does.
    """

    def __init__(self, gullet: Gullet, main: Path, handlers: Mapping[str, Callable[[Typesetter, str], None]]) -> None:
        self.gullet = gullet
        self.handlers = handlers
        self.main = main
        self.counts = gullet.counts
        self.late = Late()
        self.numbering = Numbering(self._custom_number)
        self.citations = Citations(gullet, self.plain)
        self.maths = Maths(self)
        self.meta = Meta()
        self.out: list[str] = []
        self.frames: list[Frame] = []
        self.environments: list[Environment] = []
        self.glossary: dict[str, Entry] = {}
        self.glossary_used: set[str] = set()
        self.theorems: dict[str, tuple[str, str]] = {}
        self.after_math: list[list[str]] = []
        self.indent = ""
        self.depth = 0
        self.in_body = False
        self.finished = False
        self.muted_from: int | None = None
        self.before_muted: tuple[Counter[str], dict[str, int]] = (Counter(), {})
        self._first_environment = 0
        self._first_frame = 0
        self._num_styles = 0
        self._looked_beside = False

    # ---- the loop ----

    def run(self) -> None:
        """Sets tokens until the end of the piece or of the document."""
        gullet = self.gullet
        stack, macros = gullet.stack, gullet.macros
        out = self.out
        while stack:
            token = stack.pop()
            if token[0] == "\\":
                macro = macros.get(token)
                if macro is not None:
                    gullet.expand(token, macro)
                    continue
                self.control(token)
                if self.finished:
                    stack.clear()
            elif token == " ":
                if out and out[-1][-1:] not in " \n":
                    out.append(" ")
            elif token in _SPECIAL:
                if token == END:
                    return
                self._special(token)
            elif token[0] == RAW:
                self.raw(token)
            else:
                out.append(typography(token))

    def run_all(self) -> None:
        """Sets the whole document; a fence that is left on the stack does not end it."""
        while self.gullet.stack and not self.finished:
            self.run()
        self.finished = False  # what is settled late (labels of the bibliography) is set after the end

    def class_traits(self, name: str) -> list[str]:
        """What the data files say of a document class, whose name may carry a version number."""
        classes = self.gullet.data.classes
        known = max((known for known in classes if name.startswith(known)), key=len, default="")
        return classes.get(known, [])

    def control(self, token: str) -> None:
        """One control sequence that the document has not defined."""
        if is_word(token) and token[1] != BUILTIN:
            self.gullet.skip_space()
        handler = self.handlers.get(token)
        if handler is not None:
            handler(self, token)
            return
        primitive = PRIMITIVES.get(token)
        if primitive is not None:
            primitive(self.gullet, token)
            return
        if token[1:2] == BUILTIN:
            self.control("\\" + token[2:])
            return
        data = self.gullet.data
        symbol = data.symbols.get(token)
        if symbol is not None:
            self.out.append(symbol)
            return
        macro = data.text.get(token)
        if macro is not None:
            self.gullet.expand(token, macro)
            return
        self._unknown(token)

    def _unknown(self, token: str) -> None:
        """Kept as it stands, with its arguments set as text between braces; counted."""
        if not self.in_body:
            return
        if token.startswith("\\the") and token[4:] in self.numbering.values:
            self.out.append(self.numbering.number(token[4:]))
            return
        if "@" in token or any(
            token.startswith(p) and token[len(p) :][:1].isupper() for p in self.gullet.data.prefixes
        ):
            self.counts["internals_dropped"] += 1  # TeX's inner machinery and icons: never words of the author's
            return
        if not self._looked_beside:  # only now: most papers never need their class, which is large
            self._looked_beside = True
            harvest_beside(self.gullet)
            if token in self.gullet.macros:
                self.gullet.stack.append(token)
                return
        self.counts["kept_verbatim"] += 1
        self.out.append(token)
        if self.gullet.stack and self.gullet.stack[-1] == "{" and len(self.frames) < 1000:
            self.gullet.stack.pop()
            self.out.append("{")
            self.frames.append(Frame(len(self.out), close="}"))
        elif is_word(token):
            self.out.append(" ")

    def _special(self, token: str) -> None:
        if token == "{":
            if len(self.frames) > MAX_GROUPS:
                raise ReaderError("nesting", f"more than {MAX_GROUPS:,} groups are open at once")
            self.frames.append(Frame(len(self.out)))
        elif token == "}":
            self._close_group()
        elif token == PAR:
            self.paragraph()
        elif token == "~":
            self.space()
        elif token in ("$", "$$"):
            self._dollar(token)
        elif token == "&":
            table = self.table()
            if table is None:
                self.out.append("&")
            else:
                while self.in_group():  # a brace that was never closed must not swallow the rows below
                    self.close_frame(self.frames.pop())
                self.end_cell(table)
        else:
            self.out.append(token)

    def _dollar(self, token: str) -> None:
        # `$$` in a cell or a heading is an empty formula in most papers; a display stands between paragraphs' lines.
        if token == "$$" and self.depth == 0 and self.table() is None:
            self.display(self.maths.display("$$"))
        elif token == "$":
            self.inline(self.maths.inline("$"))
        elif self._closes_in_cell():
            self.inline(self.maths.inline("$$"))

    def _closes_in_cell(self) -> bool:
        """Whether another `$$` comes before the cell or the line ends; else this one is an empty formula."""
        for token in reversed(self.gullet.stack[-200:]):
            if token in ("&", "\\\\", "\\end", "\\tabularnewline", PAR, END):
                return False
            if token == "$$":
                return True
        return False

    def _close_group(self) -> None:
        if len(self.frames) <= self._first_frame or self.frames[-1].environment:
            self.counts["unbalanced_braces"] += 1
            return
        self.close_frame(self.frames.pop())

    def close_frame(self, frame: Frame) -> None:
        """Ends a group: what it switched on is applied to what it set."""
        if frame.style:
            self._num_styles -= 1
            text = joined(self.out[frame.start :])
            del self.out[frame.start :]
            self.out.append(roman_capitals(text) if frame.style == SMALL_CAPITALS else emphasise(text, frame.style))
        if frame.close:
            self.out.append(frame.close)

    def switch_style(self, mark: str) -> None:
        r"""`\bf`, `\it`: emphasis up to the end of the group; none where no group is open, which is the whole page."""
        if len(self.frames) <= self._first_frame or self._num_styles >= MAX_STYLES:
            return
        frame = self.frames[-1]
        if not frame.style:
            frame.style, frame.start = mark, len(self.out)
            self._num_styles += 1

    # ---- pieces ----

    joined = staticmethod(joined)

    def spend_text(self, text: str) -> None:
        """Takes from the budget for text that is set more than once: what is long must not be set often."""
        self.gullet.spend(len(text) // 16)

    def render(self, tokens: list[str]) -> str:
        """Sets tokens on their own and returns their Markdown."""
        if self.depth >= MAX_NESTING:
            self.gullet.push(tokens)
            return ""
        saved = self.out, self._first_frame, self._first_environment, self.indent, self._num_styles
        num_frames, num_environments = len(self.frames), len(self.environments)
        fence = self.gullet.begin_piece()
        self.gullet.push(tokens)
        self.out, self.indent, self.depth = [], "", self.depth + 1
        self._first_frame, self._first_environment, self._num_styles = num_frames, num_environments, 0
        math_depth, self.gullet.math_depth = self.gullet.math_depth, 0
        self.run()
        self.leave(num_environments)
        while len(self.frames) > num_frames:
            self.close_frame(self.frames.pop())
        text = joined(self.out)
        self.out, self._first_frame, self._first_environment, self.indent, self._num_styles = saved
        self.depth -= 1
        self.gullet.math_depth = math_depth
        self.gullet.end_piece(fence)
        return text

    def line(self, tokens: list[str]) -> str:
        """Sets tokens as one line."""
        return " ".join(self.render(tokens).split())

    def plain(self, tokens: list[str]) -> str:
        """Sets tokens as one line without emphasis."""
        return self.late.resolve(self.line(tokens)).replace("*", "").replace("`", "")

    def space(self) -> None:
        """One space, unless there is one."""
        if self.out and self.out[-1][-1:] not in " \n":
            self.out.append(" ")

    def newline(self) -> None:
        """A line break within a paragraph."""
        self.out.append("\n" + self.indent)

    def paragraph(self) -> None:
        """A new paragraph."""
        self.out.append(PAR + self.indent)

    def block(self, text: str) -> None:
        """Text that stands on its own between paragraphs."""
        self.out.append(PAR + self.indent + text.replace("\n", "\n" + self.indent) + PAR + self.indent)

    def trim(self) -> None:
        """Drops white space at the end of what is written."""
        out = self.out
        while out and not out[-1].strip(" \n"):
            out.pop()
        if out:
            out[-1] = out[-1].rstrip(" \n")

    def raw(self, token: str) -> None:
        """What the scanner left as it stood."""
        kind, content = token[1:2], token[2:]
        if kind == "v":
            self.counts["verbatim"] += 1
            fence = "```" if "```" not in content else "~~~~"
            code = f"{fence}\n{content}\n{fence}".replace("\n", "\n" + self.indent)
            self.block(self.late.mark(lambda: code))
        elif kind == "c":
            inline = f"`{content}`" if "`" not in content else content
            self.out.append(self.late.mark(lambda: inline))
        else:
            self.out.append(content)

    # ---- mathematics ----

    def inline(self, formula: str) -> None:
        """Writes an inline formula; two that touch become one, since `$$` would mean a display."""
        if formula:
            self.counts["equations_inline"] += 1
            formula = formula.replace("\n", " ")
            last = self.out[-1] if self.out else ""
            if last[-1:] == "$" and last[-2:] != "\\$":
                # The mark is a piece of its own: many formulas in a row must not be copied again and again.
                self.out[-1] = last[:-1]
                self.out += [f" {formula}", "$"]
            else:
                self.out += [f"${formula}", "$"]
        self._flush_notes()

    def display(self, formula: str) -> None:
        """Writes a displayed formula on lines of its own; the paragraph goes on after it."""
        if formula:
            self.counts["equations_display"] += 1
            while self.out and self.out[-1] == " ":
                self.out.pop()
            formula = formula.replace("\n", "\n" + self.indent)
            self.out.append(f"\n{self.indent}$${formula}$$\n{self.indent}")
        self._flush_notes()

    def _flush_notes(self) -> None:
        while self.after_math:
            self.note(self.after_math.pop(0))

    def note(self, tokens: list[str]) -> None:
        """A footnote, where its mark stands."""
        if self.depth >= MAX_NESTING:
            self.gullet.push(tokens)
            return
        text = self.line(tokens)
        if text:
            self.counts["footnotes"] += 1
            self.space()
            self.out.append(f"({text})")

    # ---- environments ----

    def open(self, name: str, kind: str, finish: Callable[[], None] | None = None) -> Environment:
        """Enters an environment, which is also a group."""
        if len(self.environments) >= 500:
            raise ReaderError("nesting", "more than 500 environments are open at once")
        environment = Environment(name, kind, len(self.frames), finish, indent=self.indent)
        self.environments.append(environment)
        self.frames.append(Frame(len(self.out), environment=True))
        return environment

    def leave(self, num_environments: int) -> None:
        """Ends environments until so many are left."""
        while len(self.environments) > num_environments:
            environment = self.environments[-1]
            while len(self.frames) > environment.num_frames:
                self.close_frame(self.frames.pop())
            if environment.finish is not None:
                environment.finish()
            self.environments.pop()
            self.indent = environment.indent

    def close(self, name: str) -> bool:
        """Ends the innermost open environment of this name, and those within it; False when there is none."""
        for index in range(len(self.environments) - 1, self._first_environment - 1, -1):
            if self.environments[index].name == name:
                self.leave(index)
                return True
        return False

    def inner(self, *kinds: str) -> Environment | None:
        """The innermost open environment of one of these kinds."""
        for environment in reversed(self.environments):
            if environment.kind in kinds:
                return environment
        return None

    def table(self) -> Table | None:
        """The table whose cell is being set, if any."""
        for environment in reversed(self.environments[self._first_environment :]):
            if environment.table is not None:
                return environment.table
            if environment.kind not in ("pass", "user"):
                return None
        return None

    def in_group(self) -> bool:
        """Whether braces are open within the cell that is being set."""
        return len(self.frames) > self._first_frame and not self.frames[-1].environment

    def end_cell(self, table: Table) -> None:
        """Moves what was set since the last `&` into the table."""
        text = joined(self.out[table.start :])
        del self.out[table.start :]
        for frame in reversed(self.frames):
            if frame.environment:
                if frame.style:
                    text = emphasise(text, frame.style) if frame.style != SMALL_CAPITALS else text
                    frame.style = ""
                    self._num_styles -= 1
                break
        table.end_cell(text)
        table.start = len(self.out)

    # ---- references ----

    def word_for(self, kind: str) -> str | None:
        r"""The document's own word for a kind of thing (`\sectionautorefname`), if it has one."""
        macro = self.gullet.macros.get(f"\\{kind}autorefname")
        if macro is None or macro.spec:
            return None
        self.gullet.spend(len(macro.body))
        return name_of(macro.body[:20])

    def _custom_number(self, name: str) -> str | None:
        macro = self.gullet.macros.get(name)
        if macro is None or macro.spec or self.depth > 10:
            return None
        self.gullet.spend(len(macro.body))
        text = self.plain(macro.body)
        self.spend_text(text)
        return text

    def counter_text(self, style: str) -> str:
        r"""`\arabic{section}` and its kin."""
        value = self.numbering.values.get(name_of(self.gullet.read_arg()), 0)
        return STYLES[style](value)


_SPECIAL = frozenset(["{", "}", "$", "$$", "&", "~", "^", "_", "[", "]", PAR, END])
