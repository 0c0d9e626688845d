"""Problems and solutions without the page around them: pictures, numbers of equations, and pointers to elsewhere are taken out.

An equation of the same document that is named by its number is written out. What then still speaks of a figure, a table or
another problem does not stand alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sagecraft.corpus.sentences import clean_markdown, mask_math, split_sentences, unmask
from sagecraft.synthesis.chains.quantities import mantissas, stated

#: What speaks of something that whoever reads only this does not see.
_POINTS = re.compile(
    r"\b(?:(?<!significant )figures?|figs?\.|diagrams?|graphs?|sketch(?:ed)?|drawing|illustration|photo(?:graph)?s?|picture[ds]?|image shown|"
    r"tables? (?:\d|below|above)|(?:in|from|see|using) (?:the|this) table|appendix|chapters?|(?:this|next|last|later|that|each|in|see) sections?(?! of)|"
    r"the (?:next|previous|last) section|modules?|textbook|(?:in|of) (?:the|this) text|exercises?|(?<!for )examples?|"
    r"(?:preceding|previous|last|earlier|above|next|other) problems?|problems? \d|preceding|previous(?:ly)?|earlier|foregoing|"
    r"aforementioned|(?:Equation|Eq\.|Equations|Part|Step|Law) \(?\d|(?<!is )shown(?! (?:to be|that))|is shown in|depicted|indicated|"
    r"(?:as|from|given|described|discussed|derived|listed|found|seen|defined|mentioned|stated|noted|equations?|expression|number|values?|calculation|formula) (?:above|below|before)|"
    r"we (?:have )?just (?:saw|seen|solved|derived|found|learned|discussed)|(?:as|what) we (?:will|shall|saw|have seen|learned|discussed)|"
    r"(?:the|our|results?) (?:above|below)|the above|the following(?![^.?]*(?::|\([a-c]\)|\ue000))|similar to (?:that|those)(?! (?:of|for|in|which))|check your understanding|simulation)\b"
    r"|\]\(|\bas in part\b",
    re.IGNORECASE,
)
#: Titles of other chapters where they are linked: "(given in Relativity)", "in Capacitors in Series".
_TITLE = re.compile(
    r"\b(?:given|derived|discussed|found|seen|described|introduced|learned|studied|presented|shown|covered) in [A-Z]|"
    r"\b(?:[Ff]rom|[Ii]n|[Ss]ee|[Rr]ecall|[Uu]sing) (?:the )?[A-Z][A-Za-z]+ (?:(?:and|of|in|the|on|to|for|with|a|an) )*[A-Z][A-Za-z]+\b(?<! Union)(?<! States)(?<! Ocean)(?<! Sea)(?<! City)(?<! Hemisphere)(?<! Sun)|"
    r"\b(?:[Ff]rom|[Ss]ee|[Ii]n) [A-Z][a-z]+, [A-Z][a-z]+, and [A-Z]|"
    r"\b(?:in|of) [A-Z][a-z]+(?:-[A-Z][a-z]+)? and [A-Z][a-z]+s\b|"
    r"\([A-Z][a-z]{4,}(?: (?:and|of|in|the|[A-Z][a-z]+))*\)"
)
_PICTURE_WORDS = (
    r"\b(?:figures?|pictures?|illustrations?|photo(?:graph)?s?|images?|diagrams?|graphs?|plots?|drawings?|schematic|sketch|cartoon|"
    r"shows|shown|depicts?|depicted|drawn|labell?ed)\b"
)
_PICTURE = re.compile(rf"\s*\((?![a-h]\) )(?=.{{0,1500}}?{_PICTURE_WORDS}).*\)\s*", re.DOTALL | re.IGNORECASE)
#: A paragraph in brackets beside a problem describes its picture, whatever its words.
_ASIDE_CHARS = 60
_CAPTION = re.compile(r"\s*(?:Figure|Fig\.|Table) \d+\. ")
_LABEL = r"(?:Figures?|Figs?\.?) ?\d+(?: ?\([a-h]\))?(?:(?:,| and| or) (?:Figure )?(?:\([a-h]\)|\d+\b(?! ?[a-zA-Z%])))?"
_ANY = rf"(?:{_LABEL}|Tables? \d+|Appendix [A-Z]|the (?:figure|diagram|picture|sketch|table)(?: below| above)?)"
#: Pointers that a sentence can do without.
_ASIDES = (
    re.compile(
        rf" ?\((?:(?:as|see|also|shown|depicted|illustrated|given|from|in|the|upper|lower|left|right|part|of) ?)*{_ANY}[^()]{{0,60}}(?:\([a-h]\)[^()]{{0,20}})?\)"
    ),
    re.compile(
        rf"(?<!\bis)(?<!\bare)(?<!\bwas)(?<!\bwere)(?<!\bbe)(?<!\bthat)(?<!\bthose),? (?:as )?(?:shown|illustrated|depicted|sketched|drawn|pictured) "
        rf"(?:schematically )?(?:in|by|on) {_ANY},?"
    ),
    re.compile(r"(?:^|(?<=[.?!] ))(?:From|According to|As (?:can be )?seen (?:in|from)) Table \d+, "),
    re.compile(
        r",? (?:as (?:can be )?(?:seen|found|given|listed) (?:in|from)|as (?:given|listed) (?:in|by)|from|taken from|given in|listed in) Table \d+,?(?= |\.|$)"
    ),
)
#: "A force is applied to two blocks, as shown." leaves it to the check of numbers whether the picture is needed.
_BARE_FIGURE = re.compile(
    r"(?<=[a-z\ue001]) Figure \d+(?=[,.])|,? as (?:shown|illustrated)(?: (?:below|above|here))?(?=[,.])"
)
#: The same in steps, whose sentences say what they take from there.
_STEP_ASIDES = (
    re.compile(r"(?:^|(?<=[.?!] ))From [A-Z][a-z]+, (?=we\b|the\b)"),
    re.compile(r",? (?:as )?(?:we )?(?:discussed|found|described|derived|given|noted|mentioned|seen|calculated) (?:earlier|above|before|previously)(?: in this (?:section|chapter))?(?=[,.: ]|$)"),
    re.compile(r"(?:^|(?<=[.?!] ))(?:From|In|Using|With the help of|Looking at|According to) (?:the|our) (?:free-body )?(?:diagram|sketch|figure), "),
    re.compile(
        r"(?:^|(?<=[.?!] ))(?:Using|From|By|With|In) (?:the )?[A-Z][A-Za-z]+ (?:(?:and|of|in|the|on|to|for|with|a|an) )*[A-Z][A-Za-z]+(?: [A-Z][a-z]+)*, (?=we\b|the\b)"
    ),
)  # fmt: skip
#: "… of $1.5\\,\\text{m/s}^{2}?$": a sentence ends outside of its formula.
_PUNCTUATED = re.compile(r"(?<![\\$]),?([.,;:?])\$(?=\s|$)")
_FIGURE_SHOWS = re.compile(
    rf"(?:^|(?<=[.?!] )){_LABEL} (?:shows|is|depicts|illustrates) (?=an?\b)|(?:^|(?<=[.?!] ))In {_LABEL}, "
)
_IN_FIGURE = re.compile(rf"(?:,? as)? (?:in|of) {_LABEL}")
_EQUATION = re.compile(r"(?:the )?\b(?:Equation|Eq\.) ?\(?(\d{1,3})\)?(?:(?:, |: )(?=\ue000))?")
_BY_EQUATION = re.compile(
    r"(?:From|Using|By|According to|With|Applying|Based on) (?:Equation|Eq\.) ?\d+(?:(?:,| and|, and) (?:Equation|Eq\.) ?\d+)*, |"
    r",? (?:as (?:given|stated|defined) (?:by|in)|stated in|given (?:by|in)|using|from|according to|by using) (?:Equation|Eq\.) ?\d+(?=[.,:]|$)"
)
_NUMBERED = re.compile(r"\$\$((?:(?!\$\$).){1,400}?)\\tag\{(\d{1,3})\}\s*\$\$", re.DOTALL)
_MAX_EQUATION_CHARS = 160
#: Words of a problem that is about a picture, once it mentions one.
_NEEDS_PICTURE = re.compile(
    r"\b(?:(?:as|is|are) shown|shown (?:here|below|above)|(?:as|given|seen) (?:above|below)|circuits?|networks?|arrangements?|configurations?|"
    r"label(?:l?ed)|points? [A-Z]\b|directions? (?:as|shown)|frames? [A-Z]\b|resistors?|switch|shaded|dashed|setup|set-up|"
    r"(?:these|those|this|that) (?:curve|path|cycle|vectors?|points?|loop|surface|forces))\b"
)
#: Things that were named before, and nothing else in the problem names them.
_BEFORE = re.compile(
    r"\b(?:the same (?!time|temperature|as|side|number|radius|direction|\w+ (?:as|for))|again|now|another|instead|this (?:time|case|situation)(?! interval)|that (?:time|case)|as before|"
    r"such an?|much (?:shorter|longer|smaller|larger|higher|lower|hotter|cooler|faster|slower)(?! than)|the next|(?:of|in|on|to|for|counteract|solve|from) (?:this|these|those))\b",
    re.IGNORECASE,
)
_OPENS_TIED = re.compile(
    r"(?:We (?:noted|found|saw|showed|have)|It|They|This|These|He|She|The (?:same|other|second)|Repeat|Redo)\b"
)
_DISPLAY = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
_MAX_PROBLEM_CHARS = 900
#: Characters of a problem or a solution that are looked at: pictures and asides of a short one need no more.
MAX_READ_CHARS = 20_000
_MIN_PROBLEM_WORDS = 8


def equations_of(text: str) -> dict[str, str]:
    """The numbered equations of a document: number → formula, those of one row that are short enough to be said again."""
    found: dict[str, str] = {}
    for match in _NUMBERED.finditer(text):
        formula = re.sub(r"\s+", " ", match.group(1)).strip().rstrip(" .,;")
        is_simple = r"\\" not in formula and r"\begin" not in formula and "=" in formula
        # A number that comes twice names two equations, and neither can be told.
        found[match.group(2)] = (
            formula if is_simple and len(formula) <= _MAX_EQUATION_CHARS and match.group(2) not in found else ""
        )
    return {number: formula for number, formula in found.items() if formula}


def points(sentence: str) -> bool:
    """Whether a sentence speaks of a figure, an equation by number, another exercise or chapter."""
    masked = mask_math(sentence)[0]
    return _POINTS.search(masked) is not None or _TITLE.search(masked) is not None


def without_pictures(text: str) -> tuple[str, str]:
    """Markdown without captions and descriptions of pictures, and those."""
    kept: list[str] = []
    pictured: list[str] = []
    for block in text.split("\n\n"):
        if _CAPTION.match(block) or _PICTURE.fullmatch(block) or _is_aside(block):
            pictured.append(block)
            continue
        lines = block.split("\n")
        told = [line for line in lines if not (len(lines) > 1 and _PICTURE.fullmatch(line))]
        pictured += [line for line in lines if line not in told]
        kept.append("\n".join(told))
    return "\n\n".join(kept), "\n".join(pictured)


def _is_aside(block: str) -> bool:
    bare = block.strip()
    return len(bare) > _ASIDE_CHARS and bare[0] == "(" and bare[-1] == ")" and not re.match(r"\([a-k]\) ", bare)


def freed(text: str, equations: Mapping[str, str], in_steps: bool = False) -> tuple[str, bool]:
    """A paragraph on one line without what it can do without: asides to figures and tables, numbers of equations.

    Args:
        text: Markdown.
        equations: of the document (`equations_of`).
        in_steps: of a solution, which also looks back.

    Returns:
        The paragraph, and whether it spoke of a figure.
    """
    had = re.search(r"\b(?:Figure|Fig\.) ?\d", text) is not None
    text = re.sub(r"(?<=[\d.])\*([A-Za-z]{1,3})\*", r"\1", text)  # "0.20*c*"
    masked, formulas = mask_math(_PUNCTUATED.sub(r"$\1", clean_markdown(text)))
    for pattern in (*_ASIDES, *_STEP_ASIDES) if in_steps else _ASIDES:
        masked = pattern.sub("", masked)
    masked = _FIGURE_SHOWS.sub(lambda found: "" if found.group(0).startswith("In") else "Consider ", masked)
    masked = _IN_FIGURE.sub("", masked)
    masked = _BARE_FIGURE.sub("", masked)

    def written(found: re.Match[str]) -> str:
        formula = equations.get(found.group(1))
        if formula is None:
            return found.group(0)
        if found.group(0).endswith((", ", ": ")):
            return "the equation "  # the formula follows anyway
        formulas.append(f"${formula}$")
        return f"the equation \ue000{len(formulas) - 1}\ue001"

    masked = _EQUATION.sub(written, masked)
    masked = _BY_EQUATION.sub("", masked)
    masked = re.sub(r"\s+", " ", masked).strip()
    if text.lstrip("*_ ")[:1].isupper():  # not "where …" behind a formula, which goes on with its sentence
        masked = masked[:1].upper() + masked[1:]
    masked = re.sub(r"(?<=[.?!] )([a-z])", lambda found: found.group(1).upper(), masked)
    return unmask(masked, formulas), had


def question_of(problem: str, equations: Mapping[str, str]) -> tuple[str, bool] | str:
    """The problem on one line and whether it had a picture, or why it does not stand alone.

    Args:
        problem: Markdown.
        equations: of the document.

    Returns:
        A reason: `picture`, `points-elsewhere`, `too-long`, `too-short`, `no-question`, or `tied`.
    """
    if len(problem) > MAX_READ_CHARS:
        return "too-long"
    text, pictured = without_pictures(problem)
    text = re.sub(
        r"(?m)^\s*(?:[-*] )?(?=\([a-h]\))", "", _DISPLAY.sub(lambda found: f"${found.group(1).strip()}$", text)
    )
    if re.search(r"\$\$|(?m:^\|)|!\[", text):
        return "picture"
    question, mentions = freed(text, equations)
    question = _PUNCTUATED.sub(r"$\1", question)
    question = re.sub(r",\$(?=[.?])", "$", question)
    had_picture = bool(pictured) or mentions or re.search(r"\bas (?:shown|illustrated)\b", text) is not None
    masked = mask_math(question)[0]
    question = _plain_end(" ".join(kept for kept in split_sentences(question) if not _is_idle(kept)))
    if points(question):
        return "points-elsewhere"
    if had_picture and (_NEEDS_PICTURE.search(masked) or not re.search(r"[\d$]|\*[A-Za-z]\*", text)):
        return "picture"
    if len(question) > _MAX_PROBLEM_CHARS:
        return "too-long"
    if len(question.split()) < _MIN_PROBLEM_WORDS:
        return "too-short"
    if not question.endswith(("?", ".", "?)", ".)")) or not (question[:1].isalnum() or question[:1] in "($“"):
        return "no-question"
    first = next(iter(split_sentences(question)), "")
    if _BEFORE.search(mask_math(first)[0]) or _OPENS_TIED.match(first) or "*" in mask_math(question)[0]:
        return "tied"
    return (f"Answer each part. {question}" if question.startswith("(a)") else question), had_picture


def _is_idle(sentence: str) -> bool:
    """Whether a sentence of a problem only points elsewhere or remarks, and gives nothing to reckon with."""
    if re.search(r"\b[Yy]our (?:answers?|results?|solution)\b", sentence) and "?" not in sentence:
        return True
    return points(sentence) and not re.search(
        r"[\d$?]|\b(?:[Ff]ind|[Cc]alculate|[Dd]etermine|[Aa]ssume)\b|^In\b", sentence
    )


def _plain_end(question: str) -> str:
    """The problem without brackets around its last sentence: "(Assume that …)"."""
    found = re.search(r"(?<=[.?] )\(([A-Z][^()]+[.?])\)$", question)
    if not found:
        return question
    said = found.group(1)
    is_spare = re.search(r"\b(?:answer|useful|significant figures)\b", said)
    return (question[: found.start()] + ("" if is_spare else said)).strip()


def steps_of(text: str, equations: Mapping[str, str], drops: bool = False) -> list[str] | None:
    """The paragraphs of a solution, without sentences that only point elsewhere; None where a formula's sentence does.

    Args:
        text: Markdown.
        equations: of the document.
        drops: leave out what points elsewhere, formulas or not (strategies are no steps).
    """
    kept: list[str] = []
    text = without_pictures(text)[0]
    text = re.sub(r"(?m)^(?=(?:- |\d\. )\S)", "\n", text)  # an entry of a list is a paragraph of its own
    for block in re.split(r"\n\s*\n", text):
        block = re.sub(r"(?m)^\s*(?:- (?=\())?", "", block).strip()
        if not block:
            continue
        if block.startswith("|"):
            return None
        if block.startswith("$$"):
            kept.append(re.sub(r"\s*\\tag\{\d+\}", "", block))
            continue
        sentences = split_sentences(freed(block, equations, in_steps=True)[0])
        told = [sentence for sentence in sentences if not points(sentence)]
        if not drops and any(
            points(sentence)
            and ("$" in sentence or re.search(r"\d", re.sub(rf"{_ANY}|(?:Example|Step) \d+", "", sentence)))
            for sentence in sentences
        ):
            return None
        paragraph = " ".join(told)
        if paragraph.count("(") != paragraph.count(")") and not drops:
            return None
        if told and paragraph.count("(") == paragraph.count(")"):
            kept.append(paragraph)
    return kept


def says_all(question: str, way: str, pictured: str) -> bool:
    """Whether every number that steps begin with is in the problem, or is known: none was read off a picture.

    Args:
        question: the problem.
        way: the steps.
        pictured: what captions and descriptions say, where there are any; a number of the steps that they do not hold was
            reckoned.
    """
    known = mantissas(question)
    shown = mantissas(pictured) - mantissas("") if pictured else None
    for number, is_result in stated(way):
        if is_result:
            known.add(number)
        elif (
            (shown is None or number in shown)
            and number not in known
            and not any(
                min(len(number), len(one)) > 1 and (one.startswith(number) or number.startswith(one)) for one in known
            )
        ):
            return False
    return True
