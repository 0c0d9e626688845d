r"""What each built-in command does in text. Commands that only stand for other LaTeX are in the data files."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from sagecraft.corpus.readers.latex_floats import FLOATS
from sagecraft.corpus.readers.latex_formula import bare
from sagecraft.corpus.readers.latex_front import FRONT
from sagecraft.corpus.readers.latex_glossary import GLOSSARY
from sagecraft.corpus.readers.latex_macros import argument_name
from sagecraft.corpus.readers.latex_markdown import emphasise
from sagecraft.corpus.readers.latex_marks import (
    CITATION_STYLES,
    MULTIPLE_CITATIONS,
    mark_citation,
    mark_citations,
    mark_reference,
)
from sagecraft.corpus.readers.latex_plain import PLAIN
from sagecraft.corpus.readers.latex_refs import SECTION_LEVELS, STYLES, Target
from sagecraft.corpus.readers.latex_registers import skip_dimension
from sagecraft.corpus.readers.latex_registers import table as registers
from sagecraft.corpus.readers.latex_text import Typesetter
from sagecraft.corpus.readers.latex_tokens import END, PAR, RAW, name_of, source_of
from sagecraft.corpus.readers.latex_units import quantity

Handler = Callable[[Typesetter, str], None]

#: Accent commands and the combining character that follows the letter.
_ACCENTS = {
    "'": "\u0301", "`": "\u0300", '"': "\u0308", "^": "\u0302", "~": "\u0303", "=": "\u0304", ".": "\u0307", "u": "\u0306",
    "v": "\u030c", "H": "\u030b", "r": "\u030a", "c": "\u0327", "k": "\u0328", "d": "\u0323", "b": "\u0331", "t": "\u0361",
}  # fmt: skip
_DOTLESS = {"\\i": "i", "\\j": "j", "ı": "i", "ȷ": "j"}
_MARKS = {"\\textbf": "**", "\\textit": "*", "\\emph": "*", "\\textsl": "*", "\\texttt": "`", "\\code": "`"}
_SWITCHES = {
    "\\bf": "**", "\\bfseries": "**", "\\it": "*", "\\itshape": "*", "\\em": "*", "\\sl": "*", "\\slshape": "*",
}  # fmt: skip
#: Headings of what is not kept: thanks, and lists of references that are typed by hand.
_MUTED_TITLE = re.compile(
    r"(?:[IVX\d]+\.?\s*)?(?:acknowledge?ments?\b|(?:references|bibliography|literature cited)\W*$)", re.IGNORECASE
)
_LEVEL_OFFSET = 1  # `#` is the document's title


# ---- headings and the front ----


def _section(setter: Typesetter, token: str) -> None:
    name = token[1:]
    star = setter.gullet.read_star()
    setter.gullet.read_optional()
    level = SECTION_LEVELS[name]
    if name == "chapter":
        setter.numbering.use_chapters()
    end_muted(setter)
    tokens = setter.gullet.read_arg()
    if not star and level <= setter.numbering.depth:
        setter.numbering.step(name)  # first, since a label may stand in the title
    title = setter.line(tokens)
    if not star:
        setter.numbering.current.title = title
    if _MUTED_TITLE.match(title):
        start_muted(setter)
        return
    if not title or not setter.in_body:
        return
    if level >= 4:
        setter.out.append(f"{PAR}{setter.indent}{emphasise(title, '**')} ")
        return
    depth = level + _LEVEL_OFFSET + (1 if setter.numbering.chapters else 0)
    setter.block("#" * max(1, min(depth, 6)) + " " + title)


def start_muted(setter: Typesetter) -> None:
    """From here to the next heading nothing is kept (acknowledgements)."""
    if setter.depth == 0 and setter.muted_from is None:
        setter.muted_from = len(setter.out)
        setter.before_muted = (setter.counts.copy(), dict(setter.citations.cited))


def end_muted(setter: Typesetter) -> None:
    """Takes out what was set since `start_muted`."""
    if setter.muted_from is not None and setter.depth == 0:
        del setter.out[setter.muted_from :]
        setter.muted_from = None
        setter.out.append(PAR)
        counts, setter.citations.cited = setter.before_muted  # what is not kept is not counted
        setter.counts.clear()
        setter.counts.update(counts)


def interrupt_muted(setter: Typesetter) -> Callable[[], None]:
    """A float among what is not kept is kept: manuscripts put figures after the thanks. Calling the result goes on dropping."""
    if setter.muted_from is None or setter.depth:
        return lambda: None
    end_muted(setter)
    return lambda: start_muted(setter)


def _acknowledgements(setter: Typesetter, _token: str) -> None:
    start_muted(setter)


def _appendix(setter: Typesetter, _token: str) -> None:
    end_muted(setter)
    setter.numbering.start_appendix()


# ---- words ----


def _styled(setter: Typesetter, token: str) -> None:
    tokens = setter.gullet.read_arg()
    text = setter.render(tokens)
    setter.out.append(emphasise(text, _MARKS[token]))


def _switch(setter: Typesetter, token: str) -> None:
    setter.switch_style(_SWITCHES[token])


def _accent(setter: Typesetter, token: str) -> None:
    tokens = setter.gullet.read_arg()
    if not tokens and token in ("\\~", "\\^"):  # `\~{}` is how an address's tilde is typed
        setter.out.append(token[1])
        return
    text = "".join(_DOTLESS.get(part, part) for part in tokens)
    if any(part[0] in "\\{$" + RAW for part in tokens if part not in _DOTLESS):
        text = setter.line(tokens)
        text = _DOTLESS.get(text[:1], text[:1]) + text[1:]
    mark = _ACCENTS[token[1:]]
    setter.out.append(unicodedata.normalize("NFC", text[:1] + mark + text[1:]) if text[:1].isalpha() else text)


def _footnote(setter: Typesetter, token: str) -> None:
    gullet = setter.gullet
    gullet.read_optional()
    if token == "\\footnote" and not gullet.has_class:  # plain TeX's takes the mark first
        mark = gullet.read_arg()
        setter.note(gullet.read_arg() if gullet.stack and gullet.stack[-1] == "{" else mark)
        return
    if token == "\\thanks":  # a note to a title or a name
        setter.gullet.read_arg()
        return
    setter.note(setter.gullet.read_arg())


def _code(setter: Typesetter, _token: str) -> None:
    r"""`\mintinline{python}{x = 1}`: the code as it stands."""
    setter.gullet.read_optional()
    setter.gullet.read_arg()
    content = source_of(setter.gullet.read_arg())
    setter.out.append(setter.late.mark(lambda: f"`{content}`" if content and "`" not in content else content))


def _url(setter: Typesetter, _token: str) -> None:
    setter.out.append(_address(setter))


def _address(setter: Typesetter) -> str:
    """An argument that is an address: macros expanded, escapes undone."""
    tokens = setter.gullet.read_arg()
    for _ in range(10):
        if not any(token in setter.gullet.macros for token in tokens):
            break
        setter.gullet.push(tokens)
        tokens = _expand_names(setter, len(tokens))
    text = source_of(tokens).replace("\\-", "")
    return re.sub(r"\\([%#&_~{}$^])", r"\1", text).replace("{", "").replace("}", "").replace(" ", "").strip()


def _expand_names(setter: Typesetter, count: int) -> list[str]:
    """One round of expansion of the `count` tokens on the stack."""
    gullet = setter.gullet
    floor = max(0, len(gullet.stack) - count)
    out: list[str] = []
    budget = 5000
    while len(gullet.stack) > floor and budget:
        budget -= 1
        token = gullet.stack.pop()
        macro = gullet.macros.get(token)
        if token == END:
            gullet.stack.append(token)
            break
        if macro is not None:
            gullet.expand(token, macro)
        else:
            out.append(token)
    return out


def _href(setter: Typesetter, _token: str) -> None:
    setter.gullet.read_optional()
    address = _address(setter)
    text = setter.line(setter.gullet.read_arg())
    if not text:
        return
    bare = text.replace("`", "")
    if not address or bare.replace(" ", "") in (address, address.removeprefix("mailto:")) or "](" in text:
        setter.out.append(text)
    else:
        setter.out.append(f"[{text}]({address})")


def _newline(setter: Typesetter, token: str) -> None:
    gullet = setter.gullet
    if token == "\\\\":
        if gullet.stack and gullet.stack[-1].startswith("*"):
            gullet.read_star()
        if gullet.stack and gullet.stack[-1] == "[":
            gullet.read_optional()
    table = setter.table()
    if table is not None and setter.in_group():
        setter.space()  # a line within a cell: `\makecell{a\\b}`
    elif table is not None and token != "\\newline":
        setter.end_cell(table)
        table.end_row()
    else:
        setter.newline()


def _paragraph(setter: Typesetter, _token: str) -> None:
    setter.paragraph()


def _control_space(setter: Typesetter, _token: str) -> None:
    setter.space()


def _ensuremath(setter: Typesetter, _token: str) -> None:
    gullet = setter.gullet
    gullet.push([*bare(gullet.read_arg()), "$"])
    setter.inline(setter.maths.inline("$"))


def _math(setter: Typesetter, token: str) -> None:
    if token == "\\(":
        setter.inline(setter.maths.inline("\\)"))
    else:
        setter.display(setter.maths.display("\\]"))


def _quantity(setter: Typesetter, token: str) -> None:
    text = quantity(setter.gullet, token)
    simple = re.fullmatch(r"(-?[\d.]+)?(?:\\,)?(?:\\mathrm\{([A-Za-z]+)\})?", text)
    if simple:
        setter.out.append(" ".join(part for part in simple.groups() if part))
    else:
        setter.inline(text)


def _texorpdf(setter: Typesetter, _token: str) -> None:
    first, _second = setter.gullet.read_spec("mm")
    setter.gullet.push(first)


# ---- references, counters ----


def _label(setter: Typesetter, _token: str) -> None:
    setter.numbering.label(argument_name(setter.gullet))


def _reference(setter: Typesetter, token: str) -> None:
    setter.out.append(mark_reference(setter, token))


def _citation(setter: Typesetter, token: str) -> None:
    setter.out.append(mark_citation(setter, token))


def _citations(setter: Typesetter, token: str) -> None:
    setter.out.append(mark_citations(setter, token))


def _page_reference(setter: Typesetter, _token: str) -> None:
    setter.gullet.read_star()
    setter.gullet.read_arg()
    setter.out.append("??")


def _alias(setter: Typesetter, token: str) -> None:
    gullet = setter.gullet
    if token == "\\defcitealias":
        key = argument_name(gullet)
        setter.citations.aliases[key] = setter.line(gullet.read_arg())
        return
    gullet.read_star()
    notes = [note for note in (gullet.read_optional(), gullet.read_optional()) if note is not None]
    text = ", ".join(setter.citations.aliases.get(key.strip(), f"[{key}]") for key in argument_name(gullet).split(","))
    setter.spend_text(text)
    before = setter.line(notes[0]) if len(notes) == 2 else ""
    after = setter.line(notes[-1]) if notes else ""
    text = f"{before} {text}".strip() + (f", {after}" if after else "")
    setter.out.append(f"({text})" if token == "\\citepalias" else text)


def _bibliography(setter: Typesetter, token: str) -> None:
    if token == "\\addbibresource":
        setter.gullet.read_optional()
    setter.citations.files += [part.strip() for part in argument_name(setter.gullet).split(",")]
    end_muted(setter)


def _nocite(setter: Typesetter, _token: str) -> None:
    setter.gullet.read_arg()


def _counter(setter: Typesetter, token: str) -> None:
    name = argument_name(setter.gullet)
    numbering = setter.numbering
    if token == "\\newcounter":
        within = setter.gullet.read_optional()
        numbering.values.setdefault(name, 0)
        if within:
            numbering.tie(name, name_of(within))
        return
    if token in ("\\refstepcounter", "\\stepcounter"):
        current = numbering.current
        numbering.step(name)
        if token == "\\stepcounter":
            numbering.current = current
        return
    value = argument_name(setter.gullet)
    if re.fullmatch(r"-?\d{1,7}", value):
        old = numbering.values.get(name, 0) if token == "\\addtocounter" else 0
        numbering.set(name, old + int(value))


def _within(setter: Typesetter, _token: str) -> None:
    setter.gullet.read_optional()
    child, parent = argument_name(setter.gullet), argument_name(setter.gullet)
    setter.numbering.tie(child, parent)


def _counter_text(setter: Typesetter, token: str) -> None:
    setter.out.append(setter.counter_text(token))


def _the(setter: Typesetter, _token: str) -> None:
    setter.gullet.read_arg()


def _the_counter(setter: Typesetter, token: str) -> None:
    setter.out.append(setter.numbering.number(token[4:]))


# ---- the rest ----


def _drawing(setter: Typesetter, _token: str) -> None:
    r"""`\tikz[…]{…}` or `\tikz …;`: a picture without words."""
    gullet = setter.gullet
    gullet.read_optional()
    if gullet.peek() == "{":
        gullet.read_arg()
        return
    stack = gullet.stack
    while stack and stack[-1] not in (END, PAR):
        _before, semicolon, rest = stack.pop().partition(";")
        if semicolon:
            stack.extend([rest] if rest else [])
            return


def _length(setter: Typesetter, token: str) -> None:
    skip_dimension(setter.gullet)
    if token == "\\hskip":
        setter.space()
    elif token == "\\vskip":
        setter.paragraph()


def _newtheorem(setter: Typesetter, _token: str) -> None:
    gullet = setter.gullet
    star = gullet.read_star()
    name = argument_name(gullet)
    shared = gullet.read_optional()
    word = setter.line(gullet.read_arg())
    within = gullet.read_optional()
    counter = "" if star else name_of(shared) if shared else name
    if within and not star:
        setter.numbering.tie(name, name_of(within))
    setter.theorems[name] = (word, counter)


def _anchor(setter: Typesetter, _token: str) -> None:
    """`\\hypertarget{name}{text}`: the text, and the name as a label."""
    name = argument_name(setter.gullet)
    setter.numbering.labels.setdefault(name, Target("", "section"))
    setter.gullet.push(setter.gullet.read_arg())


_ROWS: list[tuple[str, Handler]] = [
    (" ".join(SECTION_LEVELS), _section),
    ("acknowledgments acknowledgements acknowledgment acknowledgement ack", _acknowledgements),
    ("endacknowledgments", lambda setter, _token: end_muted(setter)),
    ("appendix appendices", _appendix),
    (" ".join(name[1:] for name in _MARKS), _styled),
    (" ".join(name[1:] for name in _SWITCHES), _switch),
    (" ".join(_ACCENTS), _accent),
    ("footnote footnotetext thanks", _footnote),
    ("url nolinkurl path", _url),
    ("mintinline", _code),
    ("href", _href),
    ("\\ newline tabularnewline cr", _newline),
    ("par endgraf", _paragraph),
    ("ensuremath", _ensuremath),
    ("( [", _math),
    ("SI SIrange SIlist si num numrange numlist numproduct ang qty qtyrange qtylist qtyproduct unit", _quantity),
    ("texorpdfstring", _texorpdf),
    ("label", _label),
    (
        "ref eqref autoref cref Cref nameref vref Vref subref Autoref fullref zcref labelcref titleref crefrange Crefrange namecref nameCref namecrefs nameCrefs",
        _reference,
    ),
    ("pageref cpageref autopageref", _page_reference),
    (" ".join(CITATION_STYLES), _citation),
    (" ".join(MULTIPLE_CITATIONS), _citations),
    ("defcitealias citetalias citepalias", _alias),
    ("bibliography addbibresource", _bibliography),
    ("nocite", _nocite),
    ("newcounter setcounter addtocounter refstepcounter stepcounter", _counter),
    ("numberwithin counterwithin @addtoreset", _within),
    (" ".join(name[1:] for name in STYLES), _counter_text),
    ("the", _the),
    ("thesection thesubsection thechapter theequation thefigure thetable", _the_counter),
    ("newtheorem", _newtheorem),
    ("tikz", _drawing),
    (
        "vskip hskip kern mkern lower raise moveleft moveright vglue hglue parindent parskip baselineskip magnification pageno parfillskip fboxsep fboxrule leftmargin rightmargin lineskip itemsep parsep topsep partopsep labelsep labelwidth itemindent listparindent leftmargini emergencystretch spaceskip xspaceskip epsfxsize epsfysize unitlength doublehyphendemerits hoffset voffset topmargin oddsidemargin evensidemargin "
        "textwidth textheight columnwidth linewidth hsize vsize tolerance pretolerance hbadness vbadness hfuzz vfuzz looseness penalty "
        "clubpenalty widowpenalty interlinepenalty leftskip rightskip hangindent hangafter tabcolsep arraycolsep abovedisplayskip "
        "belowdisplayskip abovecaptionskip belowcaptionskip columnsep headheight headsep footskip topskip floatsep textfloatsep intextsep",
        _length,
    ),
    ("hypertarget", _anchor),
]

COMMANDS: dict[str, Handler] = {
    **FRONT,
    **FLOATS,
    **PLAIN,
    **GLOSSARY,
    **{f"\\{name}": handler for names, handler in _ROWS for name in names.split()},
}
COMMANDS["\\ "] = _control_space

#: Names that documents often take for themselves: `\\v` for a vector, `\\wd` for a white dwarf. Their own meaning wins.
OVERRIDABLE = frozenset(
    f"\\{name}"
    for names in [
        " ".join(_ACCENTS),
        "SI SIrange SIlist si num numrange numlist numproduct ang qty qtyrange qtylist qtyproduct unit code ack doi path date keywords",
        "thesection thesubsection thechapter theequation thefigure thetable the cites citename rcite upcite newcite topcaption",
    ]
    for name in names.split()
) | {*GLOSSARY, *PLAIN, *registers()}
