"""Unicode characters of mathematics and their LaTeX commands, names of functions, accents."""

from __future__ import annotations

import unicodedata

_GREEK_NAMES = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "omicron",
    "pi",
    "rho",
    "varsigma",
    "sigma",
    "tau",
    "upsilon",
    "phi",
    "chi",
    "psi",
    "omega",
]
_CAPITALS = {"Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega"}


def _greek() -> dict[str, str]:
    letters = {chr(0x3B1 + position): rf"\{name}" for position, name in enumerate(_GREEK_NAMES)}
    for position, name in enumerate(_GREEK_NAMES):
        capital = name.removeprefix("var").capitalize()
        if capital in _CAPITALS and name != "varsigma":
            letters[chr(0x391 + position)] = rf"\{capital}"
    # The other capitals look like Latin letters and have no command.
    letters |= dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧ", "ABEZHIKMNOPTX", strict=True))
    return {
        **letters,
        "ο": "o",
        "ε": r"\varepsilon",
        "ϵ": r"\epsilon",
        "ϑ": r"\vartheta",
        "ϕ": r"\phi",
        "φ": r"\varphi",
    }


GREEK: dict[str, str] = {
    **_greek(),
    "ϖ": r"\varpi",
    "ϱ": r"\varrho",
    "Ɵ": r"\Theta",
    "ϒ": r"\Upsilon",
    "µ": r"\mu",
    "∆": r"\Delta",
    "Ω": r"\Omega",
}

#: Binary operators, relations, arrows, big operators, delimiters and letter-like signs.
OPERATORS: dict[str, str] = {
    "−": "-", "–": "-", "—": "-", "‐": "-", "×": r"\times", "·": r"\cdot", "⋅": r"\cdot", "∙": r"\cdot", "•": r"\cdot",
    "÷": r"\div", "±": r"\pm", "∓": r"\mp", "∗": "*", "∘": r"\circ", "⊕": r"\oplus", "⊖": r"\ominus", "⊗": r"\otimes",
    "⊙": r"\odot", "☉": r"\odot", "⊘": r"\oslash", "∧": r"\wedge", "∨": r"\vee", "∩": r"\cap", "∪": r"\cup",
    "∖": r"\setminus", "⋆": r"\star", "★": r"\star", "†": r"\dagger", "‡": r"\ddagger", "≠": r"\neq", "≤": r"\leq",
    "≥": r"\geq", "⩽": r"\leqslant", "⩾": r"\geqslant", "≪": r"\ll", "≫": r"\gg", "≲": r"\lesssim", "≳": r"\gtrsim",
    "≈": r"\approx", "≃": r"\simeq", "≅": r"\cong", "∼": r"\sim", "~": r"\sim", "˜": r"\sim", "≡": r"\equiv",
    "≢": r"\not\equiv", "∝": r"\propto", "≐": r"\doteq", "≔": ":=", "≺": r"\prec", "≻": r"\succ", "⊥": r"\perp",
    "∥": r"\parallel", "‖": r"\|", "ǁ": r"\|", "∣": r"\mid", "∈": r"\in", "∉": r"\notin", "∋": r"\ni", "⊂": r"\subset",
    "⊃": r"\supset", "⊆": r"\subseteq", "⊇": r"\supseteq", "∅": r"\emptyset", "→": r"\to", "⟶": r"\longrightarrow",
    "←": r"\leftarrow", "⟵": r"\longleftarrow", "↔": r"\leftrightarrow", "⇒": r"\Rightarrow", "⟹": r"\implies",
    "⇐": r"\Leftarrow", "⇔": r"\Leftrightarrow", "⟺": r"\iff", "↦": r"\mapsto", "↑": r"\uparrow", "↓": r"\downarrow",
    "↗": r"\nearrow", "↘": r"\searrow", "⇌": r"\rightleftharpoons", "⇄": r"\rightleftarrows", "∑": r"\sum",
    "∏": r"\prod", "∐": r"\coprod", "∫": r"\int", "∬": r"\iint", "∭": r"\iiint", "∮": r"\oint", "∯": r"\oiint",
    "⋃": r"\bigcup", "⋂": r"\bigcap", "∂": r"\partial", "∇": r"\nabla", "√": r"\surd", "∞": r"\infty", "∀": r"\forall",
    "∃": r"\exists", "¬": r"\neg", "∴": r"\therefore", "∵": r"\because", "∠": r"\angle", "△": r"\triangle",
    "□": r"\square", "…": r"\ldots", "⋯": r"\cdots", "⋮": r"\vdots", "⋱": r"\ddots", "′": "'", "″": "''", "‴": "'''",
    "’": "'", "⟨": r"\langle", "⟩": r"\rangle", "〈": r"\langle", "〉": r"\rangle",
    "\u2329": r"\langle", "\u232a": r"\rangle", "‒": "-", "○": r"\circ", "⌈": r"\lceil", "⌉": r"\rceil",
    "⌊": r"\lfloor", "⌋": r"\rfloor", "{": r"\{", "}": r"\}", "ℏ": r"\hbar", "ħ": r"\hbar", "ℓ": r"\ell",
    "ℜ": r"\Re", "ℑ": r"\Im", "℘": r"\wp", "ℵ": r"\aleph", "ı": r"\imath", "ȷ": r"\jmath", "°": r"^{\circ}",
    "º": r"^{\circ}", "Å": r"\text{Å}", "\u212b": r"\text{Å}", "%": r"\%", "#": r"\#", "&": r"\&",
    "$": r"\$", "\\": r"\backslash", "^": r"\hat{}", "_": r"\_", "││": r"\|", "..": "..", ">>": r"\gg", "<<": r"\ll",
    "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "²": "^{2}", "³": "^{3}",
}  # fmt: skip

