"""Filters: good text of every kind passes, bad text falls by the rule that is meant for it."""

import json
from collections import Counter

import pytest
from pydantic import ValidationError

from languages import SENTENCES
from sagecraft.artifact import keyed_hash
from sagecraft.corpus.clean import clean
from sagecraft.corpus.documents import Document
from sagecraft.corpus.facts import facts_of
from sagecraft.corpus.filters import FILTERS, Drop, FilterConfig, faults, judge
from sagecraft.corpus.licenses import is_allowed, normalize_license
from sagecraft.corpus.measures import MEASURES, Prose, count_words, measure_all

PROSE = "The spectrum of the star shows strong lines of ionized calcium, and weak lines of helium. "
RULES = FilterConfig()


def varied(count: int) -> str:
    """Prose without repetition."""
    nouns = "spectrum orbit crater signal comet filter mirror survey plasma detector".split()
    verbs = "shows hides follows changes limits explains carries needs repeats confirms".split()
    return " ".join(
        f"The {nouns[n % 10]} of case {n} {verbs[n // 10 % 10]} that a {nouns[(n * 7 + 3) % 10]} is in the {n * 37 % 101} group."
        for n in range(count)
    )


def drops(text: str, rules: FilterConfig = RULES, **values) -> list[str]:
    document = Document(id="x", text=clean(text), **values)
    facts = facts_of(document)
    found = [drop.reason for drop in faults(document.license, facts.language, facts.measures, rules)]
    first = judge(document, facts.language, facts.measures, rules)
    assert (first.reason if first else None) == (found[0] if found else None)
    return found


EQUATIONS = "\n\n".join(
    f"Term {n} of the series is found in the same way, and so we write\n\n$$\\frac{{\\partial^{n} u}}{{\\partial t^{n}}} = "
    f"c_{n}^2 \\nabla^2 u + \\sum_k \\{{a_k\\}}^{{{n}}}$$\n\nwhere $\\{{a_{n}\\}}_k$ holds for $k<{n}$, and"
    for n in range(30)
)
TABLE = "| year | ~flux | ^err |\n| --- | --- | --- |\n" + "\n".join(f"| {n} | {n * n} | ±{n}~ |" for n in range(200))
GLOSSARY = "\n\n".join(f"**term {n}**: the {n}th name of what a {w} is called in the books" for n, w in enumerate(
    "crater orbit comet mirror spectrum survey filter plasma group signal field wave lens disk jet".split() * 3))  # fmt: skip
