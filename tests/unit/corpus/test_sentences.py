"""Splitting documents into sentences."""

from __future__ import annotations

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
    ],
)
def test_split(text: str, expected: list[str]) -> None:
    assert split_sentences(text) == expected


def test_masking_is_reversible() -> None:
    text = "a $x_1$ and $$\ny = 2\n$$ and \\$5"
    masked, formulas = mask_math(text)
    assert "$x" not in masked
    assert unmask(masked, formulas) == "a $x_1$ and $$ y = 2 $$ and \\$5"


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
