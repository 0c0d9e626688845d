"""The thought of a grounded answer: what is asked, the sentence that decides it, and how the answer follows.

Worded in many ways, chosen by a keyed hash, so that a model learns to recall and conclude and not one phrase. It says
nothing that the sentence does not: a thought of the offline teacher is a recollection, not a derivation.
"""

from __future__ import annotations

import re

from sagecraft.artifact import keyed_hash
from sagecraft.synthesis.candidate import Candidate

_OPEN = (
    "The question is about {focus}.",
    "I am asked about {focus}.",
    "What is wanted here: {focus}.",
    "Let me see: this concerns {focus}.",
    "First, what is being asked? It is {focus}.",
    "So I need {focus}.",
)
_RECALL = (
    "What I recall is this: {ground}",
    "The relevant fact is: {ground}",
    "I know the following. {ground}",
    "Going by what I have learned: {ground}",
    "Here is what bears on it: {ground}",
    "I remember that this is put as follows: {ground}",
)
#: Kind → how the answer follows from the sentence; `{key}` is the deciding part.
_CONCLUDE: dict[str, tuple[str, ...]] = {
    "number": (
        "The figure in it is {key}, so that is the value to give, with its unit.",
        "That fixes the value: {key}.",
        "So the number I want is {key}; I should state what it belongs to as well.",
        "The quantity asked for is the one the statement gives, namely {key}.",
    ),
    "event": (
        "The date is {key}, so the answer is settled.",
        "It says {key}, which is just what is asked.",
        "So the time is {key}.",
        "What counts here is the date: {key}.",
    ),
    "person": (
        "The part that answers it is: {key}.",
        "That tells me what I need: {key}.",
        "Matching the question with this, I get: {key}.",
    ),
    "cause": (
        "The reason it names is: {key}.",
        "The link is stated there: {key}. I can answer with it.",
        "So what lies behind it is {key}.",
        "Cause and effect are both in this: the cause is {key}.",
    ),
    "comparison": (
        "The comparison comes out as: {key}.",
        "So, setting the two side by side: {key}.",
        "Which way does it go? It says {key}.",
    ),
    "method": (
        "The way it is done is: {key}.",
        "So the procedure is {key}.",
        "That describes how: {key}.",
    ),
    "equation": (
        "The relation itself is {key}; the symbols have the meaning given with it.",
        "So I should write down {key}.",
        "The formula that belongs to it is {key}.",
    ),
    "consequence": (
        "Given that condition, what follows is: {key}.",
        "So under this condition: {key}.",
        "The condition leads to this: {key}.",
    ),
    "metadata": ("That is a matter of record: {key}.", "The record says {key}."),
}
_GENERAL_KEY = (
    "The part that answers it is: {key}.",
    "From this I take: {key}.",
    "So what I need to say is: {key}.",
    "That comes down to {key}.",
)
_GENERAL = (
    "That says it directly, so I can answer with it.",
    "This covers the question; I will put it plainly.",
    "Nothing more is needed than to say this clearly.",
    "With that the answer is clear.",
)


def thought(candidate: Candidate, ground: str, seed: int, name: str) -> str:
    """The thought before the answer.

    Args:
        candidate: question and answer.
        ground: the grounded sentence, as it stands in the document; the candidate's own `recall` goes before it.
        seed: of the stage.
        name: of the row; it chooses the wording.
    """
    ground = candidate.recall or ground
    recall = f"“{ground}”" if candidate.kind != "metadata" else ground
    parts = [
        _pick(_OPEN, seed, name, "open").format_map(_Slots(focus=candidate.focus)),
        _pick(_RECALL, seed, name, "recall").format_map(_Slots(ground=recall)),
    ]
    if candidate.key and len(candidate.key) <= 240:
        conclude = _CONCLUDE.get(candidate.kind, _GENERAL_KEY)
        parts.append(_pick(conclude, seed, name, "conclude").format_map(_Slots(key=candidate.key)))
    else:
        parts.append(_pick(_GENERAL, seed, name, "conclude"))
    glue = " " if keyed_hash(seed, name, "glue") % 2 else "\n"
    return re.sub(r"([.?!])\.(?=\s|$)", r"\1", glue.join(parts))


class _Slots(dict[str, str]):
    """Values for `format_map`, which does not look into them: braces in a formula are text."""


def _pick(forms: tuple[str, ...], seed: int, name: str, part: str) -> str:
    return forms[keyed_hash(seed, "thought", name, part) % len(forms)]
