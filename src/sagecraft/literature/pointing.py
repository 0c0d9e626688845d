"""Words by which a text points at the document that it is from, or at a part of it that its reader does not see."""

from __future__ import annotations

import re

#: "this paper", "according to the passage", "Fig 3", "as mentioned above", "we find", "as we will see", "et al", "(Smith & Jones 2010)".
POINTS_OUTSIDE = re.compile(
    r"\b(?:(?:this|the present|the current|our) (?:paper|article|study|work|review|chapter|section|text|book|letter|analysis|manuscript|"
    r"thesis|dissertation|report|module|lesson|passage|excerpt|paragraph|results?|findings?)|"
    r"the (?:passage(?! of)|excerpt|snippet|manuscript)|(?:given|provided|above|following|preceding|previous|next|last|earlier|later) "
    r"(?:text|context|passage|excerpt|section|chapter|paragraph|article|paper|sentence)s?|according to the text|"
    r"(?:mentioned|described|shown|discussed|given|listed|noted|stated|defined|introduced|outlined|presented) (?:above|below|earlier|previously)|"
    r"(?:section|table|figure|fig\.|chapter|appendix|eq\.|equation|eqs\.|equations) ?(?:\(?\d+|\(\??\)|\?)|"
    r"(?:tabs?|figs?|secs?|sects?|app|eqns?|refs?|chap)\.? ?\(?\d|we (?:show|find|present|discuss|describe)|here,? we|"
    r"(?:as|that) we (?:have|saw|will|shall|noted|learned|mentioned)|we (?:(?:will|shall) (?:see|learn|discuss|return|explore)|"
    r"(?:have )?(?:seen|saw|noted|mentioned|learned|discussed))|et al)\b|§ ?\d|[(;] ?see (?:also )?",
    re.IGNORECASE,
)
#: "(Smith 2010)", "Smith & Jones (2010)"; "(May 1990)" is a date, and "Carillon (1990)" a name with its year.
CITES = re.compile(
    r"\((?!(?:January|February|March|April|May|June|July|August|September|October|November|December|Spring|Summer|Autumn|Winter)\b)"
    r"[A-Z][a-z’]+(?:-[A-Z][a-z’]+)?(?: (?:&|and) [A-Z][\w’-]+)?,? (?:19|20)\d\d[a-z]?[);,]|"
    r"\b[A-Z][\w’-]+ (?:&|and) [A-Z][\w’-]+ \((?:19|20)\d\d[a-z]?\)"
)
#: "the authors" of an article that a question names (its title stands as `‹›`) are no leak of it.
AUTHORS = re.compile(r"\bthe authors?\b(?! of ‹›)", re.IGNORECASE)