ABSTRACT = (
    "We measure the orbits of 34 objects with periods of 10--400 days (z = 0.3) and find that N(>M) rises as M^-1.5 "
    "\\citep{x} while the noise stays at 5 % of the signal, in agreement with the model of the previous survey; half of "
    "them were seen by the instrument, and none shows a companion within the limits that the second release allows"
)
FORM = "\n\n".join(
    f"Answer {n} is {n * n}.\n\nThe form asks for the name and the age of everybody who signs it." for n in range(20)
)
GOOD = {
    "prose": varied(40),
    "equations": f"# A paper of equations\n\n{EQUATIONS}",
    "tables": f"# Data\n\n{varied(6)}\n\n{TABLE}",
    "tables alone": TABLE,
    "glossary": f"# Glossary\n\n{GLOSSARY}",
    "bullets": "What you will learn:\n\n" + "\n".join(f"- {line}." for line in varied(20).split(". ")),
    "abstract": f"# Orbits of objects\n\n{ABSTRACT}",
    "hard lines": varied(40).replace(" that ", "\nthat "),
    "code": f"{varied(8)}\n\n```\n{'@@ ~~ ^^ {{}} ||' * 30}\n```",
    "formulas": "# Formulas\n\n"
    + "\n".join(f"{n}. $\\int x^{n} dx = \\frac{{x^{{{n + 1}}}}}{{{n + 1}}}$" for n in range(99)),
    "quotations": f"> {varied(20)}\n\n“Größe” – naïve, 5 % of 3×10⁵ €; λ = 5 Å. {varied(5)}",
    "unicode mathematics": f"{varied(10)} As Ω ≫ 1 and ∇·B ≈ 0, ρ ∝ r⁻² holds; α ≤ β ± γ.",
    "references": "# References\n\n"
    + "\n".join(f"- Author, A. B. {1980 + n}, A Journal, {n}, {n * 13}" for n in range(60)),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_text_passes(name):
    assert drops(GOOD[name]) == []


@pytest.mark.parametrize("code", SENTENCES)
def test_every_language_passes_and_can_be_asked_for(code):
    text = f"{SENTENCES[code]} " * 2
    assert drops(text, FilterConfig(min_words=20)) == []
    assert drops(text, FilterConfig(min_words=20, languages=[code])) == []
    assert drops(text, FilterConfig(min_words=20, languages=["fi", "fr" if code != "fr" else "de"])) == ["language"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("one two three", "too-short"),
        ("□▯� ~~ ^^ ¬¬ ¦¦ �� a " * 30, "non-text"),
        ("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo" * 100, "non-text"),
        ("12.5 13.7 0.001 2024 55 " * 30, "few-letters"),
        (" ".join(varied(12).replace(" ", "")), "short-words"),
        (" ".join(f"thespectrumofthestarandthe{n}" for n in range(80)), "long-words"),
        (varied(12).replace(" ", "</b> <b id=1>"), "markup"),
        ("\n\n".join(f"Section {n} about the news of the day" for n in range(60)), "no-sentences"),
        (" ".join(f"buy cheap lens{n % 17} shop offer{n % 23}" for n in range(40)) + ".", "few-function-words"),
        (FORM, "repeated-lines"),
        (" ".join(f"{varied(6)} Part {n}." for n in range(8)), "repeated-runs"),
        (" ".join(f"buy it now w{n}" for n in range(60)), "repeated-phrase"),
    ],
)
def test_bad_text_falls_by_its_rule(text, reason):
    assert reason in drops(text)
    rule = next((rule for rule in FILTERS if rule.reason == reason), None)
    assert rule is not None
    assert reason not in drops(text, FilterConfig(**{rule.field: None}))


def test_a_menu_falls_and_its_sentences_do_not():
    menu = "\n".join(f"News {n} and the weather of day {n}" for n in range(40))
    assert "no-sentences" in drops(menu)
    assert drops(f"{menu}\n\n{varied(20)}") == []


def test_the_longest_document_is_optional():
    assert drops(varied(40), FilterConfig(max_words=100)) == ["too-long"]


def test_every_rule_is_in_the_table_and_every_measure_is_used():
    fields = {rule.field for rule in FILTERS} | {"languages", "licenses"}
    assert fields == set(FilterConfig.model_fields)
    assert {rule.measure for rule in FILTERS} == set(MEASURES)
    assert len({rule.reason for rule in FILTERS}) == len(FILTERS)
    assert len(FilterConfig.model_fields) <= 15
    for rule in FILTERS:
        at_least = rule.field.startswith("min_")
        assert rule.bound == ("at least" if at_least else "at most")
        assert (rule.keeps(0.4, 0.5), rule.keeps(0.5, 0.5), rule.keeps(0.6, 0.5)) == (not at_least, True, at_least)
        assert rule.keeps(None, 0.5)
        assert rule.keeps(0.0, None)


def test_no_rules_keep_everything():
    assert drops("□▯� ¬¬", FilterConfig.none()) == []
    assert drops("", FilterConfig.none()) == []


def test_the_detail_says_the_number_and_the_bound():
    facts = facts_of(Document(id="x", text="one two"))
    assert judge(Document(id="x", text="one two"), facts.language, facts.measures, RULES) == Drop(
        "too-short", "2 words; min_words asks for at least 20"
    )
    facts = facts_of(Document(id="x", text="QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo" * 100))
    found = list(faults("unknown", facts.language, facts.measures, FilterConfig(min_words=None)))
    assert found[0] == Drop("non-text", "100% of the prose is no text; max_non_text_share allows at most 25%")


def test_little_prose_is_not_judged():
    measured = measure_all(Prose("~~~~ $$a$$"))
    assert measured.pop("words") == 2
    assert set(measured.values()) == {None}


