import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagecraft.corpus.clean import (
    PROTECTED,
    clean,
    drop_char_runs,
    drop_repeated_lines,
    drop_repeated_phrases,
    drop_repeated_sentences,
    normalize_characters,
    normalize_layout,
)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("cafe\u0301", "café"),
        ("A\u030a", "Å"),
        ("zero\u200bwidth so\u00adft \ufeffmark", "zerowidth soft mark"),
        ("5\u00a0km\u2009s\u3000x", "5 km s x"),
        ("bell\x07 nul\x00 esc\x1b", "bell nul esc"),
        ("one\r\ntwo\rthree\u2028four\x0cfive", "one\ntwo\nthree\nfour\nfive"),
        ("tab\tstays", "tab\tstays"),
        ("right\u202eto left", "rightto left"),
        ("λ ≥ 2 × 10⁻⁵ – Σ", "λ ≥ 2 × 10⁻⁵ – Σ"),
    ],
)
def test_characters(raw, expected):
    assert normalize_characters(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("a  \n\n\n\nb   c\n", "a\n\nb c"),
        ("- one\n  -  two", "- one\n  - two"),
        ("```\nx  =  1\n\n\ny\n```", "```\nx  =  1\n\n\ny\n```"),
        ("\n\n a", " a"),
    ],
)
def test_layout(raw, expected):
    assert normalize_layout(raw) == expected


def test_a_run_of_one_character_is_cut():
    assert drop_char_runs("The flux isssssssssssssssssssss high")[0] == "The flux isss high"


@pytest.mark.parametrize(
    "text",
    [
        "1000000000000000000000000",
        "-" * 40,
        "." * 40,
        "| " + "-" * 30 + " |",
        "$" + "x" * 20 + "$",
        "`" + "a" * 20 + "`",
    ],
)
def test_numbers_rules_and_mathematics_are_no_runs(text):
    assert drop_char_runs(text)[0] == text


def test_a_repeated_sentence_stays_once():
    sentence = "The mass of the star is 3.5 solar masses in this model. "
    text = "First. " + 4 * sentence + "Last one."
    assert drop_repeated_sentences(text)[0] == "First. " + sentence + "Last one."


def test_two_equal_sentences_stay():
    text = "The mass of the star is large. The mass of the star is large. It is not small at all, is it."
    assert drop_repeated_sentences(text)[0] == text


def test_short_sentences_may_repeat():
    text = "No. No. No. No. No. No, said the astronomer to the committee about his proposal for time."
    assert drop_repeated_sentences(text)[0] == text


def test_a_phrase_repeated_on_the_spot_stays_once():
    text = "We measure " + "the flux of the source " * 6 + "in the band."
    assert drop_repeated_phrases(text)[0] == "We measure the flux of the source in the band."


def test_three_times_is_emphasis():
    text = "We measure " + "the flux of the source " * 3 + "in the band."
    assert drop_repeated_phrases(text)[0] == text


def test_phrases_in_mathematics_stay():
    text = "Let $a + b a + b a + b a + b a + b$ be."
    assert drop_repeated_phrases(text)[0] == text


def test_repeated_lines_stay_once_even_with_blank_lines_between():
    line = "Figure 3 shows the spectrum of the source."
    assert drop_repeated_lines(f"a\n{line}\n\n{line}\n\n{line}\n\nb")[0] == f"a\n{line}\n\nb"


def test_rows_of_tables_and_code_may_repeat():
    table = "\n".join(["| a | b | c | d | e | f |"] * 4)
    code = "```\n" + "for x in range(10) : print x y\n" * 4 + "```"
    assert drop_repeated_lines(table)[0] == table
    assert clean(code) == code


def test_equations_survive_cleaning():
    text = "As $$E = mc^2$$ and $\\alpha  \\beta$ show.\n\n$$\n\\begin{aligned} a &= b \\\\ c &= d \\end{aligned}\n$$"
    assert clean(text) == text.replace("  ", " ")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab .\n$`|-\u00a0\u200b\té!"), max_size=200))
def test_cleaning_twice_changes_no_more(text):
    once = clean(text)
    assert clean(once) == once


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        ("2.5$\\pm$0.5 and $a$$b$", ["$\\pm$", "$a$", "$b$"]),
        ("it costs $ 5 or $6 a day", []),
        ("\\$5 and \\$6, $x$", ["$x$"]),
        ("$$\na\n\nb\n$$ and `$x`", ["$$\na\n\nb\n$$", "`$x`"]),
    ],
)
def test_what_is_a_formula(text, formulas):
    assert PROTECTED.findall(text) == formulas
