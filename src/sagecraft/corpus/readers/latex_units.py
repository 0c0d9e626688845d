r"""siunitx's numbers and units: `\SI{3e5}{\km\per\s}` to LaTeX that needs no package."""

from __future__ import annotations

import re

from sagecraft.corpus.readers.latex_macros import Gullet, argument_name
from sagecraft.corpus.readers.latex_tokens import RAW, name_of, source_of

_NUMBER = re.compile(r"^([+-]?[\d.,]*)((?:\(\d+\))?)(?:[eEdD]([+-]?\d+))?$")


def number(text: str) -> str:
    """A number as mathematics: 3e5 to `3\\times10^{5}`."""
    text = text.replace(" ", "").replace("\\pm", "+-").replace("\\,", "")
    parts = text.split("+-")
    exponent = ""
    out = []
    for part in parts:
        match = _NUMBER.match(part)
        if match is None:
            return text
        out.append(match[1] + match[2])
        exponent = match[3] or exponent
    joined = " \\pm ".join(piece for piece in out if piece)
    if not exponent:
        return joined
    power = f"10^{{{int(exponent[:6])}}}"
    if len(parts) > 1:
        joined = f"({joined})"
    return f"{joined} \\times {power}" if joined else power


def unit(gullet: Gullet, tokens: list[str]) -> str:
    """A unit as the inside of `\\mathrm`: `\\km\\per\\s` to `km\\,s^{-1}`."""
    table = {**gullet.data.units, **gullet.units} if gullet.units else gullet.data.units
    if not any(token in table or token in ("\\per", "\\squared") for token in tokens):
        return source_of(tokens).replace(".", "\\,").strip()
    tokens = [token[2:] if token[0] == RAW else token for token in tokens]
    out: list[str] = []
    prefix, per, power = "", False, ""
    for token in tokens:
        if token == "\\per":
            per = True
        elif token in ("\\square", "\\cubic"):
            power = "2" if token == "\\square" else "3"
        elif token in ("\\squared", "\\cubed") and out:
            out[-1] = _power(out[-1], "2" if token == "\\squared" else "3")
        elif token in table and table[token].endswith("-"):
            prefix = table[token][:-1]
        elif token[:1] not in ("", " ", "{", "}", "~"):
            symbol = prefix + table.get(token, token.lstrip("\\"))
            exponent = ("-" if per else "") + (power or ("1" if per else ""))
            out.append(f"{symbol}^{{{exponent}}}" if exponent else symbol)
            prefix, per, power = "", False, ""
    return "\\,".join(out)


def _power(piece: str, power: str) -> str:
    base, _, exponent = piece.partition("^{")
    return f"{base}^{{{'-' if exponent.startswith('-') else ''}{power}}}"


def quantity(gullet: Gullet, name: str) -> str:
    r"""The LaTeX of one siunitx command, whose name was just read."""
    options = gullet.read_optional()
    if name == "\\unit" and options and "siunitx" not in gullet.packages:  # the package units: `\unit[5]{km}`
        return f"{number(name_of(options))}\\,\\mathrm{{{unit(gullet, gullet.read_arg())}}}"
    if name in ("\\si", "\\unit"):
        return f"\\mathrm{{{unit(gullet, gullet.read_arg())}}}"
    if name == "\\ang":
        degrees, *rest = [*argument_name(gullet).split(";"), ""]
        marks = [f"{part}{mark}" for part, mark in zip(rest, ("'", "''"), strict=False) if part]
        return f"{number(degrees)}^{{\\circ}}" + "".join(marks)
    argument = name_of(gullet.read_arg())
    if name.endswith("list"):
        values = [number(part.strip()) for part in argument.split(";")]
        joined = ", ".join(values[:-1]) + "\\text{ and }" + values[-1] if len(values) > 1 else values[0]
    elif name.endswith("product"):
        joined = " \\times ".join(number(part.strip()) for part in re.split("x|\\\\times", argument))
    elif "range" in name:
        joined = f"{number(argument)}\\text{{ to }}{number(name_of(gullet.read_arg()))}"
    else:
        joined = number(argument)
    if name in ("\\num", "\\numrange", "\\numlist", "\\numproduct"):
        return joined
    symbol = unit(gullet, gullet.read_arg())
    return f"{joined}\\,\\mathrm{{{symbol}}}" if symbol else joined