#: Signs that mark the structure only: function application, invisible times, separator and plus.
INVISIBLE = frozenset("\u2061\u2062\u2063\u2064\u200b")

FUNCTIONS = frozenset(
    [
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "tanh",
        "coth",
        "exp",
        "ln",
        "log",
        "lg",
        "lim",
        "limsup",
        "liminf",
        "max",
        "min",
        "sup",
        "inf",
        "det",
        "dim",
        "ker",
        "arg",
        "deg",
        "gcd",
        "hom",
        "Pr",
    ]
)
#: Operators whose limits stand below and above.
LIMITS = frozenset("∑∏∐⋃⋂∫∬∭∮∯")

ACCENTS_OVER: dict[str, str] = {
    "→": r"\vec", "⃗": r"\vec", "⇀": r"\vec", "^": r"\hat", "ˆ": r"\hat", "̂": r"\hat", "¯": r"\bar", "‾": r"\overline",
    "_": r"\bar", "̅": r"\bar", "―": r"\overline", "—": r"\overline", "–": r"\bar", "-": r"\bar", "−": r"\bar", "ˉ": r"\bar", "˙": r"\dot", ".": r"\dot",
    "·": r"\dot", "̇": r"\dot", "¨": r"\ddot", "..": r"\ddot", "̈": r"\ddot", "˜": r"\tilde", "~": r"\tilde",
    "∼": r"\tilde", "̃": r"\tilde", "ˇ": r"\check", "˘": r"\breve", "∘": r"\mathring", "˚": r"\mathring",
    "↔": r"\overleftrightarrow", "←": r"\overleftarrow", "⏞": r"\overbrace", "︷": r"\overbrace",
}  # fmt: skip
ACCENTS_UNDER: dict[str, str] = {
    "⏟": r"\underbrace", "︸": r"\underbrace", "_": r"\underline", "̲": r"\underline", "¯": r"\underline",
    "‾": r"\underline", "―": r"\underline",
}  # fmt: skip

#: Delimiters and their LaTeX.
OPEN_FENCES = {
    "(": "(",
    "[": "[",
    "{": r"\{",
    "|": "|",
    "⟨": r"\langle",
    "〈": r"\langle",
    "\u2329": r"\langle",
    "‖": r"\|",
    "⌊": r"\lfloor",
}
CLOSE_FENCES = {
    ")": ")",
    "]": "]",
    "}": r"\}",
    "|": "|",
    "⟩": r"\rangle",
    "〉": r"\rangle",
    "\u232a": r"\rangle",
    "‖": r"\|",
    "⌋": r"\rfloor",
}
#: `mathvariant` → command.
VARIANTS = {
    "bold": r"\mathbf", "normal": r"\mathrm", "script": r"\mathcal", "double-struck": r"\mathbb",
    "fraktur": r"\mathfrak", "sans-serif": r"\mathsf", "monospace": r"\mathtt", "bold-italic": r"\boldsymbol",
}  # fmt: skip

_STYLED = {"BOLD": r"\mathbf", "SCRIPT": r"\mathcal", "FRAKTUR": r"\mathfrak", "DOUBLE-STRUCK": r"\mathbb"}


def letter_to_latex(character: str) -> str:
    """LaTeX of one character of a formula; itself if it needs no command."""
    if character in GREEK:
        return GREEK[character]
    if character in OPERATORS:
        return OPERATORS[character]
    if 0x1D400 <= ord(character) <= 0x1D7FF or 0x2100 <= ord(character) <= 0x214F:
        plain = unicodedata.normalize("NFKC", character)
        name = unicodedata.name(character, "")
        style = next((command for key, command in _STYLED.items() if key in name), "")
        inner = GREEK.get(plain, plain)
        return f"{style}{{{inner}}}" if style else inner
    return character
