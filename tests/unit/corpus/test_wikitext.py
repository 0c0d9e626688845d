r"""Wikitext to Markdown: what stays, what goes, and what a hostile page may do."""

from __future__ import annotations

import time

import pytest

from sagecraft.corpus.readers.wikitext import MAX_CHARACTERS, categories_of, read_wikitext


@pytest.mark.parametrize(
    ("wikitext", "markdown"),
    [
        ("'''Bold''', ''slanted'' and '''''both'''''.", "**Bold**, *slanted* and **both**."),
        ("A [[link]] and [[target|words]], [[Sound#Speed]], [[:Category:X|named]].", "A link and words, Sound, named."),
        ("[http://x.example a site] and [http://x.example] http://y.example", "a site and http://y.example"),
        ("One.<ref name='a'>{{cite|x}}</ref><ref name='a' /> Two.<!-- no -->", "One. Two."),
        ("Costs $5 and <math>x^2</math>.", r"Costs \$5 and $x^2$."),
        (":<math>E = mc^2</math>,\nwhere so.", "$$E = mc^2,$$\n\nwhere so."),
        ('<math display="block">a</math>', "$$a$$"),
        (r"<math>\begin{align} a &= b \end{align}</math>", r"$\begin{aligned} a &= b \end{aligned}$"),
        ("H<sub>2</sub>O, 10<sup>5</sup>", "H$_{2}$O, 10$^{5}$"),
        ("<chem>H2O</chem>", r"$\ce{H2O}$"),
        ("* one\n* two\n** deep\n# first\n\nText.", "- one\n- two\n  - deep\n1. first\n\nText."),
        ("; term : meaning", "**term**\n\nmeaning"),
        ("== Head ==\nText.\n\n=== Sub ===\nMore.", "## Head\n\nText.\n\n### Sub\n\nMore."),
        ("Text.\n\n== References ==\n{{reflist}}\n* [[x]]", "Text."),
        ("{| class='w'\n! A !! B\n|-\n| 1 || [[x|y]]\n|}", "| A | B |\n| --- | --- |\n| 1 | y |"),
        ("{{convert|5|km|mi}} at {{val|1.2|0.1|e=5|u=kg}}", r"5 km at $(1.2 \pm 0.1) \times 10^{5}$ kg"),
        ("{{nowrap|a b}} {{mvar|x}} {{frac|1|2}} {{lang|de|Wort}}", "a b $x$ 1/2 Wort"),
        ("&alpha;&nbsp;&lt;b&gt; <nowiki>[[not]]</nowiki>", "α\xa0<b> [[not]]"),
        ("a<br>b", "a\nb"),
        ("[[File:x.jpg|thumb|A [[nested]] caption]]Text", "Text"),
    ],
)
def test_what_stays(wikitext: str, markdown: str) -> None:
    assert read_wikitext(wikitext).text == markdown


def test_categories_in_any_language_and_templates_counted() -> None:
    page = read_wikitext(
        "{{Infobox|a=1}} Text {{cite}} [[Kategorie:Licht_und Ton|!]] [[category:Waves]]", ["Kategorie"]
    )
    assert page.text == "Text"
    assert page.categories == ["Licht und Ton", "Waves"]
    assert page.num_templates_cut == 2
    assert (
        categories_of("x [[Kategorie:Licht_und Ton|!]] [[ category : Waves]] [[File:y]]", ["Kategorie"])
        == page.categories
    )


@pytest.mark.parametrize(
    ("wikitext", "markdown"),
    [
        ("a<ref>b</ref>c<ref name=x />d<REF group='n'>{{e|<b>f</b>}}</REF >g", "acdg"),
        ("a<ref>b", "a<ref>b"),
        ("a<ref>b<ref>c</ref>d", "ad"),
        ("a<references><ref>b</ref></references>c", "ac"),
        ("a<reference>b", "a<reference>b"),
    ],
)
def test_notes_go(wikitext: str, markdown: str) -> None:
    assert read_wikitext(wikitext).text == markdown


@pytest.mark.parametrize(
    "hostile",
    [
        "{{" * 20000,
        "[[" * 20000,
        "{{{" * 10000 + "}}}" * 10000,
        "<b>" * 5000,
        "'''''" * 20000,
        "{|\n" * 3000,
        "*" * 20000 + " x",
        "<math>" * 5000,
        "<ref>" * 100000 + "text",
        "<ref>" * 2000 + "text",
        "&" * 50000,
        "x" * (MAX_CHARACTERS + 1),
    ],
    ids=range(12),
)
def test_hostile_pages_end(hostile: str) -> None:
    began = time.monotonic()
    read_wikitext(hostile)
    assert time.monotonic() - began < 10
