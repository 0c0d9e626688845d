r"""`\begin` and `\end`: what each kind of environment does. Names beyond LaTeX's own come from the data files."""

from __future__ import annotations

from collections.abc import Callable

from sagecraft.corpus.readers.latex_cite import bibitems
from sagecraft.corpus.readers.latex_commands import COMMANDS, Handler, end_muted, interrupt_muted
from sagecraft.corpus.readers.latex_formula import DISPLAY
from sagecraft.corpus.readers.latex_macros import argument_name
from sagecraft.corpus.readers.latex_markdown import emphasise
from sagecraft.corpus.readers.latex_tables import Table
from sagecraft.corpus.readers.latex_text import Typesetter, joined
from sagecraft.corpus.readers.latex_tokens import BUILTIN, END, PAR

#: (the interpreter, the environment's name, its argument specification).
Opener = Callable[[Typesetter, str, str], None]

_DOCUMENT = ["\\end", "{", "document", "}"]


def _begin(setter: Typesetter, _token: str) -> None:
    gullet = setter.gullet
    name = argument_name(gullet)
    own = gullet.environment_args.get(name)
    if own is not None and f"\\{name}" in gullet.macros:
        setter.open(name, "user")
        gullet.expand(f"\\{name}", own)
        return
    if own is not None:  # a known environment that the document redefines: its arguments are its own
        for letter in own.spec:
            if letter == "o":
                gullet.read_optional()
            elif gullet.stack and gullet.stack[-1] == "{":
                gullet.read_arg()
    if name in gullet.excluded:
        _drop(setter, name, "")
        return
    base = name.rstrip("*")
    kind, spec = gullet.data.environments.get(name) or gullet.data.environments.get(base) or ("", "")
    if name == "document":
        _document(setter)
    elif name in setter.theorems:
        _theorem(setter, name, spec)
    elif base in DISPLAY:
        setter.display(setter.maths.display(name, base, name.endswith("*") or base == "displaymath"))
    elif kind:
        KINDS[kind](setter, name, spec)
    elif f"\\{name}" in gullet.macros:
        setter.open(name, "user")
        gullet.expand(f"\\{name}", gullet.macros[f"\\{name}"])
    elif base in gullet.data.theorems:  # many classes bring them along
        setter.theorems[name] = (base.capitalize(), "" if name.endswith("*") else base)
        _theorem(setter, name, spec)
    else:
        setter.counts["environments_unknown"] += setter.in_body
        setter.open(name, "pass")
        gullet.read_optional()


def _end(setter: Typesetter, _token: str) -> None:
    gullet = setter.gullet
    name = argument_name(gullet)
    if name == "document":
        setter.finished = True
        return
    if f"\\end{name}" in gullet.macros:
        gullet.push_expansion([f"\\end{name}", "\\" + BUILTIN + "leave", "{", name, "}"], f"\\end{name}")
        return
    setter.close(name)


def _leave(setter: Typesetter, _token: str) -> None:
    setter.close(argument_name(setter.gullet))


def _document(setter: Typesetter) -> None:
    """The preamble is over: what it set is dropped."""
    if setter.in_body:
        return
    del setter.out[:]
    setter.leave(0)
    del setter.frames[:]
    setter.in_body = True
    for name in setter.gullet.packages:
        if name.startswith("class:") and "chapters" in setter.class_traits(name[6:]):
            setter.numbering.use_chapters()


# ---- kinds ----


def _pass(setter: Typesetter, name: str, spec: str) -> None:
    setter.gullet.read_spec(spec)
    setter.open(name, "pass")


def _block(setter: Typesetter, name: str, spec: str) -> None:
    setter.gullet.read_spec(spec)
    setter.paragraph()
    setter.open(name, "block", setter.paragraph)


def _quote(setter: Typesetter, name: str, spec: str) -> None:
    setter.gullet.read_spec(spec)
    setter.paragraph()
    start = len(setter.out)

    def finish() -> None:
        lines = joined(setter.out[start:]).strip().split("\n")
        del setter.out[start:]
        setter.out.append("\n".join(f"> {line.strip()}".rstrip() for line in lines) + PAR)

    setter.open(name, "block", finish)