def test_shares_of_a_known_text():
    text = f"{PROSE * 3}\n\nA line that stands twice in this text.\n\n{PROSE * 3}\n\nA line that stands twice in this text."
    measured = measure_all(Prose(text))
    # of 4 lines of 276 and 38 characters one of each is a repetition
    assert measured["duplicate_line_share"] == 0.5
    assert 0.4 < measured["duplicate_ngram_share"] <= 0.9
    half = f"{varied(60)}\n\n{varied(60)}"
    assert measure_all(Prose(half))["duplicate_ngram_share"] == pytest.approx(0.5, abs=0.02)
    assert measure_all(Prose(varied(60)))["duplicate_ngram_share"] == 0.0
    top = " ".join(["one two three"] * 5 + [f"w{n}" for n in range(35)])
    assert measure_all(Prose(top))["top_ngram_share"] == pytest.approx(15 / 50)
    assert measure_all(Prose("a " * 50 + "b" * 200))["top_ngram_share"] == 1.0


def test_shares_of_runs_against_counting():
    for number in range(150):
        size = 40 + keyed_hash(number, "size") % 300
        letters = "abcdefgh"[: 1 + number % 8]
        words = [letters[keyed_hash(number, place) % len(letters)] for place in range(size)]
        prose = Prose(" ".join(words))
        tens = Counter(tuple(words[place : place + 10]) for place in range(size - 9))
        most = max(Counter(tuple(words[place : place + 3]) for place in range(size - 2)).values())
        assert MEASURES["duplicate_ngram_share"].of(prose) == (size - 9 - len(tens)) / (size - 9)
        assert MEASURES["top_ngram_share"].of(prose) == (min(1.0, 3 * most / size) if most > 1 else 0.0)


def test_words_of_scripts_without_spaces():
    assert count_words("two words") == 2
    assert count_words("星の進化は質量によって決まる。") == 1 + 14 // 2
    assert measure_all(Prose(SENTENCES["zh"] * 5))["mean_word_length"] is None


def test_facts_count_formulas_commands_and_what_the_reader_counted():
    extra = json.dumps({"counts": {"citations": 3, "bad": "x", "flag": True}, "doi": "10.1/x"})
    text = "Let $a$ and $b$.\n\n$$c$$\n\nAs \\foo shows `\\bar` and $\\baz$."
    facts = facts_of(Document(id="x", text=text, extra=extra), num_boilerplate=2)
    assert (facts.num_display, facts.num_inline, facts.num_commands) == (1, 3, 1)
    assert facts.counts == {"citations": 3, "boilerplate_lines": 2}
    assert facts.num_words == len(text.split())
    for broken in ("[1]", '{"counts": 5}', '{"counts": broken', '"counts"'):
        assert facts_of(Document(id="x", text=text, extra=broken)).counts == {}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"min_words": 10, "max_words": 5}, "nothing would be kept"),
        ({"languages": ["English"]}, "no code of ISO 639-1"),
        ({"max_non_text_share": 1.5}, "less than or equal to 1"),
        ({"max_nontext": 1}, "Extra inputs"),
    ],
)
def test_wrong_settings(values, said):
    with pytest.raises(ValidationError, match=said):
        FilterConfig(**values)


@pytest.mark.parametrize(
    ("stated", "spdx"),
    [
        ("https://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0"),
        ("http://creativecommons.org/licenses/by-nc-sa/3.0/", "CC-BY-NC-SA-3.0"),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("CC BY 4.0", "CC-BY-4.0"),
        ("cc-by-sa-4.0", "CC-BY-SA-4.0"),
        ("CC BY-NC-ND 4.0 International", "CC-BY-NC-ND-4.0"),
        ("CC0", "CC0-1.0"),
        ("http://arxiv.org/licenses/nonexclusive-distrib/1.0/", "arXiv-nonexclusive-1.0"),
        ("All rights  reserved", "All rights reserved"),
    ],
)
def test_licenses_are_brought_to_spdx(stated, spdx):
    assert normalize_license(stated) == spdx


def test_allow_list():
    assert is_allowed("CC-BY-4.0", ["cc by 4.0"])
    assert is_allowed("CC-BY-SA-4.0", ["CC-BY-*"])
    assert not is_allowed("unknown", ["CC-BY-*"])
    assert drops(varied(20), license="MIT") == []
    assert drops(varied(20), FilterConfig(licenses=["CC0-1.0"]), license="MIT") == ["license"]
