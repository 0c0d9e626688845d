"""What a set of questions gets wrong or gives away before any model is asked.

Repeats and contradictions, and keys that can be told without reading the question.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sagecraft.evaluation.guessing import p_value
from sagecraft.evaluation.numeric import numbers
from sagecraft.evaluation.positions import Choice, position_bias
from sagecraft.evaluation.tasks import LETTERS, Item

#: Questions that a list in the results names.
_MAX_NAMED = 50
#: A skew of the key is told from here on: a set is looked at once, so one in a thousand is rare enough.
_NOTABLE_P = 0.001


def describe_task(items: Sequence[Item]) -> dict[str, Any]:
    """Looks at the questions of a task.

    Args:
        items: all of them, asked or not.

    Returns:
        `n`; `num_options` (how many questions have so many); `repeated`: groups of ids with the same question and options,
        in whatever order; `contradictions`: those of these groups that have different keys; `equal_options`: ids of
        questions two of whose options are the same but for case; each list with its length as `num_…`.
        If keyed by options: `key_positions` (`shares` by letter, χ² against an even spread) and `longest_is_key`
        (see `_longest`); else None.
    """
    repeated, contradictions = _repeats(items)
    equal = [item.id for item in items if len({_plain(option) for option in item.options}) < len(item.options)]
    sizes = defaultdict[int, int](int)
    for item in items:
        sizes[len(item.options)] += 1
    keyed = items[0].answer is not None
    return {
        "n": len(items),
        "num_options": {str(size): sizes[size] for size in sorted(sizes)},
        "num_repeated": len(repeated),
        "repeated": repeated[:_MAX_NAMED],
        "num_contradictions": len(contradictions),
        "contradictions": contradictions[:_MAX_NAMED],
        "num_equal_options": len(equal),
        "equal_options": equal[:_MAX_NAMED],
        "num_options_left_out": sum("options_left_out" in item.extra for item in items),
        "key_positions": _key_positions(items) if keyed else None,
        "longest_is_key": _longest(items) if keyed else None,
    }


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _repeats(items: Sequence[Item]) -> tuple[list[list[str]], list[list[str]]]:
    groups = defaultdict[tuple[str, tuple[str, ...]], list[Item]](list)
    for item in items:
        groups[_plain(item.question), tuple(sorted(map(_plain, item.options)))].append(item)
    repeated = [group for group in groups.values() if len(group) > 1]
    different = [group for group in repeated if len({_right(item) for item in group}) > 1]
    return [[item.id for item in group] for group in repeated], [[item.id for item in group] for group in different]


def _right(item: Item) -> str:
    if item.target:
        return str(numbers(item.target)[0])
    return "" if item.answer is None else _plain(item.options[item.answer])


def _key_positions(items: Sequence[Item]) -> dict[str, Any] | None:
    """Where the keys stand, and whether evenly: a model that always picks one letter gets the share of that letter."""
    keys = [Choice(item.answer, len(item.options)) for item in items if item.answer is not None]
    found = position_bias(keys)
    if found is None:
        return None
    shares = {LETTERS[row["position"]]: row["picks"] / len(keys) for row in found["positions"]}
    return {"shares": shares, **{name: found[name] for name in ("chi_square", "degrees", "p_value")}}


def _longest(items: Sequence[Item]) -> dict[str, Any] | None:
    """How often the longest option is the right one, of the questions that have one longest; and by chance."""
    hits, chances = 0, []
    for item in items:
        lengths = [len(option) for option in item.options]
        if lengths.count(max(lengths)) == 1 and item.answer is not None:
            hits += lengths[item.answer] == max(lengths)
            chances.append(1 / len(lengths))
    if not chances:
        return None
    expected = sum(chances) / len(chances)
    return {
        "n": len(chances),
        "share": hits / len(chances),
        "expected": expected,
        "p_value": p_value(hits, chances),
    }


def notable(facts: Mapping[str, Any]) -> list[str]:
    """What of it a person should know, a line each."""
    lines = []
    if facts["num_contradictions"]:
        groups = "; ".join(", ".join(group[:4]) for group in facts["contradictions"][:3])
        lines.append(f"questions that stand there with different keys: {facts['num_contradictions']} ({groups})")
    if others := facts["num_repeated"] - facts["num_contradictions"]:
        lines.append(f"questions that stand there more than once, each copy counting: {others}")
    if facts["num_equal_options"]:
        named = ", ".join(facts["equal_options"][:4])
        lines.append(f"questions with two equal options: {facts['num_equal_options']} ({named})")
    if facts["num_options_left_out"]:
        lines.append(
            f"questions with more than 10 options, of which wrong ones were left out: {facts['num_options_left_out']}"
        )
    keys = facts["key_positions"]
    if keys and keys["p_value"] is not None and keys["p_value"] < _NOTABLE_P:
        letter = max(keys["shares"], key=lambda name: keys["shares"][name])
        lines.append(
            f"the key is {letter} in {100 * keys['shares'][letter]:.0f} %: a model that prefers this letter gains"
        )
    longest = facts["longest_is_key"]
    if longest and longest["p_value"] < _NOTABLE_P:
        share, chance = 100 * longest["share"], 100 * longest["expected"]
        lines.append(
            f"the longest option is the right one in {share:.0f} % ({chance:.0f} % by chance): lengths tell the key"
        )
    return lines