def _drop(setter: Typesetter, name: str, _spec: str) -> None:
    """Skips to the end of the environment; when there is none, only its beginning is dropped."""
    skipped = skip_environment(setter, name)
    if skipped is None:
        setter.counts["environments_unclosed"] += 1


def skip_environment(setter: Typesetter, name: str) -> list[str] | None:
    r"""Takes the tokens up to the matching `\end{name}`; None, and nothing moves, when there is none."""
    gullet = setter.gullet
    stack = gullet.stack
    skipped: list[str] = []
    opening, closing = ["\\begin", "{", name, "}"], ["\\end", "{", name, "}"]
    depth = 1
    while stack and stack[-1] != END:
        skipped.append(stack.pop())
        if skipped[-1] != "}":
            continue
        tail = skipped[-4:]
        if tail == _DOCUMENT:
            break
        depth += (tail == opening) - (tail == closing)
        if not depth:
            gullet.spend(len(skipped))
            return skipped[:-4]
    gullet.spend(len(skipped))
    gullet.push(skipped)
    return None


def _bibliography(setter: Typesetter, name: str, _spec: str) -> None:
    end_muted(setter)
    tokens = skip_environment(setter, name)
    if tokens is not None:
        for key, item in bibitems(tokens).items():
            setter.citations.items.setdefault(key, item)


def _tabbing(setter: Typesetter, name: str, _spec: str) -> None:
    r"""Stops become spaces; a line that ends in `\kill` only sets them."""
    tokens = skip_environment(setter, name)
    if tokens is None:
        return
    lines: list[list[str]] = [[]]
    for token in tokens:
        if token == "\\kill":
            lines[-1] = []
        else:
            lines[-1].append(" " if token in _STOPS else token)
            if token == "\\\\":
                lines.append([])
    setter.paragraph()
    setter.gullet.push(["\\par", *(token for line in lines for token in line), "\\par"])


_STOPS = frozenset(["\\=", "\\>", "\\<", "\\+", "\\-", "\\'", "\\`"])


def _float(kind: str) -> Opener:
    def opener(setter: Typesetter, name: str, spec: str) -> None:
        gullet = setter.gullet
        gullet.read_optional()
        gullet.read_spec(spec)
        resume = interrupt_muted(setter)

        def finish() -> None:
            setter.paragraph()
            resume()

        setter.paragraph()
        setter.open(name, kind, finish)

    return opener


def _list(setter: Typesetter, name: str, spec: str) -> None:
    setter.gullet.read_optional()
    setter.gullet.read_spec(spec)
    nested = setter.inner("itemize", "enumerate", "description") is not None
    kind = setter.gullet.data.environments[name][0] if name in setter.gullet.data.environments else "itemize"
    setter.trim()
    setter.out.append("\n" if nested else PAR)

    def finish() -> None:
        setter.trim()
        setter.indent = environment.indent
        setter.out.append(("\n" if nested else PAR) + setter.indent)

    environment = setter.open(name, kind, finish)


def _item(setter: Typesetter, _token: str) -> None:
    label = setter.gullet.read_optional()
    environment = setter.inner("itemize", "enumerate", "description")
    if environment is None:
        setter.newline()
        return
    while setter.environments[-1] is not environment and len(setter.environments) > setter._first_environment + 1:
        if setter.environments[-1].kind != "pass":
            break
        setter.leave(len(setter.environments) - 1)
    environment.counter += 1
    text = setter.line(label) if label else ""
    if environment.kind == "enumerate":
        marker = f"{environment.counter}. " + (f"{text} " if text else "")
        setter.numbering.current = type(setter.numbering.current)(text or str(environment.counter), "enumi")
        width = 3
    else:
        bold = emphasise(text, "**") if environment.kind == "description" else text
        marker = "- " + (f"{bold} " if text and text not in "•-–*" else "")
        width = 2
    setter.trim()
    first = environment.counter == 1
    depth = min(len(environment.indent), 40)
    setter.out.append(("\n" if not first or depth else PAR) + " " * depth + marker)
    setter.indent = " " * (depth + width)


