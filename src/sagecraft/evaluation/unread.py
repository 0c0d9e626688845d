"""What became of a reply that holds no answer: refused, truncated or unparsed. None of them is passed off as wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from sagecraft.evaluation.plain_text import tidy

#: Characters at the beginning in which a refusal has to stand.
_BEGINNING = 300
_POLITE = (
    r"(?:(?:(?:i'm|i\sam)\s(?:(?:very|so|really|truly)\s)?sorry|sorry|(?:my\s)?apologies|i\sapologi[sz]e|unfortunately|regrettably"
    r"|as\san?\s(?:ai|artificial\sintelligence|(?:large\s)?language\smodel)(?:\s(?:language\s)?(?:model|assistant))?"
    r"|(?:based\son|from|with|given)\sthe\s(?:given\s|provided\s)?(?:information|context|text|question)(?:\s(?:given|provided))?)"
    r"[,.;:!]?\s{0,4}(?:but\s|however,?\s|that\s)?\s{0,4}){0,3}"
)
_CANNOT = (
    r"(?:i|we)(?:\s(?:really|simply|just|currently|honestly|therefore))?"
    r"(?:\s(?:cannot|can't|can\snot|could\snot|couldn't|won't|will\snot|(?:must|have\sto)\sdecline\sto|decline\sto"
    r"|(?:do\snot|don't)\sfeel\scomfortable)"
    r"|(?:'m|\sam|\sare)\s(?:not\sable|unable|not\sallowed|not\spermitted|not\scomfortable|not\sin\sa\sposition)(?:\sto)?)"
    r"\s(?:\w{1,20}ly\s)?(?:answer|determin|provid|help(?!\s(?:but|\w{1,20}ing\b))|assist|comply|choose|choosing|pick|select|respond|giv"
    r"|discuss|say(?!\senough)|tell|decide|identify|fulfil|complet|engag|solv|conclude|do\s(?:that|this|so))"
)
_REFUSAL = re.compile(
    rf"[\s\"'*_#]{{0,8}}{_POLITE}(?:{_CANNOT}"
    r"|(?:i|we)\s(?:do\snot|don't)\s(?:know|have\s(?:enough|sufficient)\s(?:information|context|data))\b"
    r"(?:\s(?:the|which|what)\s[^.!?\n]{0,80})?\s{0,2}(?:[.!,;\n]|\Z|\b(?:to|but|because|as|since)\b)"
    r"|(?:it\sis|it's)\s(?:not\spossible|impossible)\s(?:for\sme\s)?to\s(?:answer|determin|say|tell)"
    r"|(?:this|the)\squestion\s(?:cannot|can't|can\snot)\sbe\sanswered)",
    re.IGNORECASE,
)


def is_refusal(text: str) -> bool:
    """Whether a text that holds no answer begins by declining to give one, or by saying that it does not know; in English."""
    return _REFUSAL.match(tidy(text[: 2 * _BEGINNING])[:_BEGINNING]) is not None


def outcome_of_unread(value: Mapping[str, Any]) -> Literal["refused", "truncated", "unparsed"]:
    """The outcome of a reply that no answer could be read from.

    Args:
        value: of a reply: `finish` as the endpoint has it, `cut` (the answer reached its limit), `closed_by_us` (the thought
            did, and the answer that was then asked for holds none), `answer`.
    """
    if value["finish"] == "refusal":
        return "refused"
    if value["cut"] or value["closed_by_us"]:
        return "truncated"
    return "refused" if is_refusal(value["answer"]) else "unparsed"
