"""Boilerplate: lines that web pages and PDF exports put around a text (consent, navigation, sharing, rights).

A line goes only if it is nothing but that: it is matched as a whole, is short, and stands outside mathematics, code and
tables. Sentences that speak of cookies or of rights stay.
"""

from __future__ import annotations

import re

from sagecraft.corpus.clean import normalize_layout

#: A line that is longer is somebody's sentence.
_LONGEST = 200
#: What stands around a line: marks of lists, quotations, emphasis, links that were unpacked, arrows.
_EDGES = " \t-*_>#|•·[]()«»‹›←→↑↓…"
_PATTERNS = (
    # consent
    r"(this|our|the) (web ?)?(site|page|service)s? (uses?|makes use of|sets?) cookies\b.{0,120}",
    r"(by (continuing|using|browsing)|if you continue)\b.{0,60}\bcookies\b.{0,60}",
    r"we( and our partners)? use cookies\b.{0,120}",
    r"(accept|reject|allow|decline|manage)( all)?( optional)? cookies?( settings| preferences)?",
    r"cookie (policy|settings|preferences|notice|consent)s?",
    # navigation
    r"skip to( the)?( main)? (content|navigation|search|footer)",
    r"(back|return|go|jump) to (the )?(top|home( ?page)?|main page|table of contents|index|search)( of (the )?page)?",
    r"(previous|next)( (page|article|post|chapter|section|story))?( ?[|/·] ?(previous|next)( \w+)?)?",
    r"(toggle|open|close|show|hide) (the )?(navigation|menu|sidebar|search)",
    r"(read|load|show|see|view|learn) (more|less|all)( (articles|comments|posts|results))?",
    r"(log|sign) ?in( or (register|sign up|create an account))?|create (an )?account|register now",
    r"(view|download)( (the |this )?(article|paper|chapter|document))?( as)?( ?\(?pdf\)?| full[- ]text| citation)",
    r"loading( ?\.{3}|…)?( please wait\.?)?|please wait\.{0,3}",
    r"you (need|have) to (enable|activate) javascript\b.{0,80}|(please )?enable javascript\b.{0,80}",
    r"(your browser|javascript) (does not support|is (disabled|not (enabled|supported)))\b.{0,100}",
    # sharing
    r"(share|tweet|follow( us)?|find us|like( us)?|pin)( this( \w+)?)?( (on|via|by|to))? "
    r"(facebook|twitter|x|linkedin|reddit|e-?mail|whatsapp|instagram|youtube)"
    r"((,| and| or) (facebook|twitter|x|linkedin|reddit|e-?mail|whatsapp|instagram|youtube))*",
    r"(subscribe|sign up)( (to|for))?( (our|the|a))?( free)?( \w+)? ?(newsletters?|mailing list|e-?mail (alerts?|updates?))",
    # rights
    r"((©|\(c\)|copyright)[ ,:]*)+(\d{4}([–-]\d{2,4})?)?.{0,80}?\.? ?all rights reserved\.?",
    r"all rights reserved\.?",
    r"(terms (of (use|service)|and conditions)|privacy (policy|notice|statement))"
    r"( ?[|/·,&] ?(terms (of (use|service)|and conditions)|privacy (policy|notice|statement)|contact( us)?|imprint))*",
)  # fmt: skip
_BOILERPLATE = re.compile("|".join(f"(?:{pattern})" for pattern in _PATTERNS), re.IGNORECASE)
#: One of these stands in every such line, in lower case. Most texts have none and are not looked at line by line: looking
#: for words is ten times faster than for patterns.
_MARKS = (
    *("cookie", "skip to", " to top", " to the top", " home", "main page", "table of contents", "to index", "to search"),
    *("previous", "next", "navigation", "menu", "sidebar", "search", "more\n", "less\n", "all\n", "more articles"),
    *("comments", "posts", "log in", "login", "sign in", "signin", "account", "register now", "download", "pdf", "loading"),
    *("please wait", "javascript", "facebook", "twitter", "linkedin", "reddit", "on x", "e-mail", "email", "whatsapp"),
    *("instagram", "youtube", "newsletter", "mailing list", "rights reserved", "terms of", "terms and", "privacy"),
)  # fmt: skip


def drop_boilerplate(text: str) -> tuple[str, int]:
    """The text without such lines, and how many went. Headings that are left without text under them stay."""
    lowered = f"{text.lower()}\n"
    if not any(map(lowered.__contains__, _MARKS)):
        return text, 0
    lines: list[str] = []
    fenced, count = False, 0
    for line in text.split("\n"):
        fenced ^= line.lstrip().startswith("```") or line.count("$$") % 2 == 1
        if not fenced and len(line) <= _LONGEST and not line.startswith("#") and _is_boilerplate(line):
            count += 1
        else:
            lines.append(line)
    return (normalize_layout("\n".join(lines)), count) if count else (text, 0)


def _is_boilerplate(line: str) -> bool:
    bare = " ".join(line.strip(_EDGES).split())
    return bool(bare) and _BOILERPLATE.fullmatch(bare) is not None