def _tabular(setter: Typesetter, name: str, spec: str) -> None:
    gullet = setter.gullet
    gullet.read_star()
    gullet.read_spec(spec)
    inner = setter.table() is not None or setter.depth > 0
    resume = interrupt_muted(setter)
    own_float = name.rstrip("*") in ("longtable", "supertabular", "xltabular")

    def finish() -> None:
        setter.end_cell(table)
        table.end_row()
        text = table.text()
        if table.rows:
            setter.counts["tables"] += 1
        if inner:
            setter.out.append(text)
        elif text:
            setter.block(text)
        resume()

    environment = setter.open(name, "table" if own_float else "tabular", finish)
    table = environment.table = Table(len(setter.out), inner)


def _theorem(setter: Typesetter, name: str, _spec: str) -> None:
    word, counter = setter.theorems[name]
    setter.spend_text(word)
    note = setter.gullet.read_optional()
    number = f" {setter.numbering.step(counter, word.lower())}" if counter else ""
    title = f" ({setter.line(note)})" if note else ""
    setter.paragraph()
    setter.open(name, "block", setter.paragraph)
    setter.out.append(f"**{word}{number}{title}.** ")


def _proof(setter: Typesetter, name: str, _spec: str) -> None:
    note = setter.gullet.read_optional()
    setter.paragraph()
    setter.open(name, "block", setter.paragraph)
    setter.out.append(f"*{setter.line(note) if note else 'Proof'}.* ")


def _abstract(setter: Typesetter, name: str, _spec: str) -> None:
    setter.gullet.read_optional()
    start = len(setter.out)

    def finish() -> None:
        text = joined(setter.out[start:]).strip()
        del setter.out[start:]
        if text:
            setter.meta.abstract = text

    setter.open(name, "block", finish)


def _keywords(setter: Typesetter, name: str, _spec: str) -> None:
    start = len(setter.out)

    def finish() -> None:
        setter.meta.keywords = " ".join(joined(setter.out[start:]).split()).replace(" ,", ",")
        del setter.out[start:]

    setter.open(name, "block", finish)


def _inline_math(setter: Typesetter, name: str, _spec: str) -> None:
    setter.inline(setter.maths.inline(name))


def _subequations(setter: Typesetter, name: str, _spec: str) -> None:
    setter.maths.start_sub()
    setter.open(name, "pass", setter.maths.end_sub)


def _appendices(setter: Typesetter, name: str, _spec: str) -> None:
    end_muted(setter)
    setter.numbering.start_appendix()
    setter.open(name, "pass")


KINDS: dict[str, Opener] = {
    "pass": _pass,
    "block": _block,
    "quote": _quote,
    "drop": _drop,
    "bibliography": _bibliography,
    "figure": _float("figure"),
    "table": _float("table"),
    "float": _float("float"),
    "subfloat": _float("subfloat"),
    "itemize": _list,
    "enumerate": _list,
    "description": _list,
    "tabular": _tabular,
    "tabbing": _tabbing,
    "proof": _proof,
    "abstract": _abstract,
    "keywords": _keywords,
    "math": _inline_math,
    "subequations": _subequations,
    "appendices": _appendices,
}


def _display(setter: Typesetter, token: str) -> None:
    r"""`\align … \endalign`, as environments of an author's own are made of it."""
    name = token[1:]
    setter.display(setter.maths.display(f"\\end{name}", name, name == "displaymath"))


HANDLERS: dict[str, Handler] = {
    **COMMANDS,
    **{f"\\{name}": _display for name in DISPLAY},
    "\\begin": _begin,
    "\\end": _end,
    "\\item": _item,
    "\\itemitem": _item,
    "\\numparts": lambda setter, _token: setter.maths.start_sub(),
    "\\endnumparts": lambda setter, _token: setter.maths.end_sub(),
    "\\" + BUILTIN + "leave": _leave,
}
