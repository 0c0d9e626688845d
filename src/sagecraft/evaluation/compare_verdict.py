"""What a comparison comes to, in sentences that its figures allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sagecraft.reporting.plots import three_figures

#: Names listed in a sentence, characters of a name, and the share of unreadable answers that is spoken of.
_MAX_NAMES = 6
_MAX_NAME = 40
_UNREAD = 0.02

Model = Mapping[str, Any]


def reference_of(models: Sequence[Model], against: Literal["all", "first"]) -> str:
    """The model that others are told by: the first where only it was tested against, else the best."""
    best = models[0] if against == "first" else max(models, key=_by_accuracy)
    return str(best["name"])


def ordered(models: Sequence[Model]) -> list[Model]:
    """From the best to the worst; equals as they were given."""
    return sorted(models, key=_by_accuracy, reverse=True)


def _by_accuracy(model: Model) -> float:
    """On the questions that all answered, if there are any: then nobody leads for having had easier ones."""
    accuracy = model["accuracy"] if model["accuracy_shared"] is None else model["accuracy_shared"]
    return float(accuracy)


def versus(results: Mapping[str, Any]) -> list[tuple[str, float, tuple[float, float], Mapping[str, Any]]]:
    """Each model against the reference, the best first: name, difference from it, its interval, the pair tested."""
    reference, found = results["reference"], {}
    for pair in results["pairs"]:
        low, high = pair["ci95"]
        if pair["a"] == reference:
            found[pair["b"]] = (pair["difference"], (low, high), pair)
        elif pair["b"] == reference:
            found[pair["a"]] = (-pair["difference"], (-high, -low), pair)
    return [(name, *found[name]) for model in ordered(results["models"]) if (name := model["name"]) in found]


def unanswered(model: Model) -> int:
    """Items without a readable answer: they count as not right."""
    return sum(count for outcome, count in model["outcomes"].items() if outcome not in ("correct", "wrong"))


def cut(name: str) -> str:
    """A name as a sentence has it."""
    text = " ".join(name.split())
    return text if len(text) <= _MAX_NAME else text[: _MAX_NAME - 1].rstrip() + "…"


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them."""
    if len(names) > _MAX_NAMES:  # never "1 other", which has a name
        shown = [*map(cut, names[: _MAX_NAMES - 1]), f"{len(names) - _MAX_NAMES + 1} others"]
    else:
        shown = list(map(cut, names))
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def usd(value: float | str) -> str:
    """USD as text, to three figures."""
    return value if isinstance(value, str) else "0 USD" if value == 0 else f"{three_figures(value)} USD"


def verdict(results: Mapping[str, Any], alpha: float) -> list[str]:
    """The sentences of the page's head: who is ahead of whom, what it costs, and what else must be known."""
    sentences = _of_two(results) if len(results["models"]) == 2 else _of_many(results, alpha)
    sentences += [*_guessing(results, alpha), *_costs(results)]
    poor = [m for m in ordered(results["models"]) if unanswered(m) > _UNREAD * m["n"]]
    if poor:
        told = [f"{cut(m['name'])} {100 * unanswered(m) / m['n']:.1f} %" for m in poor]
        sentences.append(f"Left without a readable answer, which counts as not right: {listed(told)}.")
    return sentences


def _guessing(results: Mapping[str, Any], alpha: float) -> list[str]:
    """Who is not shown to be better than guessing, by the test that its evaluation made."""
    tested = [(m["name"], m["guessing"], m["accuracy"]) for m in ordered(results["models"]) if m.get("guessing")]
    poor = [name for name, found, accuracy in tested if found["p_value"] >= alpha or accuracy <= found["accuracy"]]
    if not poor:
        return []
    if len(poor) == len(results["models"]):
        return ["None of them is shown to be better than guessing."]
    return [f"Not shown to be better than guessing: {listed(poor)}."]


