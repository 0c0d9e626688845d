"""Lines of consent, navigation and rights go; sentences that speak of the same things stay."""

import pytest

from sagecraft.corpus.boilerplate import drop_boilerplate
from sagecraft.corpus.clean import clean

BODY = "The spectrum of the star shows strong lines of ionized calcium."


@pytest.mark.parametrize(
    "line",
    [
        "Skip to main content",
        "This website uses cookies to improve your experience.",
        "We use cookies and similar technologies",
        "Accept all cookies",
        "Cookie settings",
        "Back to top",
        "- [Return to the top of the page]",
        "« Previous | Next »",
        "Next article",
        "Toggle navigation",
        "Read more",
        "Log in or register",
        "Download PDF",
        "**View article as PDF**",
        "Please enable JavaScript to view this page",
        "Share this article on Twitter, Facebook and LinkedIn",
        "Subscribe to our free weekly newsletter",
        "© 2024 Some Publisher Ltd. All rights reserved.",
        "Copyright (c) 2019-2021 A. Author. All Rights Reserved",
        "Privacy policy | Terms of use",
    ],
)
def test_boilerplate_goes(line):
    assert drop_boilerplate(f"{BODY}\n\n{line}\n\n{BODY} Again.") == (f"{BODY}\n\n{BODY} Again.", 1)


@pytest.mark.parametrize(
    "line",
    [
        "We use cookies of dough to explain how a universe that expands carries its raisins along, each away from each "
        "other one, and the further the faster, which Hubble found to be so for galaxies in the year 1929 already.",
        "The next chapter explains how.",
        "The previous section showed it.",
        "All rights reserved by the treaty are listed below.",
        "# Next",
        "## Privacy policy",
        "$$x_{next} = 1$$",
        "Share prices on Twitter fell.",
        "We download the catalogue as PDF and read it.",
        "| Download PDF | Read more |",
    ],
)
def test_prose_and_headings_stay(line):
    text = f"{BODY}\n\n{line}"
    assert drop_boilerplate(text) == (text, 0)


def test_code_and_mathematics_stay():
    text = f"{BODY}\n\n```\nRead more\nBack to top\n```\n\n$$\nnext\n$$"
    assert drop_boilerplate(text) == (text, 0)


def test_what_is_left_is_clean():
    text = clean(f"Skip to content\n\nLog in\n\n{BODY}\n\nBack to top")
    once = drop_boilerplate(text)
    assert once == (BODY, 3)
    assert clean(once[0]) == once[0]
