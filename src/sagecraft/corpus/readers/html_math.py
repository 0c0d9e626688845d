r"""Formulas of HTML pages, in every form that pages carry them, as LaTeX.

MathML (with the author's TeX beside it or without); MathJax 2 (`math/tex` scripts and their rendered twins), 3 and 4
(`<mjx-container>`); KaTeX; pictures whose `alt` is TeX (MediaWiki, WordPress, LaTeX2HTML); MediaWiki's `texhtml`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from sagecraft.corpus.readers.blocks import collapse
from sagecraft.corpus.readers.html_page import classes_of
from sagecraft.corpus.readers.mathml import is_display, local_name, tidy_tex, to_latex
from sagecraft.corpus.readers.symbols import INVISIBLE, letter_to_latex

_TEX_IMAGE_CLASSES = frozenset((
    "latex", "tex", "math", "mathtex", "texrender", "equation_image", "ee_img", "math-inline", "math-display",
    "mwe-math-fallback-image-inline", "mwe-math-fallback-image-display",
))  # fmt: skip
_TEX_IMAGE_SOURCE = re.compile(
    r"/latex\.php\?|/(?:gif|png|svg)\.(?:latex|image)\?|/mathtex\.cgi\?|chart\?cht=tx", re.IGNORECASE
)
#: Thin and no-break spaces are spaces; word joiners are nothing.
_SPACES = {
    **dict.fromkeys(map(ord, "\n\t\u00a0\u2009\u200a\u202f"), " "),
    **dict.fromkeys(map(ord, INVISIBLE)),
    0x2060: None,
}
_MAX_TEX_CHARS = 20_000


@dataclass(frozen=True)
class Formula:
    """A formula of a page.

    Attributes:
        latex: without dollar signs; empty if the element shows nothing that can be read.
        display: whether it stands on a line of its own.
        lost: whether there was a formula, but no source of it.
    """

    latex: str
    display: bool = False
    lost: bool = False


def formula_of(element: Any) -> Formula | None:
    """The formula that an element is, or None if it is something else."""
    name = local_name(element)
    if handler := _BY_TAG.get(name):
        return handler(element)
    if name == "span" or name == "div":
        for class_name in classes_of(element):
            if handler := _BY_CLASS.get(class_name):
                return handler(element)
    return None


def _mathml(element: Any) -> Formula:
    return Formula(to_latex(element), is_display(element))


def _script(element: Any) -> Formula | None:
    kind = (element.get("type") or "").lower().replace(" ", "")
    if kind.startswith("math/tex"):
        return Formula(_tidy(element.text), "mode=display" in kind)
    if kind.startswith("math/mml"):
        inner = _parsed(element.text or "")
        return Formula(to_latex(inner), is_display(inner)) if inner is not None else Formula("", lost=True)
    return None


def _image(element: Any) -> Formula | None:
    source, alt = element.get("src") or "", element.get("alt") or ""
    classes = classes_of(element)
    is_tex = not _TEX_IMAGE_CLASSES.isdisjoint(classes) or alt.lstrip().startswith((r"{\displaystyle", r"{\textstyle"))
    if not is_tex and not _TEX_IMAGE_SOURCE.search(source):
        return None
    if not alt.strip() or alt.strip().lower() in ("formula", "equation", "latex"):
        query = urlsplit(source).query if len(source) < _MAX_TEX_CHARS else ""
        alt = (parse_qs(query).get("latex") or parse_qs(query).get("chl") or [unquote(query)])[0]
    display = any(name.endswith("display") for name in classes)
    return Formula(_tidy(alt), display, lost=not alt.strip())


def _mathjax(element: Any) -> Formula:
    """`<mjx-container>`: its assistive MathML, or the TeX that version 4 keeps as an attribute."""
    display = element.get("display") in ("true", "block")
    inner = next((node for node in element.iter() if local_name(node) == "math"), None)
    if inner is not None:
        return Formula(to_latex(inner), display or is_display(inner))
    tex = next((node.get("data-latex") for node in element.iter() if node.get("data-latex")), "")
    return Formula(_tidy(tex), display, lost=not tex)


def _mathjax_2(element: Any) -> Formula | None:
    """A rendered twin of a `math/tex` script; without the script, the MathML that it carries."""
    # At most a preview, the display around it and its twin for readers of screens stand before the script.
    sibling = element.getnext()
    for _ in range(3):
        if sibling is None or local_name(sibling) == "script" or "MathJax" not in (sibling.get("class") or ""):
            break
        sibling = sibling.getnext()
    if sibling is not None and (sibling.get("type") or "").startswith("math/"):
        return Formula("")
    inner = next((node for node in element.iter() if local_name(node) == "math"), None)
    if inner is None:
        holder = next((node for node in element.iter() if node.get("data-mathml")), None)
        inner = _parsed(holder.get("data-mathml")) if holder is not None else None
    if inner is None:
        return Formula("", lost=True)
    return Formula(to_latex(inner), is_display(inner) or "MathJax_Display" in classes_of(element))


def _parsed(mathml: str) -> Any:
    """A `<math>` out of an attribute or a script."""
    import lxml.html
    from lxml import etree

    if not mathml.strip() or len(mathml) > 10 * _MAX_TEX_CHARS:
        return None
    try:
        return next(lxml.html.fragment_fromstring(mathml, create_parent=True).iter("math"), None)
    except (etree.LxmlError, ValueError, AssertionError):
        return None


def _katex(element: Any) -> Formula:
    inner = next((node for node in element.iter() if local_name(node) == "math"), None)
    display = "katex-display" in classes_of(element)
    if inner is not None:
        return Formula(to_latex(inner), display or is_display(inner))
    # Rendered without MathML: only the glyphs are there, in their order.
    return Formula(rf"\text{{{tex_text(collapse(element.text_content()))}}}", display, lost=True)


def _wiki_math(element: Any) -> Formula | None:
    inner = next((node for node in element.iter() if local_name(node) == "math"), None)
    if inner is None:
        images = (_image(node) for node in element.iter("img"))
        return next((image for image in images if image is not None), None)
    return Formula(to_latex(inner), is_display(inner) or "mwe-math-element-block" in classes_of(element))


def _wiki_html(element: Any) -> Formula | None:
    """`texhtml`: a formula made of italics, superscripts and fractions."""
    latex = _html_to_tex(element, 0)
    return Formula(" ".join(latex.split())) if latex.strip() else None


def _html_to_tex(element: Any, depth: int) -> str:
    if depth > 20:
        return tex_text("".join(element.itertext()))
    pieces = [_characters(element.text)]
    for child in element:
        name, classes = local_name(child), classes_of(child)
        inner = "" if not name or "sr-only" in classes else _html_to_tex(child, depth + 1).strip()
        if name in ("sup", "sub") and inner:
            inner = f"{'^' if name == 'sup' else '_'}{{{inner}}}"
        elif "num" in classes and _is_over(child):
            inner = rf"\frac{{{inner}}}"
        elif "den" in classes:
            inner = f"{{{inner}}}"
        elif name == "b" and inner:
            inner = rf"\mathbf{{{inner}}}"
        pieces += [inner, _characters(child.tail)]
    return "".join(pieces)


def _is_over(numerator: Any) -> bool:
    """True if a denominator follows, with a bar between them or without."""
    following = numerator.getnext()
    after = following.getnext() if following is not None else None
    return any(node is not None and "den" in classes_of(node) for node in (following, after))


def _characters(text: str | None) -> str:
    r"""Characters of a formula; a command stays apart from the letter behind it."""
    result = ""
    for word in re.findall(r"[A-Za-z]{2,}|.", (text or "").translate(_SPACES)):
        if len(word) > 1:
            result += rf"\{word} " if word in ("sin", "cos", "tan", "log", "ln", "exp", "max", "min") else word
            continue
        latex = letter_to_latex(word)
        result += latex + (" " if latex.startswith("\\") and latex[-1].isalpha() else "")
    return result


def _tidy(tex: str | None) -> str:
    return collapse(tidy_tex((tex or "")[:_MAX_TEX_CHARS]).replace("\n", " "))


def tex_text(text: str) -> str:
    r"""Plain text for the inside of `\text{…}`."""
    return re.sub(r"([%$#&_{}])", r"\\\1", text.replace("\\", " "))


_BY_TAG: dict[str, Callable[[Any], Formula | None]] = {
    "math": _mathml,
    "script": _script,
    "img": _image,
    "mjx-container": _mathjax,
}
_BY_CLASS: dict[str, Callable[[Any], Formula | None]] = {
    "katex-display": _katex,
    "katex": _katex,
    "mwe-math-element": _wiki_math,
    "texhtml": _wiki_html,
    "MathJax": _mathjax_2,
    "MathJax_Display": _mathjax_2,
    "MathJax_SVG": _mathjax_2,
    "MathJax_CHTML": _mathjax_2,
    "MathJax_Preview": lambda element: Formula(""),  # noqa: ARG005
    "MJX_Assistive_MathML": lambda element: Formula(""),  # noqa: ARG005
}