def _of_two(results: Mapping[str, Any]) -> list[str]:
    pair = results["pairs"][0]
    sign = 1 if pair["difference"] >= 0 else -1
    better, worse = (cut(pair["b"]), cut(pair["a"]))[::sign]
    low, high = sorted(100 * sign * end for end in pair["ci95"])
    sure = f"95 % interval {low:+.1f} to {high:+.1f}, p {_p(pair['p_holm'])}".replace("-", "\N{MINUS SIGN}")
    points = f"{100 * abs(pair['difference']):.1f} points on {pair['n']:,} questions ({sure})"
    if pair["significant"]:
        return [f"{better} is ahead of {worse} by {points}: more than chance."]
    if not pair["difference"]:
        return [f"{better} and {worse} have equally many right: they cannot be told apart. {_visible([pair])}"]
    return [f"{better} and {worse} cannot be told apart: they differ by {points}. {_visible([pair])}"]


def _of_many(results: Mapping[str, Any], alpha: float) -> list[str]:
    pairs, reference, rows = results["pairs"], results["reference"], versus(results)
    shown = sum(pair["significant"] for pair in pairs)
    if not shown:
        return [f"No two of the {len(results['models'])} models tested can be told apart. {_visible(pairs)}"]
    accuracy = next(m["accuracy"] for m in results["models"] if m["name"] == reference)
    told = f"{cut(reference)} ({100 * accuracy:.1f} %)"
    ahead = [name for name, difference, _, pair in rows if pair["significant"] and difference < 0]
    behind = [name for name, difference, _, pair in rows if pair["significant"] and difference > 0]
    alike = [name for name, _, _, pair in rows if not pair["significant"]]
    parts = [
        f"{verb} {_all_or(names, rows)}" for verb, names in (("is ahead of", ahead), ("is behind", behind)) if names
    ]
    found = [f"{told} {' and '.join(parts)} by more than chance."] if parts else []
    if alike:
        other = cut(reference) if parts else f"{told}, which stands first"
        found.append(f"{_all_or(alike, rows, 'All')} cannot be told apart from {other}.")
    found.append(
        f"Of {len(pairs)} pairs {shown} differ by more than chance (p < {alpha:g} after Holm's correction for {len(pairs)} "
        "tests)."
    )
    return found


def _all_or(names: Sequence[str], rows: Sequence[object], every: str = "all") -> str:
    """Names, or how many of all others they are."""
    return f"{every} {len(rows)} others" if len(names) == len(rows) > 1 else listed(names)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.2g}"


def _visible(pairs: Sequence[Mapping[str, Any]]) -> str:
    """What would have been seen."""
    sizes = [pair["detectable"] for pair in pairs]
    if any(size is None for size in sizes):
        return "So few questions, or articles, show no difference."
    low, high = 100 * min(sizes), 100 * max(sizes)
    if f"{low:.1f}" == f"{high:.1f}":
        return f"A difference of {low:.1f} points would probably have been seen."
    return f"Differences of {low:.1f} to {high:.1f} points, by the pair, would probably have been seen."


def _costs(results: Mapping[str, Any]) -> list[str]:
    """What the reference costs, what the others do, and who cannot be told from it and costs least."""
    costs = {m["name"]: m["cost_usd"] for m in results["models"]}
    if len(costs) <= 3:
        return [f"Cost of the run: {', '.join(f'{cut(name)} {usd(cost)}' for name, cost in costs.items())}."]
    reference = results["reference"]
    known = {name: float(cost) for name, cost in costs.items() if not isinstance(cost, str) and cost > 0}
    others = sorted((name for name in known if name != reference), key=lambda name: known[name])
    found = []
    if reference in known:
        found.append(f"{cut(reference)} costs {usd(known[reference])} for this run.")
    if others:
        low, high = (f"{usd(known[name])} ({cut(name)})" for name in (others[0], others[-1]))
        found.append(
            f"Others cost {low} to {high}." if len(others) > 1 else f"{cut(others[0])} costs {usd(known[others[0]])}."
        )
    alike = [name for name, *_, pair in versus(results) if not pair["significant"] and name in known]
    cheapest = min(alike, key=lambda name: known[name], default=None)
    if reference in known and cheapest is not None and known[cheapest] < known[reference]:
        ratio = three_figures(known[reference] / known[cheapest])
        found.append(f"Of those not told apart from it, {cut(cheapest)} costs least: {ratio} times less.")
    unknown = [name for name, cost in costs.items() if isinstance(cost, str)]
    if unknown:
        found.append(f"What {listed(unknown)} cost{'s' if len(unknown) == 1 else ''} is unknown.")
    return found
