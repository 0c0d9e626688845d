"""Words by which a text points at the document that it is from, or at a part of it that its reader does not see."""

from __future__ import annotations

import re

#: "this paper", "Figure 3", "we find", "et al".
POINTS_OUTSIDE = re.compile(
    r"\b(?:(?:this|the present|the current|our) (?:paper|article|study|work|review|chapter|section|text|book|letter|analysis)|"
    r"(?:section|table|figure|fig\.|chapter|appendix|eq\.|equation|eqs\.|equations) ?(?:\(?\d+|\(\??\)|\?)|we (?:show|find|present|discuss|describe)|"
    r"et al)\b|[(;] ?see (?:also )?",
    re.IGNORECASE,
)
#: "the authors" of an article that a question names (its title stands as `‹›`) are no leak of it.
AUTHORS = re.compile(r"\bthe authors?\b(?! of ‹›)", re.IGNORECASE)
