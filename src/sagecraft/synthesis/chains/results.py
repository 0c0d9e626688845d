"""What the steps of a solution come to: the sentence or the formula with the result, of each part if there are several."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sagecraft.artifact import keyed_hash
from sagecraft.corpus.sentences import mask_math, split_sentences
from sagecraft.literature import english
from sagecraft.synthesis.chains.quantities import dimensions_of_noun, known_symbols, plain, quantity_of, same_quantity
from sagecraft.synthesis.chains.standing import points

#: Two things asked at once come to two results.
_TWO = re.compile(
    r"\b(?:find|calculate|compute|determine|estimate|what (?:is|are|was|were|would)|how|why)\b"
    r"(?:(?!\b(?:when|if|between|given|where|after|until|so that|while|from|with|at|assuming)\b)[^.?;]){0,200},? and (?:what|how|the|an?|its|their|his|her|at what)\b|"
    r"(?:\b(?:what|how|why|find|calculate|compute|determine|estimate)|(?:^|(?<=[.?!,] ))(?:where|when|which))\b[^.?;]{0,200},? and "
    r"(?:(?:in |at |to |by )?what|how|find|calculate|determine|compute|estimate|describe|explain|show|compare|which|why)\b|"
    r"\bboth\b|\brespectively\b|\b(?:of|does|do|did|will|would|is|on|in|by|through|across) each\b(?! (?:second|minute|hour|day|year|rocket|cycle))|\beach (?:of|case|time|one)\b|"
    r"\bwhat (?:\w+[^s\W]s )?(?:are|were)\b|\bcompare\b|\bshow that\b|"
    r"\b(?:explain|describe|sketch|plot|draw|prove|verify|discuss|design)\b|\bcomponents\b|\bcomponent form\b|\bwhat if\b|\bwhat [\w-]+ and [\w-]+\b",
    re.IGNORECASE,
)
_COMMANDS = r"(?:^|(?<=[.;:,)] )|(?<=\bto )|(?<=\band )|(?<=\b[Ll]et’s ))(?:find|calculate|determine|compute|estimate|evaluate|derive|express|convert|obtain|restate)\b(?! that)"
#: A sentence that asks.
_ASKS = re.compile(rf"\?\W*$|{_COMMANDS}", re.IGNORECASE)
#: Several results by one command: "the lowest three levels", "the amplitude, period, and speed".
_SEVERAL = re.compile(
    rf"(?:{_COMMANDS}|\bwhat (?:is|was)\b):? (?:the |its |their )?(?:(?!between|of|for|from|in|at|on|by|to)[\w-]+ ){{0,4}}?(?:two|three|four|five|several|values|energies|speeds|forces|masses|angles|"
    rf"levels|lengths|currents|voltages|wavelengths|velocities|times|distances|fields)\b|"
    rf"(?:{_COMMANDS}|\bwhat (?:is|was)\b)[^.?]*?, (?!assuming|given|if|when|where)[\w ]{{1,40}},? and\b|"
    rf"(?:{_COMMANDS}|\bwhat (?:is|was)):? (?:\(a\) )?(?:the|its|their) (?:(?!\b(?:of|for|between|in|on|by|from|with|to|at|that)\b)[\w -]){{1,50}} and "
    rf"[\w -]{{1,40}}|before and after",
    re.IGNORECASE,
)
#: Something else that is to be done beside.
_MORE = re.compile(
    r"(?:^|[.?!;] |\([a-k]\) )(?:Compare|Explain|Describe|Discuss|Verify|Repeat|Sketch|Draw|Plot|Show|List|Identify|Give|State|Prove|Check|Justify|Comment)\b|\bknowns\b|"
    r"\b[Ww]hat (?:material|kind|type|sort|element|substance)\b"
)
#: Words of a sentence that remarks on a result.
_REMARKS = frozenset(
    {"also", "too", "well", "reasonable", "reasonably", "typical", "surprising", "surprisingly", "compared"}
)
_PART = re.compile(r"(?:^|(?<=\s))(?:- )?\(([a-k])\)\s")
#: "Therefore, the energy released is" as the head of a sentence with the result.
_LEAD = re.compile(
    r"^(?:(?:Therefore|Thus|Hence|So|Then|Now|Finally|Consequently|As a result|Accordingly|We find that|We see that|And),? )*"
    r"((?:[Tt]he|[Ii]ts|[Aa]n?) (?![^.]*\bthis\b)[^,.;:$\ue000]{4,110}? (?:is|are|was|were|equals|becomes|must be|would be|will be|is equal to|is about|is approximately))"
    r"(?: then| thus| therefore| given by| simply| just| now)*[ :,]*$"
)
_LEFT = re.compile(r"[^\d=<>]{1,24}(?:\d?[^\d=<>]{0,24}){0,2}")
#: The noun that is asked for: "What is the average speed of", "find its mass", "how far".
_NOUN = re.compile(
    rf"(?:\b[Ww]hat (?:is|was|will be|must be|would be|should be)|{_COMMANDS}|\b[Ww]hat) (?:(?:the|its|his|her|their|an?) )?"
    rf"(?:(?:magnitude|value|size|amount|rate) of (?:the |its |an? )?)?(?:[\w’'-]+ ){{0,4}}?([a-z]+)"
    rf"(?=[?.]| (?:of|for|in|on|at|when|if|from|to|between|that|is|was|does|do|did|must|required|needed|after|before|\ue000|through|across|with|by|as|\w+ed)\b)|"
    rf"\b([Hh]ow (?:far|fast|long|high|deep|tall|wide|much (?:work|energy|heat|power|time|force|mass|charge)))\b",
    re.IGNORECASE,
)
_RELATION = re.compile(r"=|\\approx|\\simeq|\\cong|≈")
_SO = re.compile(r"\\(?:Longr|R|long)ightarrow\b|\\longrightarrow\b|\\to\b|\\rightarrow\b|⇒|→")
#: A continuation of the sentence of a formula that adds nothing to it.
_TAIL = re.compile(r"(?:or|which|where|with|as|so|in which|since|because|in agreement|just|for)\b")
_ANOTHER = re.compile(
    r"=[^=]*(?:(?<!\\)[,;]|\\q?quad)(?:\\[,;!]|\}|\s|\\q?quad)*\|?\\?[A-Za-z][^=]{0,90}=|"
    r"=[^=]*\\,\s?[A-Za-z](?:_\{?\w{1,9}\}?)?(?:\^\{?\\prime\}?)?\s?="
)
#: What checks a result and does not go on from it.
_CHECKS = re.compile(
    r"(?:The|This|Our|Your) (?:result|answer|value|expression)s? (?:makes? sense|agrees?|is (?:consistent|reasonable|in agreement))|As a check|To check|This (?:makes sense|agrees)"
)
_WRAP = re.compile(r"\\(?:begin|end)\{(?:aligned|array|gathered|split)\}(?:\{[lcr|\s]{0,20}\})?")
_MAX_EXPRESSION_CHARS = 220
_SAID = (
    "The result is", "The answer is", "This comes to", "We arrive at", "So we obtain", "The steps come to", "Altogether this gives",
    "It follows that",
)  # fmt: skip
#: A command, words in a formula, or a letter.
_TOKEN = re.compile(
    r"\\(?!text|mathrm|textrm|operatorname)([A-Za-z]+)|\\(?:text|mathrm|textrm|operatorname)\s?\{([^{}]{0,80})\}|([A-Za-zα-ωΑ-Ω])"
)
_BOLD = re.compile(r"\\(?:boldsymbol|mathbf|vec|hat|bar)\s?\{$")
#: A subscript, behind the brackets of what it belongs to.
_BELOW = re.compile(r"[}\s]{0,6}_(?:\{((?:[^{}]|\{[^{}]{0,60}\}){1,80})\}|(\w))")
_TYPOGRAPHY = frozenset(
    [
        "cancel",
        "mathbf",
        "boldsymbol",
        "vec",
        "hat",
        "bar",
        "overline",
        "mathit",
        "rm",
        "mathcal",
        "tilde",
        "dot",
        "ddot",
    ]
)
#: Commands that are no symbols.
_OPERATORS = frozenset(
    [
        "frac",
        "dfrac",
        "tfrac",
        "sqrt",
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
        "ln",
        "log",
        "exp",
        "left",
        "right",
        "cdot",
        "times",
        "pm",
        "mp",
        "int",
        "sum",
        "partial",
        "infty",
        "to",
        "quad",
        "qquad",
        "displaystyle",
        "circ",
        "prime",
        "leq",
        "geq",
        "approx",
        "degree",
        "big",
        "Big",
        "bigg",
        "Bigg",
        "rm",
        "max",
        "min",
        "lim",
    ]
)


def parts_of(text: str) -> dict[str, str]:
    """The texts of the parts (a), (b), …; empty where there are none."""
    marks = list(_PART.finditer(text))
    letters = "".join(mark.group(1) for mark in marks)
    if len(letters) < 2 or not "abcdefghijk".startswith(letters):
        return {}
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    return {mark.group(1): text[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)}


def before_parts(text: str) -> str:
    """What stands before the part (a)."""
    first = _PART.search(text)
    return text[: first.start()].strip() if first else text


def asks_more(text: str) -> bool:
    """Whether more than one thing is asked, or something that is no result."""
    masked = re.sub(r"\((?![a-k]\))[^()]*\)", "", mask_math(text)[0])
    asking = [sentence for sentence in re.split(r"(?<=[.?!]) ", masked) if _ASKS.search(sentence)]
    asked = " ".join(asking) or masked
    is_many = _MORE.search(masked) or _TWO.search(asked) or _SEVERAL.search(asked)
    return len(asking) > 1 or masked.count("?") > 1 or bool(is_many)


def asks(text: str) -> bool:
    """Whether a text asks for anything."""
    return any(_ASKS.search(sentence) for sentence in re.split(r"(?<=[.?!]) ", mask_math(text)[0]))


def told_beside(text: str) -> str | None:
    """What a part says behind its question, which others may need; None where that cannot be told without it.

    What stands before the question is its own condition: "(b) Now the brake is released. How far does it go? Neglect friction."
    """
    sentences = split_sentences(text)
    bare = [mask_math(sentence)[0] for sentence in sentences]
    is_asking = [bool(_ASKS.search(one) or _MORE.search(one)) for one in bare]
    if not any(is_asking):
        return "" if len(sentences) == 1 else None  # "(b) the universe." goes on with what the stem asks
    told = sentences[len(sentences) - is_asking[::-1].index(True) :]
    is_tied = any(re.match(r"(?:It|They|This|These|That|If|Then|He|She)\b", one) or "(" in one for one in told)
    return None if is_tied else " ".join(told)


def is_of_kind(answer: str, asked: str) -> bool:
    """Whether a result may be what is asked for: "What is the speed of …?" is answered by no power.

    Args:
        answer: a sentence with the result.
        asked: the sentence that asks, in a text.
    """
    masked = re.sub(r"\((?![a-k]\))[^()]*\)", "", mask_math(asked)[0])
    nouns = [one or other for one, other in _NOUN.findall(masked)]
    wanted = dimensions_of_noun(re.sub(r"\s+", " ", nouns[-1].lower())) if nouns else None
    values = re.findall(r"\$([^$]+)\$", answer)
    found = quantity_of(f"${values[-1]}$") if values else None
    if wanted is None or found is None or not found.unit:
        return True
    return found.is_known and found.dimensions in wanted


def conclusion(way: str, question: str) -> str | None:
    """The sentence that steps end with: their last formula with its value, or their last sentence if it states one.

    Args:
        way: steps, by paragraph.
        question: the problem with its stem, whose symbols a result may use.

    Returns:
        None where what the steps end with is no result.
    """
    blocks = [block for block in re.split(r"\n\n", way) if block.strip()]
    while blocks and not blocks[-1].startswith("$$") and _is_tail(blocks[-1], len(blocks) > 1):
        blocks.pop()
    if not blocks:
        return None
    last = blocks[-1]
    display = re.fullmatch(r"\$\$(.+?)\$\$", last, re.DOTALL)
    if display is None:
        last = _without_remarks(last)
        sentence = _last_sentence(last)
        return sentence if sentence and not points(sentence) else _last_formula(last, question)
    result = result_in(display.group(1), question)
    if result is None or _is_last_of_several(blocks, question):
        return None
    before = split_sentences(blocks[-2])[-1:] if len(blocks) > 1 and not blocks[-2].startswith("$$") else []
    lead = _LEAD.match(before[0]) if before else None
    return f"{lead.group(1)[0].upper()}{lead.group(1)[1:]} ${result}$." if lead else said(result)


def _without_remarks(block: str) -> str:
    """A paragraph without sentences at its end that hold neither number nor equality."""
    sentences = split_sentences(block)
    while len(sentences) > 1 and not re.search(r"[\d=]", sentences[-1]):
        sentences.pop()
    return " ".join(sentences)


def said(result: str) -> str:
    """A formula as a sentence, worded by its hash: of one wording a model would learn the wording."""
    return f"{_SAID[keyed_hash('result', result) % len(_SAID)]} ${result}$."


def _is_last_of_several(blocks: list[str], question: str) -> bool:
    """Whether a formula and the one before it, joined by a word, give two values of one quantity."""
    if len(blocks) < 3 or not re.fullmatch(r"(?:and|or)\W*", blocks[-2]) or not blocks[-3].startswith("$$"):
        return False
    values = [result_in(block.strip("$"), question) or "" for block in (blocks[-1], blocks[-3])]
    names = [value.partition("=")[0].strip() for value in values]
    one, other = (quantity_of(f"${value}$") for value in values)
    is_said_again = one is not None and other is not None and same_quantity(one, other)  # "75 000 V, or 75 kV"
    return names[0] == names[1] and not is_said_again


def _is_tail(block: str, has_more: bool) -> bool:
    """Whether a paragraph only remarks on the formula before it."""
    if not has_more:
        return False
    masked, formulas = mask_math(block)
    if _CHECKS.match(masked):
        return True
    is_one = len(split_sentences(block)) == 1
    if is_one and (_TAIL.match(masked) or re.match(r"(?:[Ww]here|[Ww]hich)\b", masked)):
        return masked.startswith(("where", "Where", "or ")) or not any("=" in formula for formula in formulas)
    if masked.startswith("Note that"):
        return not any("=" in formula for formula in formulas) and not re.search(r"(?<!\ue000)\d(?!\d*\ue001)", masked)
    return not formulas and not re.search(r"\d", masked)


def result_in(formula: str, question: str) -> str | None:
    """`a = 3.39\\,\\text{m/s}^{2}` of a chain of equalities that ends with a number, or with what the question names.

    Args:
        formula: LaTeX between its dollar signs.
        question: the problem.
    """
    if re.search(r"\\text\{[^{}]*\bor\b[^{}]*\}[^=]*=|\\pm\b", formula):
        return None  # two results
    if re.search(r"\\begin\{(?!aligned|array|gathered|split)|&\s*&|\\text\{\s*and\s*\}", formula):
        return None
    rows = [row.replace("&", "").strip() for row in re.split(r"\\\\", _WRAP.sub("", formula))]
    if any(_ANOTHER.search(re.sub(r"\([^()]*\)", "", row)) for row in rows[-1:]):
        return None  # "r = 9.2, \\quad \\theta = 77": two results
    rows = [_SO.split(row)[-1].strip() for row in rows if row.strip(" .,")]
    if not rows or not _RELATION.search(rows[-1]):
        return None
    lefts = [_RELATION.split(row)[0].strip() for row in rows]
    left = next((left for left in reversed(lefts) if left), "")
    left = re.sub(r"^(?:\\text\{[^{}]*\}|\\[,;]|\s)+(?=\\?[A-Za-z])(?!\\text)", "", left) if "so that" in left else left
    *between, right = (part.strip().rstrip(" .,;") for part in _RELATION.split(rows[-1]))
    right = re.sub(r"\s*to (?:two|three) significant figures", "", right)
    right = re.sub(r"[,\s]*\\text\{[,\s]*or\s*(?:about\s*)?\}.*$", "", right)
    right = re.sub(r"(?:[.,;]|\\[,;])+(\}*)$", r"\1", right)
    left = re.sub(r"\s*\((?:[A-Za-z]|x,\s*t)\)$", "", left)
    if (
        not left
        or not right
        or left.count("(") != left.count(")")
        or re.search(r"[<>;]|\\(?:leq|geq|neq|pm)\b|\\[lg]e\b", f"{left}{right}")
    ):
        return None
    value = quantity_of(f"${right}$")
    if value is not None and not value.is_known and len(re.findall(r"[A-Za-z]{2,}", plain(right))) > 2:
        return None  # "5.00 times greater than the weight"
    if value is not None:
        before = quantity_of(f"${between[-1]}$") if len(between) > 1 else None
        if before is not None and same_quantity(before, value) is False:
            return None  # "= 1.09 m^3 = 1.98e8 N/m^2": a slip of the book
        if not set(_symbols(left)) and re.search(r"\d", left):
            return right  # what comes to it has no name: "(2.0 kg)(3.0 m/s) = 6.0 kg m/s"
        if re.search(r"\\(?:vec|hat)\b", left) and "|" not in left:
            return None
        bare = re.sub(r"[_^](?:\{[^{}]*\}|\w)|\([^()]*\)", "", left)
        return f"{left} = {right}" if _LEFT.fullmatch(plain(bare)) else None
    return f"{left} = {right}" if _is_expression(left, right, question) else None


def _is_expression(left: str, right: str, question: str) -> bool:
    """Whether a formula is a result in symbols: in those of the question, and in constants that everyone knows."""
    is_name = re.fullmatch(r"\\?[A-Za-z]+(?:_\{[^{}]*\}|_\w)?", right) is not None
    if (
        (is_name and right not in known_symbols())
        or len(right) > _MAX_EXPRESSION_CHARS
        or len(left) > 40
        or "," in re.sub(r"\\,|\([^()]*\)", "", right)
    ):
        return False
    used = set(_symbols(right))
    named = set(_symbols(" ".join(re.findall(r"\$([^$]+)\$", question))))
    named |= set(re.findall(r"(?<![\w-])[A-Za-z](?![\w-])(?!\ue000)", mask_math(question)[0]))
    wanted = used - known_symbols() - named
    if used and used <= {"i", "j", "k"} and re.search(r"\\hat", right):
        return True  # a vector by its components
    # An equation of numbers that stops short of its value, or one in symbols that nobody has introduced, is no result.
    return bool(used & named) and not wanted and set(_symbols(left)).isdisjoint(used)


def _symbols(formula: str) -> Iterator[str]:
    """The symbols of a formula with their subscripts, without units, operators and typography."""
    position = 0
    while found := _TOKEN.search(formula, position):
        position = found.end()
        name = found.group(1) or found.group(3)
        if found.group(2) is not None:  # a word or a unit, unless it is one bold letter
            if len(found.group(2)) != 1 or not _BOLD.search(formula[: found.start()]):
                continue
            name = found.group(2)
        if name in _OPERATORS or name in _TYPOGRAPHY:
            continue
        below = _BELOW.match(formula, position)
        if below:
            position = below.end()
            inner = re.sub(
                r"\\(?:text|mathrm|textrm|mathbf|boldsymbol)|[{}\s\\,]", "", below.group(1) or below.group(2)
            )
            yield f"{name}_{inner}"
        else:
            yield name


def _last_formula(block: str, question: str) -> str | None:
    """The formula that a paragraph ends with, if it comes to a result and nothing but words stands behind it."""
    formulas = list(re.finditer(r"\$([^$]+)\$", block))
    if not formulas or re.search(r"[\d=]", block[formulas[-1].end() :]) or block.count("$") % 2:
        return None
    before = re.sub(
        r"(?:^|(?<=[.?!] ))(?:Therefore|Thus|Hence|So|Then|Finally|Consequently),? $", "", block[: formulas[-1].start()]
    )
    if re.search(r"(?:\b(?:and|or|where|with|for|if|when|since|because|using|given|at|than|of)|[,;]) ?$", before):
        return None
    result = result_in(formulas[-1].group(1), question)
    return said(result) if result else None


def _last_sentence(block: str) -> str | None:
    sentence = (split_sentences(block) or [""])[-1]
    sentence = re.sub(
        r"^(?:Therefore|Thus|Hence|So|Then|Finally|Consequently|Now|As a result|Accordingly),? ",
        "",
        sentence[:1].upper() + sentence[1:],
    )
    sentence = re.sub(r"^We (?:solve to |then |can )?(?:find|see|obtain|conclude) that (?=[a-z])", "", sentence)
    if sentence.startswith("$") and sentence.count("=") > 1:
        return None  # a chain of equalities is no sentence; its end is looked for elsewhere
    if alone := re.fullmatch(r"\$([^$]+)\$\.?", sentence):
        return said(result) if (result := result_in(alone.group(1), "")) else None
    masked = mask_math(sentence)[0]
    is_whole = (
        sentence.endswith(".") and 5 <= len(sentence.split()) <= 40 and sentence.count("(") == sentence.count(")")
    )
    is_tied = re.match(
        r"(?:To help|This|These|That|It|They|He|She|Which|Note|Notice|Since|If|We|Using|Solving|Rearrang\w*|Substitut\w*|Entering|Inserting|Here|Where|Therefore|Because|However|But|From|Recall|Or)\b",
        sentence[:1].upper() + sentence[1:],
    )
    states = any(quantity_of(formula) for formula in re.findall(r"\$[^$]+\$", sentence)) or re.search(
        r"\d [a-zA-Z%]", masked
    )
    found = set(english.words(masked))
    has_verb = "=" in sentence or found & (
        set(english.AUXILIARIES.split("|")) | english.THIRD.keys() | english.PAST.keys()
    )
    if (
        not is_whole
        or is_tied
        or not states
        or not has_verb
        or found & _REMARKS
        or re.search(r"\b(?:you|your|we|us|our)\b", masked)
    ):
        return None
    return sentence[:1].upper() + sentence[1:]
