r"""Floats and tables: captions, parts of figures, the heads of long tables, notes below them."""

from __future__ import annotations

from collections.abc import Callable

from sagecraft.corpus.readers.latex_macros import argument_name
from sagecraft.corpus.readers.latex_refs import Target, letter
from sagecraft.corpus.readers.latex_text import Environment, Typesetter
from sagecraft.corpus.readers.latex_tokens import BUILTIN


def _caption(setter: Typesetter, token: str) -> None:
    gullet = setter.gullet
    star = gullet.read_star()
    holder = setter.inner("figure", "table", "float", "subfloat")
    if holder is not None and holder.kind == "subfloat" and token in ("\\caption", "\\subcaption"):
        gullet.read_optional()
        _sub_caption(setter, gullet.read_arg(), holder)
        return
    kind = holder.kind if holder is not None else "figure"
    if holder is not None and holder.kind == "float":
        kind = holder.name.rstrip("*")
    if token == "\\captionof":
        kind = argument_name(gullet)
    if token == "\\tablecaption":
        kind = "table"
    gullet.read_optional()
    number = "" if star else setter.numbering.step(kind)
    if holder is not None:
        holder.captioned = True
    text = setter.line(gullet.read_arg())
    word = kind.capitalize()
    if text:
        _set_caption(setter, f"{word} {number}: {text}" if number else text)


def _set_caption(setter: Typesetter, caption: str) -> None:
    """Sets a caption on its own, or above the table in which it stands."""
    setter.counts["captions"] += 1
    if setter.depth == 0:
        environment = next((e for e in reversed(setter.environments) if e.table is not None), None)
        if environment is not None and environment.table is not None:
            environment.table.before.append(caption)
            return
    setter.block(caption)


def _float_around(setter: Typesetter) -> Environment | None:
    return setter.inner("figure", "table", "float")


def _sub_caption(setter: Typesetter, tokens: list[str], part: Environment | None) -> None:
    """The caption of a part: a letter after the number of its float, whose own caption may come before or after it."""
    numbering = setter.numbering
    outer = _float_around(setter)
    kind = outer.kind if outer is not None and outer.kind in ("figure", "table") else "figure"
    ahead = outer is None or not outer.captioned
    number = numbering.upcoming(kind) if ahead else numbering.number(kind)
    counter = outer if outer is not None else part
    index = 1
    if counter is not None:
        counter.counter += 1
        index = counter.counter
    mark = letter(index).lower()
    current = numbering.current
    numbering.current = Target(number + mark, kind)
    text = setter.line(tokens)
    if text:
        _set_caption(setter, f"({mark}) {text}")
    if part is None:  # what follows belongs to the float again
        numbering.current = current


def _sub_float(setter: Typesetter, _token: str) -> None:
    r"""`\subfloat[list][caption]{…}` and `\subfigure[caption]{…}`: what is in it, then its caption."""
    gullet = setter.gullet
    notes = [note for note in (gullet.read_optional(), gullet.read_optional()) if note is not None]
    body = gullet.read_arg()
    _push_part(setter, body, notes[-1] if notes else None)


def _sub_caption_box(setter: Typesetter, _token: str) -> None:
    r"""`\subcaptionbox[list]{caption}[width][position]{…}`."""
    gullet = setter.gullet
    gullet.read_star()
    gullet.read_optional()
    caption = gullet.read_arg()
    gullet.read_optional()
    gullet.read_optional()
    _push_part(setter, gullet.read_arg(), caption)


def _push_part(setter: Typesetter, body: list[str], caption: list[str] | None) -> None:
    """The body is set where it stands, since a table within it needs lines of its own."""
    after = ["\\" + BUILTIN + "subcaption", "{", *caption, "}"] if caption is not None else []
    setter.gullet.push_expansion(["\\par", *body, *after, "\\par"], "\\subfloat")


def _caption_of_part(setter: Typesetter, _token: str) -> None:
    _sub_caption(setter, setter.gullet.read_arg(), None)


def _part_of_table(setter: Typesetter, token: str) -> None:
    r"""`\endhead` and its kin of long tables; a repeated head neither prints nor numbers a second caption."""
    table = setter.table()
    if table is None:
        return
    setter.end_cell(table)
    table.end_row()
    repeats = token == "\\endfoot" or (token == "\\endhead" and table.mark is not None)
    dropped = len(table.before) - (table.mark or (0, 0))[1] if repeats else 0
    if dropped > 0:
        setter.numbering.values["table"] = setter.numbering.values.get("table", 0) - dropped
        setter.counts["captions"] -= dropped
    table.end_part(token[1:])


def _multicolumn(setter: Typesetter, _token: str) -> None:
    count = argument_name(setter.gullet)
    setter.gullet.read_arg()
    table = setter.table()
    if table is not None and count.isdecimal():
        table.span = max(1, min(int(count[:4]), 200))
    setter.gullet.push(setter.gullet.read_arg())


def _tablehead(setter: Typesetter, _token: str) -> None:
    setter.gullet.push([*setter.gullet.read_arg(), "\\\\"])


def _table_note(setter: Typesetter, token: str) -> None:
    mark = setter.line(setter.gullet.read_arg()) if token == "\\tablenotetext" else ""
    text = setter.line(setter.gullet.read_arg())
    note = f"{mark}: {text}" if mark else text
    table = setter.table()
    if not text:
        return
    if table is not None:
        table.after.append(note)
    else:
        setter.block(note)


def _rows(setter: Typesetter, _token: str) -> None:
    r"""Plain TeX's `\halign{#\hfil&…\cr a&b\cr}`: its first row only says how columns are set."""
    gullet = setter.gullet
    tokens = gullet.read_arg()
    end = tokens.index("\\cr") + 1 if "\\cr" in tokens else 0
    gullet.push(["\\begin", "{", "tabular", "}", "{", "}", *tokens[end:], "\\end", "{", "tabular", "}"])


_TABLE_ROWS: list[tuple[str, Callable[[Typesetter, str], None]]] = [
    ("caption captionof tablecaption subcaption topcaption bottomcaption", _caption),
    ("subfloat subfigure subtable", _sub_float),
    ("subcaptionbox", _sub_caption_box),
    (BUILTIN + "subcaption", _caption_of_part),
    ("endfirsthead endhead endfoot endlastfoot", _part_of_table),
    ("multicolumn", _multicolumn),
    ("tablehead", _tablehead),
    ("tablenotetext tablecomments tablerefs", _table_note),
    ("halign", _rows),
]

FLOATS: dict[str, Callable[[Typesetter, str], None]] = {
    f"\\{name}": handler for names, handler in _TABLE_ROWS for name in names.split()
}
