"""Splitting documents into sentences."""

from __future__ import annotations

import time

import pytest

from sagecraft.corpus.sentences import clean_markdown, mask_math, sentences_of, split_sentences, unmask


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One star. Two stars.", ["One star.", "Two stars."]),
        ("It is 3.5 m wide. It moves.", ["It is 3.5 m wide.", "It moves."]),
        ("T. W. Hill showed it. Others agreed.", ["T. W. Hill showed it.", "Others agreed."]),
        ("See e.g. Smith et al. 1999 for it. Done.", ["See e.g. Smith et al. 1999 for it.", "Done."]),
        ("The value is $a. B$ here. Next.", ["The value is $a. B$ here.", "Next."]),
        ("It costs $5 and $6. Next.", ["It costs $5 and $6.", "Next."]),
        ('He said "yes." Then he left.', ['He said "yes."', "Then he left."]),
        ("The law is $$ E = mc^2 . $$ Then comes more.", ["The law is $$ E = mc^2 . $$", "Then comes more."]),
        ("The law is $$ E = mc^2, $$ where $m$ is mass.", ["The law is $$ E = mc^2, $$ where $m$ is mass."]),
        # Abbreviations in the middle and at the end, initials, letters that are none.
        ("The U.S. Naval Observatory saw it.", ["The U.S. Naval Observatory saw it."]),
        ("It is in the U.S. The town is old.", ["It is in the U.S.", "The town is old."]),
        ("She took her Ph.D. in Arn. He did not.", ["She took her Ph.D. in Arn.", "He did not."]),
        ("It began at 6:23 p.m. (but ended soon).", ["It began at 6:23 p.m. (but ended soon)."]),
        ("So did Smith et al. (2020). J. A. Smith left.", ["So did Smith et al. (2020).", "J. A. Smith left."]),
        ("So did Smith et al. We agree.", ["So did Smith et al.", "We agree."]),
        ("It is so (c.f. Smith 2020; aka. Smith).", ["It is so (c.f. Smith 2020; aka. Smith)."]),
        ("See Fig. 3 and Fig. A1 for it.", ["See Fig. 3 and Fig. A1 for it."]),
        ("It is approx. 3 m wide, see no. 5.", ["It is approx. 3 m wide, see no. 5."]),
        ("The answer is no. Others agree.", ["The answer is no.", "Others agree."]),
        ("It is of the gas CO. These are rare.", ["It is of the gas CO.", "These are rare."]),
        ("It stands at position A. Its piers rust.", ["It stands at position A.", "Its piers rust."]),
        ("Arthur S. Eddington wrote it.", ["Arthur S. Eddington wrote it."]),
        ("It has 5800 K. Others have less.", ["It has 5800 K.", "Others have less."]),
        ("It is of type O9-B. Others are not.", ["It is of type O9-B.", "Others are not."]),
        ("So says J. He et al. in it.", ["So says J. He et al. in it."]),
        # A decimal over the end of a line; names that begin small; commands of TeX.
        ("It is 3. 5 m wide.", ["It is 3. 5 m wide."]),
        (
            "It is free. pyBridge reads it. \\texttt{tool} too.",
            ["It is free.", "pyBridge reads it.", "\\texttt{tool} too."],
        ),
        # A mark of mathematics before a digit.
        (
            "It has $\\sim$5 m. It has 4 to 5$-$6 m. So it is $d<$500 m.",
            ["It has $\\sim$5 m.", "It has 4 to 5$-$6 m.", "So it is $d<$500 m."],
        ),
    ],
)
def test_split(text: str, expected: list[str]) -> None:
    assert split_sentences(text) == expected


def test_masking_is_reversible() -> None:
    text = "a $x_1$ and $$\ny = 2\n$$ and \\$5"
    masked, formulas = mask_math(text)
    assert "$x" not in masked
    assert unmask(masked, formulas) == "a $x_1$ and $$ y = 2 $$ and \\$5"


def test_formulas_side_by_side_do_not_take_the_rest_with_them() -> None:
    text = "# Title\n\nIt takes $\\sim$$5$ days to cross. It rusts.\n\nIt bends $$ here. It stands.\n\nIt is closed."
    assert [sentence.text for sentence in sentences_of(text)] == [
        "It takes $\\sim$$5$ days to cross.",
        "It rusts.",
        "It bends $$ here.",
        "It stands.",
        "It is closed.",
    ]
    text = "The law is\n\n$$\n\na = b\n\n$$\n\nfor all. It holds."
    assert [sentence.text for sentence in sentences_of(text)] == ["The law is $$ a = b $$ for all.", "It holds."]


def test_blocks_of_a_document() -> None:
    text = """# Title

First *part* [@smith2000] with a [link](http://x.y).

| a | b |
|---|---|
| 1. | 2. |

- a list item. With two sentences.

```
code. Not prose.
```

The law is

$$
E = mc^2,
$$

where $m$ is the mass.

A plain heading

Last one.
"""
    found = [(s.heading, s.text, s.position) for s in sentences_of(text)]
    assert found == [
        ("Title", "First part with a link.", 0),
        ("Title", "The law is $$ E = mc^2, $$ where $m$ is the mass.", 1),
        ("A plain heading", "Last one.", 2),
    ]


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("It is red (Figure 2). It bends (see also Table 3 and Box 1).", "It is red. It bends."),
        ("It rusts (as discussed in the chapter on rust) [12, 13].", "It rusts."),
        ("See (the town) and (seen from above) it.", "See (the town) and (seen from above) it."),
        ("(See the box on steel.) It rusts.", "It rusts."),
        ("*" + "It rusts. " * 50 + "It bends.*", "It rusts. " * 50 + "It bends."),
        ("The table (of oak) and $f(Figure 1)$ stay.", "The table (of oak) and $f(Figure 1)$ stay."),
    ],
)
def test_pointers_are_taken_out_like_citations(text: str, cleaned: str) -> None:
    assert clean_markdown(text) == cleaned


def test_a_paragraph_of_initials_takes_time_that_grows_with_its_length() -> None:
    start = time.perf_counter()
    assert len(split_sentences("A. " * 30_000)) == 1
    assert time.perf_counter() - start < 20  # 1 s on a slow machine; with its square minutes
