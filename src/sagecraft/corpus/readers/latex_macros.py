r"""TeX's mouth: a stack of tokens, arguments, macros and conditionals, all within a budget.

The stack is one Python list in reverse order, so that taking a token is `pop()` and an expansion is `extend`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sagecraft.corpus.readers.latex_data import LatexData, Macro
from sagecraft.corpus.readers.latex_tokens import BUILTIN, END, PAR, RAW, is_word, name_of, scan
from sagecraft.corpus.readers.result import ReaderError

#: Tokens that may be pushed without one token of the source being used up: past this a macro calls itself.
MAX_BURST = 200_000
#: Tokens moved (expanded, gathered as arguments) in all: a floor, and so many for each token of the source.
WORK_FLOOR, WORK_PER_TOKEN = 1_000_000, 6
MAX_INPUT_DEPTH = 20
MAX_INPUTS = 2_000
#: Real papers have up to a few million tokens (tables of data); ten million would take a gigabyte.
MAX_SOURCE_CHARS, MAX_TOKENS = 24_000_000, 5_000_000

_OVERPRINT = frozenset(["\\lower", "\\raise", "\\ooalign", "\\raisebox"])

_CONDITIONALS = frozenset(
    f"\\{name}"
    for name in [
        "if",
        "ifx",
        "ifnum",
        "ifdim",
        "ifcase",
        "ifodd",
        "ifmmode",
        "iftrue",
        "iffalse",
        "ifcat",
        "ifhmode",
        "ifvmode",
        "ifinner",
        "ifvoid",
        "ifhbox",
        "ifvbox",
        "ifeof",
        "ifdefined",
        "ifcsname",
        "iffontchar",
        "ifpdf",
        "ifxetex",
        "ifluatex",
        "ifPDFTeX",
        "ifXeTeX",
        "ifLuaTeX",
        "if@twocolumn",
        "if@filesw",
    ]
)


class Gullet:
    """Tokens still to be read, and what the document has defined so far."""

    def __init__(self, data: LatexData, root: Path, protected: frozenset[str]) -> None:
        self.data = data
        self.root = root.resolve()
        self.protected = protected
        self.stack: list[str] = []
        self.macros: dict[str, Macro] = {}
        self.environment_args: dict[str, Macro] = {}
        self.conditionals: set[str] = set()
        self.flags: dict[str, bool] = {}
        self.packages: dict[str, str] = {}
        self.units: dict[str, str] = {}
        self.has_class = False
        self.excluded: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.math_depth = 0
        self._open: list[Path] = []
        self._num_inputs = 0
        self._num_chars = 0
        self._num_tokens = 0
        self._work_left = WORK_FLOOR
        self._burst = 0
        self._low = 0

    # ---- the stack ----

    def spend(self, amount: int) -> None:
        """Takes from the budget that keeps any input linear."""
        self._work_left -= amount
        if self._work_left < 0:
            raise ReaderError("macro-recursion", "expanding the macros takes more steps than any document needs")

    def push(self, tokens: Sequence[str]) -> None:
        """Puts tokens in front of what is still to be read."""
        self.stack.extend(tokens[::-1])

    def push_expansion(self, tokens: Sequence[str], name: str) -> None:
        """Like `push`, for what a macro stands for: counted, so that recursion ends in an error."""
        stack = self.stack
        size = len(stack)
        if size < self._low:
            self._low, self._burst = size, 0
        self._burst += len(tokens) + 1
        if self._burst > MAX_BURST:
            raise ReaderError("macro-recursion", f"{name.replace(BUILTIN, '')[:80]} does not stop expanding")
        self.spend(len(tokens) + 1)
        stack.extend(tokens[::-1])

    def begin_piece(self) -> int:
        """Fences the stack for a nested run; `end_piece` takes the returned mark."""
        mark = self._low
        self.stack.append(END)
        self._low = len(self.stack) + 1
        return mark

    def end_piece(self, mark: int) -> None:
        """Removes the fence of `begin_piece`, which must be on top."""
        self._low = min(mark, len(self.stack))

    def peek(self) -> str:
        """The next token that is not a space, which stays; `END` at the end."""
        stack = self.stack
        while stack and stack[-1] == " ":
            stack.pop()
        return stack[-1] if stack else END

    def skip_space(self) -> None:
        """Drops the white space that TeX swallows after a control word."""
        stack = self.stack
        while stack and stack[-1] == " ":
            stack.pop()

    # ---- arguments ----

    def read_arg(self) -> list[str]:
        """One mandatory argument, without its braces; empty when there is none."""
        token = self.peek()
        if token in (END, "}", PAR):
            return []
        stack = self.stack
        stack.pop()
        if token == "{":
            return self._group()
        if token[0] in "\\{}[]&~^_$#" or token[0] == RAW or len(token) == 1:
            return [token]
        self.spend(1 + len(token) // 64)  # the rest of the run is copied
        rest = token[1:]
        if rest[0] == " ":  # a space of its own, so that a further argument can skip it
            rest = rest.lstrip(" ")
            stack.extend([rest, " "] if rest else [" "])
        else:
            stack.append(rest)
        return [token[0]]

    def _group(self) -> list[str]:
        """What follows an opening brace up to its partner; at the end of the input, up to the paragraph's end."""
        stack = self.stack
        out: list[str] = []
        depth = 1
        while stack:
            token = stack.pop()
            if token == "{":
                depth += 1
            elif token == "}":
                depth -= 1
                if not depth:
                    self.spend(len(out))
                    return out
            elif token == END:
                stack.append(token)
                break
            out.append(token)
        self.spend(len(out))
        self.counts["unbalanced_braces"] += 1
        end = next((index for index, token in enumerate(out) if token == PAR), len(out))
        self.push(out[end:])
        return out[:end]

    def read_optional(self) -> list[str] | None:
        """An argument in square brackets, or None when there is none."""
        if self.peek() != "[":
            return None
        stack = self.stack
        stack.pop()
        out: list[str] = []
        depth = brackets = 0
        while stack:
            token = stack.pop()
            if token == "{":
                depth += 1
            elif token == "}":
                depth -= 1
            elif token == "[" and not depth:
                brackets += 1
            elif token == "]" and depth <= 0:
                if not brackets:
                    self.spend(len(out))
                    return out
                brackets -= 1
            if token in (END, PAR) or depth < 0:
                stack.append(token)
                break
            out.append(token)
        self.spend(len(out))
        self.push(["[", *out])
        return None

    def read_star(self) -> bool:
        """Whether a star follows; it is taken."""
        token = self.peek()
        if token[0] != "*":
            return False
        self.stack.pop()
        if len(token) > 1:
            self.stack.append(token[1:])
        return True

    def read_spec(self, spec: str, defaults: Sequence[Sequence[str]] = ()) -> list[list[str]]:
        """The arguments that a specification such as `som` names."""
        found: list[list[str]] = []
        num_optional = 0
        for letter in spec:
            if letter == "m":
                found.append(self.read_arg())
            elif letter == "o":
                value = self.read_optional()
                if value is None:
                    value = list(defaults[num_optional]) if num_optional < len(defaults) else []
                found.append(value)
                num_optional += 1
            elif letter == "s":
                found.append(["\\BooleanTrue"] if self.read_star() else ["\\BooleanFalse"])
            elif letter == "b":
                found.append(self.read_arg() if self.peek() == "{" else [])
            elif letter == "n":  # an argument that stays where it is
                found.append([])
            else:  # `(`: an argument in round brackets, as beamer and booktabs have
                found.append(self._round())
        return found

    def _round(self) -> list[str]:
        token = self.peek()
        if not token.startswith("(") or ")" not in token:
            return []
        inside, _, rest = self.stack.pop()[1:].partition(")")
        if rest:
            self.stack.append(rest)
        return [inside] if inside else []

    # ---- macros ----

    def expand(self, name: str, macro: Macro, wrap: bool = False) -> None:
        """Replaces a macro, whose name was just read, by its body."""
        if is_word(name) and not self.math_depth:
            self.skip_space()
        if macro.pattern is not None:
            arguments = self._match(macro.pattern)
        else:
            arguments = self.read_spec(macro.spec, macro.defaults) if macro.spec else []
        body = macro.body
        if macro.has_params:
            body = substitute(body, arguments)
        if wrap and len(body) > 1:
            body = ["{", *body, "}"]
        self.push_expansion(body, name)

    def _match(self, pattern: tuple[str, ...]) -> list[list[str]]:
        r"""Arguments by the parameter text of a `\def`: `#1.#2\end`."""
        arguments: list[list[str]] = []
        index = 0
        while index < len(pattern):
            token = pattern[index]
            index += 1
            if token[0] != "#" or token == "#":
                self._skip_literal(token)
                continue
            if index < len(pattern) and pattern[index][0] != "#":
                arguments.append(self._until(pattern[index]))
                index += 1
            else:
                arguments.append(self.read_arg())
        return arguments

    def _skip_literal(self, literal: str) -> None:
        if self.stack and literal != " " and self.stack[-1].startswith(literal):
            rest = self.stack.pop()[len(literal) :]
            if rest:
                self.stack.append(rest)
        elif self.stack and self.stack[-1] == literal:
            self.stack.pop()

    def _until(self, literal: str) -> list[str]:
        """Tokens up to a delimiter outside braces; stops at the paragraph's end, as TeX does."""
        out: list[str] = []
        depth = 0
        stack = self.stack
        is_run = literal[0] not in "\\{}[]&~^_$#" and literal != " "
        while stack:
            token = stack.pop()
            if not depth and (token == literal or (is_run and literal in token and token[0] not in "\\" + RAW)):
                before, _, rest = token.partition(literal)
                out += [before] if before else []
                if rest:
                    self.spend(1 + len(rest) // 64)
                    stack.append(rest)
                break
            if token in (END, PAR):
                stack.append(token)
                break
            depth += (token == "{") - (token == "}")
            out.append(token)
        self.spend(len(out))
        if len(out) > 1 and out[0] == "{" and out[-1] == "}" and depth == 0:
            return out[1:-1]
        return out

    def define(self, name: str, macro: Macro, keep: bool = False) -> None:
        """Stores a definition, unless the name is one whose meaning this reader needs."""
        if name in self.protected or (keep and name in self.macros) or not name.startswith("\\"):
            return
        body = macro.body
        if "\\sim" in body and not _OVERPRINT.isdisjoint(body):  # `<` set over `~` by hand: a sign that has a name
            sign = next((sign for sign in self.data.overprints if any(sign in token for token in body)), None)
            if sign is not None:
                macro = Macro("", [self.data.overprints[sign]], has_params=False)
        self.macros[name] = macro

    # ---- conditionals ----

    def skip_branch(self, to_else: bool) -> str:
        r"""Skips to `\fi` (or `\else`, `\or` of the same level) and returns which was found; nothing moves without one."""
        stack = self.stack
        skipped: list[str] = []
        depth = 0
        while stack:
            token = stack.pop()
            skipped.append(token)
            if token[0] != "\\":
                if token == END:
                    break
                continue
            if token in _CONDITIONALS or token in self.conditionals:
                depth += 1
            elif token == "\\fi":
                if not depth:
                    self.spend(len(skipped))
                    self.skip_space()
                    return token
                depth -= 1
            elif not depth and to_else and token in ("\\else", "\\or"):
                self.spend(len(skipped))
                self.skip_space()
                return token
        self.spend(len(skipped))
        self.push(skipped)
        return ""

    # ---- files ----

    def start(self, text: str, path: Path) -> None:
        """Puts the main file on the stack."""
        self._open.append(path.resolve())
        tokens = self._scan(text)
        self.push(tokens)
        self._low = len(self.stack)

    def _scan(self, text: str, at_letter: bool = False) -> list[str]:
        self._num_chars += len(text)
        if self._num_chars > MAX_SOURCE_CHARS:
            raise ReaderError("too-large", f"more than {MAX_SOURCE_CHARS:,} characters of LaTeX")
        tokens = scan(text, at_letter)
        self._num_tokens += len(tokens)
        if self._num_tokens > MAX_TOKENS:
            raise ReaderError("too-large", f"more than {MAX_TOKENS:,} tokens of LaTeX")
        self._work_left += WORK_PER_TOKEN * len(tokens)
        return tokens

    def find_file(self, name: str, suffixes: Sequence[str], base: Path | None = None) -> Path | None:
        """A file named in the document; None, and counted, when it is missing or outside the document's folder."""
        folders = [base] if base is not None else [self._open[-1].parent if self._open else self.root, self.root]
        name = name.strip().strip('"')
        refused = False
        for folder in folders:
            for suffix in suffixes:
                try:
                    path = (folder / (name + suffix)).resolve()
                    if not path.is_relative_to(self.root):
                        refused = True
                    elif path.is_file():
                        return path
                except (OSError, ValueError, RuntimeError):  # a name no file system takes
                    continue
        self.counts["inputs_refused" if refused else "inputs_missing"] += 1
        return None

    def input(self, name: str, base: Path | None = None) -> None:
        r"""Follows `\input` and its kin."""
        path = self.find_file(name, ["", ".tex"] if "." in name.rpartition("/")[2] else [".tex", ""], base)
        if path is None:
            return
        if path in self._open or len(self._open) > MAX_INPUT_DEPTH or self._num_inputs >= MAX_INPUTS:
            self.counts["inputs_refused"] += 1
            return
        self._num_inputs += 1
        text = read_source(path)
        begin = text.find("\\begin{document}")
        if begin >= 0 and "\\documentclass" in text[:begin]:  # a subfile that can stand alone
            end = text.rfind("\\end{document}")
            text = text[begin + len("\\begin{document}") : end if end > begin else len(text)]
        self._open.append(path)
        self.counts["inputs"] += 1
        tokens = self._scan(text)
        self.stack.append("\\" + BUILTIN + "closefile")
        self.push(tokens)
        self._low = len(self.stack)

    def close_file(self) -> None:
        """The end of an included file has been reached."""
        if len(self._open) > 1:
            self._open.pop()

    def own_package(self, name: str, suffix: str = ".sty", max_bytes: int = 60_000) -> list[str] | None:
        """Tokens of a package that lies beside the document, or None; only small ones are the author's own."""
        if not name or len(name) > 100:
            return None
        for folder in {self.root, self._open[0].parent if self._open else self.root}:
            try:
                path = (folder / f"{name}{suffix}").resolve()
                if path.is_relative_to(self.root) and path.is_file() and path.stat().st_size <= max_bytes:
                    return self._scan(read_source(path), at_letter=True)
            except (OSError, ValueError, RuntimeError):  # a name no file system takes
                continue
        return None


def substitute(body: Sequence[str], arguments: Sequence[Sequence[str]]) -> list[str]:
    """A macro's body with its arguments in place; `##1` loses one mark."""
    out: list[str] = []
    for token in body:
        if token[0] != "#":
            out.append(token)
        elif token[1:2] == "#":
            out.append(token[1:])
        elif len(token) == 2:
            index = int(token[1]) - 1
            if index < len(arguments):
                out += arguments[index]
        else:
            out.append(token)
    return out


#: inputenc's names for encodings, to Python's; any other file that is not UTF-8 is taken for Windows' Latin letters.
_ENCODINGS = {
    b"latin2": "iso8859-2", b"latin3": "iso8859-3", b"latin4": "iso8859-4", b"latin5": "iso8859-9", b"latin9": "iso8859-15", b"latin10": "iso8859-16",
    b"cp1250": "cp1250", b"cp1251": "cp1251", b"koi8-r": "koi8-r", b"koi8-u": "koi8-u", b"applemac": "mac_roman", b"macce": "mac_latin2", b"cp437": "cp437",
    b"cp850": "cp850", b"cp852": "cp852", b"cp866": "cp866",
}  # fmt: skip
_INPUTENC = re.compile(rb"\\(?:usepackage[ \t]*\[([\w-]+)\][ \t]*\{inputenc\}|inputencoding[ \t]*\{([\w-]+)\})")


def read_source(path: Path) -> str:
    """A file's text: UTF-8, else as it says of itself, else Windows' Latin letters, in which every byte means something."""
    try:
        if path.stat().st_size > MAX_SOURCE_CHARS:
            raise ReaderError("too-large", f"{path.name} has more than {MAX_SOURCE_CHARS:,} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise ReaderError("unreadable", f"{path.name}: {error.strerror or error}") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        stated = _INPUTENC.search(data)
        encoding = _ENCODINGS.get(stated[1] or stated[2], "cp1252") if stated else "cp1252"
        return data.decode(encoding, errors="replace")


def argument_name(gullet: Gullet) -> str:
    """The next argument as plain characters."""
    return name_of(gullet.read_arg())


def control_name(gullet: Gullet) -> str:
    """The control sequence that a definition names, with or without braces."""
    tokens = [token for token in gullet.read_arg() if token != " "]
    return tokens[0] if tokens else ""
