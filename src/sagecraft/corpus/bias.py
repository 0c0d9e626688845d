"""What an audit says in words: the few sentences from which a group sees the bias of its literature."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sagecraft.corpus.audit import CHARS_PER_TOKEN, FREE, NONE_STATED, SILENT, TRAIN_ONLY, Audit, bin_start
from sagecraft.corpus.language import UNDETERMINED
from sagecraft.corpus.reference import Comparison, Difference

#: Of one source, year, category or language, a share of words above which a corpus is one-sided.
_ONE_SIDED = 0.5
#: A group is over- or under-represented from this ratio on, if it is this share of either side at least.
_RATIO, _WORTH_NAMING = 1.5, 0.01
_NAMED = 4
_PLURAL = {"category": "categories", "year": "years"}


def percent(share: float) -> str:
    """`12%`, `3.4%`, `<0.1%`."""
    if 0 < share < 0.001:
        return "<0.1%"
    if 0.999 < share < 1:
        return ">99.9%"
    return f"{100 * share:.2g}%" if share < 0.1 else f"{100 * share:.0f}%" if share < 0.99 else f"{100 * share:.3g}%"


def in_words(number: float) -> str:
    """`4.8 million`, `950`."""
    for unit, size in (("billion", 1e9), ("million", 1e6)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:,.0f}"


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def summary(audit: Audit, comparisons: Sequence[Comparison]) -> list[str]:
    """The sentences, most telling first."""
    if not audit.num_documents:
        return ["Nothing was kept."]
    parts = [
        _size(audit),
        _concentration(audit, "source", "sources"),
        _years(audit),
        _concentration(audit, "category", "categories"),
        _languages(audit),
        _lengths(audit),
        _licences(audit),
        *(sentence for comparison in comparisons for sentence in compared(comparison)),
    ]
    return [part for part in parts if part]


def _size(audit: Audit) -> str:
    dropped = audit.reasons.total()
    seen = audit.num_documents + dropped
    aside = (
        f"{dropped:,} of {seen:,} ({percent(dropped / seen)}) were kept aside." if dropped else "None was kept aside."
    )
    return (
        f"{audit.num_documents:,} documents with {in_words(audit.num_words)} words, about {in_words(audit.num_tokens)} "
        f"tokens (estimated: {CHARS_PER_TOKEN:g} characters a token). {aside}"
    )


def _concentration(audit: Audit, kind: str, plural: str) -> str:
    names = audit.largest(kind)
    silent = _silent(audit, kind)
    if len(names) < 2:
        return "" if kind == "source" or not names else f"All that state a {kind} are of {names[0]}.{silent}"
    first = [f"{name} ({percent(audit.share_of_words(kind, name))})" for name in names[:3]]
    rest = f" of {len(names):,}" if len(names) > len(first) else ""
    return f"Most words come from the {plural} {listed(first)}{rest}.{silent}"


def _silent(audit: Audit, kind: str) -> str:
    """How much states nothing: few documents may be many words."""
    group = audit.groups[kind].get(NONE_STATED)
    if group is None:
        return ""
    documents, words = percent(group.documents / audit.num_documents), percent(audit.share_of_words(kind, NONE_STATED))
    return f" {documents} of the documents, with {words} of the words, state no {kind}."


def _years(audit: Audit) -> str:
    years = audit.years()
    if not years:
        return "No document states its year."
    documents = {year: audit.groups["year"][str(year)].documents for year in years}
    low, middle, high = (_quantile(documents, share) for share in (0.05, 0.5, 0.95))
    silent = _silent(audit, "year")
    if low == high:
        return f"Of those with a year, nearly all are of {middle}.{silent}"
    return f"Of those with a year, half are of {middle} or later; nine in ten lie within {low} to {high}.{silent}"


def _quantile(counts: dict[int, int], share: float) -> int:
    """The value below or at which this share lies; keys ascend."""
    wanted = math.ceil(share * sum(counts.values()))
    for value, count in counts.items():
        wanted -= count
        if wanted <= 0:
            return value
    raise ValueError("no counts")


def _languages(audit: Audit) -> str:
    names = [name for name in audit.largest("language") if name != UNDETERMINED]
    if not names:
        return "No text is long enough to tell its language."
    first = [f"{name} ({percent(audit.share_of_words('language', name))} of the words)" for name in names[:3]]
    rest = f", and {len(names) - 3} more" if len(names) > 3 else ""
    word = "Language" if len(names) == 1 else "Languages"
    return f"{word}: {', '.join(first)}{rest}."


def _lengths(audit: Audit) -> str:
    bins = dict(sorted(audit.lengths.items()))
    middle = _quantile({number: group.documents for number, group in bins.items()}, 0.5)
    heavy = _quantile({number: group.words for number, group in bins.items()}, 0.5)
    half = f"Half of the documents have under {bin_start(middle + 1):,} words"
    return f"{half}; half of the words stand in documents of {bin_start(heavy):,} words and more."


def _licences(audit: Audit) -> str:
    parts = []
    for use, said in (
        (FREE, "{} of the words may be republished"),
        (TRAIN_ONLY, "{} are under arXiv's own licence: you may have to answer for training on them, and they must never be "
                     "republished"),
        (SILENT, "{} state no licence"),
    ):  # fmt: skip
        if (share := audit.share_of_words("use", use)) or use == FREE:
            parts.append(said.format(percent(share) if share else "None"))
    return f"{'; '.join(parts)}."


def compared(comparison: Comparison) -> list[str]:
    """What a comparison with a reference says."""
    kind, plural = comparison.kind, _PLURAL[comparison.kind]
    named = [each for each in comparison.differences if max(each.here, each.there) >= _WORTH_NAMING]
    over = [each for each in named if each.ratio >= _RATIO]
    under = [each for each in named if each.ratio <= 1 / _RATIO and each.here]
    gone = [each for each in named if not each.here]
    parts = [
        f"By {kind}, {percent(comparison.distance)} of the documents would have to be others to be like {comparison.name}"
    ]
    if over:
        parts.append(f"too many of {listed([_said(each) for each in over[:_NAMED]])}")
    if under:
        parts.append(f"too few of {listed([_said(each) for each in under[:_NAMED]])}")
    if gone:
        parts.append(f"none of {listed([each.name for each in gone[:_NAMED]])}")
    text = f"{parts[0]}: {', '.join(parts[1:])}." if len(parts) > 1 else f"{parts[0]}; no group stands out."
    if comparison.unstated:
        text += f" {percent(comparison.unstated)} of the documents state no {kind} and are not in these {plural}."
    return [text]


def _said(each: Difference) -> str:
    if not each.there:
        return f"{each.name} ({percent(each.here)} here, none there)"
    return f"{each.name} ({percent(each.here)} here, {percent(each.there)} there)"


def warnings(audit: Audit, comparisons: Sequence[Comparison]) -> list[str]:
    """What a group should think about before it trains."""
    found = []
    for kind in ("source", "category"):
        names = audit.largest(kind)
        if len(names) > 1 and audit.share_of_words(kind, names[0]) > _ONE_SIDED:
            found.append(f"one {kind} has {percent(audit.share_of_words(kind, names[0]))} of the words ({names[0]})")
    years = audit.years()
    if len(years) > 1:
        most = max(years, key=lambda year: audit.groups["year"][str(year)].documents)
        share = audit.groups["year"][str(most)].documents / sum(audit.groups["year"][str(y)].documents for y in years)
        if share > _ONE_SIDED:
            found.append(f"one year has {percent(share)} of the dated documents ({most})")
    foreign = [name for name in audit.largest("language") if name != UNDETERMINED][1:]
    share = sum(audit.share_of_words("language", name) for name in foreign)
    if share > 0.01:
        found.append(f"{percent(share)} of the words are in other languages than the first")
    if share := audit.share_of_words("use", SILENT):
        found.append(f"{percent(share)} of the words have no licence that anybody could check")
    if share := audit.share_of_words("use", TRAIN_ONLY):
        found.append(f"{percent(share)} of the words are under arXiv's own licence and must not be republished")
    with_commands = audit.health["with_commands"] / max(audit.num_documents, 1)
    if with_commands > 0.05:
        found.append(f"{percent(with_commands)} of the documents have LaTeX commands left in their prose")
    found += [
        f"{percent(each.distance)} of the documents would have to be of other {_PLURAL[each.kind]} to be like {each.name}"
        for each in comparisons
        if each.distance > 0.25
    ]
    return found
