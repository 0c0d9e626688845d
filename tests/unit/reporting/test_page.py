"""Pages: everything is escaped, nothing comes from outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagecraft.reporting.page import Page, check_svg, format_cell

HOSTILE = '"><script>alert(1)</script><img src=https://evil.example/x onerror=alert(1)>'
SVG = '<svg viewBox="0 0 1 1"><g><path d="M0 0L1 1"/></g></svg>'


class Reader(HTMLParser):
    """What a browser finds in a page: the tags with their attributes, and whether they are nested rightly."""

    VOID = ("meta", "link", "br", "path")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def full_page(text: str) -> Page:
    """Every kind of part, with `text` wherever text can stand."""
    page = Page(text, text)
    for level in (2, 3, 4):
        page.heading(text, level)
    page.paragraph(text)
    page.note(text)
    page.table([text, "n"], [[text, 1]], caption=text)
    page.figure(SVG, text)
    page.metrics([(text, text, text)])
    page.code(text)
    page.details(text, lambda inner: (inner.paragraph(text), inner.details(text, lambda deep: deep.code(text)))[0])
    page.links([(text, "results.json")])
    return page


def test_hostile_text_is_text_in_every_part() -> None:
    html = full_page(HOSTILE).render()
    found = Reader(html)
    assert not {tag for tag, _ in found.tags} & {"script", "img"}
    assert not [name for _, attrs in found.tags for name in attrs if name.startswith("on")]
    # title, h1, subtitle, 3 headings, paragraph, note, caption, column, cell, figcaption, 3 of the card, code, summary,
    # paragraph, inner summary, code, link: all are there, as they were
    assert found.text.count(HOSTILE) == 21


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.sampled_from("<>&\"'/= -!\x00\x1b\ud800abscript[]?{}%#"), max_size=60))
def test_no_text_makes_a_tag(text: str) -> None:
    plain = Reader(full_page("x").render())
    found = Reader(full_page(f"x{text}").render())
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in plain.tags]
    assert [sorted(attrs) for _, attrs in found.tags] == [sorted(attrs) for _, attrs in plain.tags]


def test_a_page_asks_for_nothing() -> None:
    html = full_page("text").render()
    found = Reader(html)
    links = [value for _, attrs in found.tags for name, value in attrs.items() if name in ("href", "src", "action")]
    assert sorted(set(links)) == ["data:,", "results.json"]
    assert not re.search(r"@import|url\(", html)
    policies = [attrs["content"] for _, attrs in found.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert str(policies[0]).startswith("default-src 'none'; ")


def test_a_page_with_surrogates_can_be_written() -> None:
    page = Page("damaged \ud800 title")
    page.code("nul \x00, bell \x07")
    text = page.render()
    text.encode()
    assert "damaged \N{REPLACEMENT CHARACTER} title" in text
    assert "\x00" not in text


def test_columns_of_numbers_stand_to_the_right() -> None:
    page = Page("t")
    rows = [["base", 12, "38.2 %", "−9.0 to +17.4", "3 of 4", True], ["cpt", None, "–", "1 to 2 %", "4", False]]
    page.table(["model", "n", "accuracy", "interval", "mixed", "truth"], rows)
    page.table(["a", "b"], [["1", "2"]], numeric=[False, True])
    head = [attrs.get("class") for tag, attrs in Reader(page.render()).tags if tag == "th"]
    assert head == [None, "number", "number", "number", None, None, None, "number"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (True, "yes"), (1234567, "1,234,567"), (0.123456, "0.1235"), (12345.6, "12,346"), (float("nan"), "nan"),
     ("a", "a"), (1e-7, "1e-07")],
)  # fmt: skip
def test_cells(value: str | float | None, text: str) -> None:
    assert format_cell(value) == text


def test_rows_must_fit_the_columns() -> None:
    page = Page("t")
    with pytest.raises(ValueError, match="row 1 has 1 cells, the table has 2 columns"):
        page.table(["a", "b"], [[1, 2], [1]])
    with pytest.raises(ValueError, match="numeric has 1 entries"):
        page.table(["a", "b"], [[1, 2]], numeric=[True])
    with pytest.raises(ValueError, match="level must be"):
        page.heading("x", 1)


@pytest.mark.parametrize(
    "svg",
    [
        "<div></div>",
        "<svg><script>alert(1)</script></svg>",
        "<svg onload='alert(1)'></svg>",
        "<svg><foreignObject></foreignObject></svg>",
        "<svg><style>@import 'x'</style></svg>",
        "<svg><image href='https://evil.example/x.png'/></svg>",
        "<svg><use xlink:href='https://evil.example/x#y'/></svg>",
        "<svg><use href='java&#115;cript:alert(1)'/></svg>",
        "<svg><path style='fill: url(https://evil.example)'/></svg>",
        "<svg></svg><p>after</p>",
        "<svg></svg>after",
        "<svg></svg></main>",
        "<svg><g></svg>",
        "<svg><!-- x --></svg>",
        "<svg><![CDATA[<p>]]></svg>",
        "<svg><title><img src=x></title></svg>",
    ],
)
def test_only_drawings_are_figures(svg: str) -> None:
    with pytest.raises(ValueError, match="figure"):
        Page("t").figure(svg, "caption")


def test_a_plain_drawing_is_a_figure() -> None:
    check_svg("<svg><defs><clipPath id='a'><rect/></clipPath></defs><g clip-path='url(#a)'><use href='#a'/></g></svg>")


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "https://example.org", "javascript:alert(1)", "\\\\host", " data:,x"]
)
def test_links_are_relative(path: str) -> None:
    with pytest.raises(ValueError, match="relative paths only"):
        Page("t").links([("x", path)])


def test_links_with_odd_names_still_lead_there() -> None:
    page = Page("t")
    page.links([("x", 'runs/a "b" <c>.html')])
    assert 'href="runs/a%20%22b%22%20%3Cc%3E.html"' in page.render()


def test_contents_list_the_sections_of_a_long_page() -> None:
    page = Page("t")
    for name in ("one", "two", "three"):
        page.heading(name)
    assert "<nav" not in page.render()
    page.heading("four")
    html = page.render()
    assert '<a href="#section-4">four</a>' in html
    assert '<h2 id="section-4">four</h2>' in html


def test_figures_in_a_row_share_a_grid() -> None:
    page = Page("t")
    page.figure(SVG, "one")
    page.figure(SVG, "two")
    page.paragraph("between")
    page.figure(SVG, "three")
    html = page.render()
    assert html.count('<div class="figures">') == 1
    assert html.count('<div class="figures single">') == 1


def test_numbers_are_not_parted_from_their_units() -> None:
    page = Page("t")
    page.note("fell by 25 % (p = 0.31)")
    assert "fell by 25\N{NO-BREAK SPACE}% (p\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}0.31)" in page.render()
