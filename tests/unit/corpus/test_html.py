import pytest

from sagecraft.corpus.readers.html import read_html
from sagecraft.corpus.readers.result import ReaderError


def read(tmp_path, body, head="", encoding="utf-8"):
    path = tmp_path / "page.html"
    path.write_bytes(f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>".encode(encoding))
    return read_html(path, tmp_path)


def text(tmp_path, body, head=""):
    return read(tmp_path, body, head).text


def test_the_article_without_the_page_around_it(tmp_path):
    body = """<header><p>Site</p><nav><a>Home</a></nav></header><aside>Ad</aside>
    <main><article><h1>Stars</h1><p>They  shine.</p><script>x()</script><style>p{}</style></article></main>
    <footer>Copyright</footer>"""
    assert text(tmp_path, body) == "# Stars\n\nThey shine."


def test_blocks(tmp_path):
    body = """<p>One <b>bold</b> and <em> slanted </em>word, H<sub>2</sub>O, 10<sup>−5</sup>, the 1<sup>st</sup>.<br>Two</p>
    <ul><li>a<ol><li>b</li><li>c</li></ol></li><li><p>d</p><p>e</p></li></ul>
    <blockquote><p>Quote</p></blockquote><pre>x = 1\n  y</pre><dl><dt>parsec</dt><dd>3.26 light-years</dd>
    <dt>Author:</dt><dd>A. Writer</dd></dl>"""
    assert text(tmp_path, body).split("\n\n") == [
        "One **bold** and *slanted* word, H$_{2}$O, 10$^{-5}$, the 1st.\nTwo",
        "- a",
        "  1. b\n  2. c\n- d",
        "  e",
        "> Quote",
        "```\nx = 1\n  y\n```",
        "**parsec**: 3.26 light-years",
        "**Author**: A. Writer",
    ]


def test_tables(tmp_path):
    body = """<table><caption>Planets</caption><thead><tr><th>Name</th><th>a|b</th></tr></thead>
    <tr><td>Earth</td><td><math><mi>x</mi></math></td></tr><tr><td colspan="2">Mars</td></tr></table>"""
    assert text(tmp_path, body) == ("Planets\n\n| Name | a\\|b |\n| --- | --- |\n| Earth | $x$ |\n| Mars |  |")


def test_a_table_for_layout_is_no_table(tmp_path):
    assert text(tmp_path, "<table><tr><td>one</td></tr><tr><td>two</td></tr></table>") == "one\n\ntwo"


def test_mathml_with_and_without_tex(tmp_path):
    body = r"""<p>So <math><semantics><mi>x</mi><annotation encoding="application/x-tex">x_1</annotation></semantics></math>
    and <math><msup><mi>y</mi><mn>2</mn></msup></math>:
    <math display="block" alttext="E=mc^{2}"><mi>E</mi></math> holds.</p>"""
    assert text(tmp_path, body) == "So $x_1$ and $y^{2}$:\n\n$$E=mc^{2}$$\n\nholds."


def test_delimiters_in_text(tmp_path):
    body = (
        r"<p>The mass \(m_\odot\) obeys \[ a = b \] and costs $5 or $6.</p><p>\begin{align} a &amp;= b \end{align}</p>"
    )
    assert text(tmp_path, body) == (
        "The mass $m_\\odot$ obeys\n\n$$a = b$$\n\nand costs \\$5 or \\$6.\n\n$$\\begin{aligned} a &= b \\end{aligned}$$"
    )


def test_dollars_are_mathematics_where_the_page_loads_mathjax(tmp_path):
    head = '<script src="https://cdn.example/mathjax/tex.js"></script>'
    assert text(tmp_path, "<p>Let $x$ be $$y^2$$ for $5.</p>", head) == "Let $x$ be\n\n$$y^2$$\n\nfor \\$5."


def test_tex_scripts(tmp_path):
    body = '<p>So <script type="math/tex">a_1</script>:<script type="math/tex; mode=display">b</script></p>'
    assert text(tmp_path, body) == "So $a_1$:\n\n$$b$$"


def test_latexml_equation_tables(tmp_path):
    body = r"""<article class="ltx_document"><p>As</p><table class="ltx_equation ltx_eqn_table"><tr>
    <td><math alttext="\displaystyle a%&#10;=b"></math></td><td><span class="ltx_tag ltx_tag_equation">(3)</span></td></tr></table></article>"""
    assert text(tmp_path, body) == "As\n\n$$a=b \\tag{3}$$"


def test_wikipedia_formulas_and_furniture(tmp_path):
    body = r"""<div id="content"><div class="mw-parser-output"><p>Mass<sup class="reference">[1]</sup>
    <span class="mwe-math-element"><span style="display: none"><math>
    <semantics><mi>m</mi><annotation encoding="application/x-tex">{\displaystyle m_{0}}</annotation></semantics></math></span>
    <img class="mwe-math-fallback-image-inline" alt="m"></span>.<span class="mw-editsection">[edit]</span></p>
    <div class="navbox">See also</div></div></div>"""
    assert text(tmp_path, body) == "Mass $m_{0}$."


def test_katex_twins(tmp_path):
    body = r"""<p><span class="katex"><span class="katex-mathml"><math><semantics><mi>c</mi>
    <annotation encoding="application/x-tex">c</annotation></semantics></math></span>
    <span class="katex-html" aria-hidden="true">c</span></span></p>"""
    assert text(tmp_path, body) == "$c$"


def test_metadata(tmp_path):
    head = """<title>Page</title><meta name="citation_title" content="The Title"><meta name="citation_author" content="Doe, Jane">
    <meta name="citation_author" content="Max Born"><meta name="citation_publication_date" content="2021/03/04">
    <meta name="keywords" content="stars, gas"><link rel="license" href="https://creativecommons.org/licenses/by/4.0/">
    <meta name="citation_doi" content="10.1/abc">"""
    result = read(tmp_path, "<p>x</p>", head)
    assert (result.title, result.authors, result.year) == ("The Title", ["Jane Doe", "Max Born"], 2021)
    assert (result.categories, result.identifier) == (["stars", "gas"], "10.1/abc")
    assert result.license == "https://creativecommons.org/licenses/by/4.0/"


def test_title_from_the_heading_then_from_the_head(tmp_path):
    assert read(tmp_path, "<h1>Heading</h1><p>x</p>", "<title>T</title>").title == "Heading"
    assert read(tmp_path, "<p>x</p>", "<title> T </title>").title == "T"


@pytest.mark.parametrize(
    ("encoding", "head"),
    [("utf-8", ""), ("latin-1", ""), ("latin-1", '<meta charset="iso-8859-1">'), ("utf-16", ""), ("cp1252", "")],
)
def test_encodings(tmp_path, encoding, head):
    assert read(tmp_path, "<p>Größe é</p>", head, encoding).text == "Größe é"


def test_declared_encodings_are_used(tmp_path):
    assert read(tmp_path, "<p>звезда</p>", '<meta charset="koi8-r">', "koi8-r").text == "звезда"


def test_an_xml_declaration_is_no_obstacle(tmp_path):
    path = tmp_path / "x.xhtml"
    path.write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n<html xmlns="http://www.w3.org/1999/xhtml"><body><p>a</p></body></html>'
    )
    assert read_html(path, tmp_path).text == "a"


def test_a_page_without_text(tmp_path):
    with pytest.raises(ReaderError, match="no-text"):
        read(tmp_path, "<nav>Home</nav>")


def test_neighbouring_formulas_are_joined(tmp_path):
    body = (
        "<p>x<sub>a</sub><sup>2</sup> costs $<math><mn>5</mn></math> <math><mi>y</mi></math><math><mi>z</mi></math></p>"
    )
    assert text(tmp_path, body) == "x$_{a} ^{2}$ costs \\$ $5$ $y z$"


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        (
            '<mjx-container class="MathJax" jax="CHTML" display="true"><mjx-math><mjx-c></mjx-c></mjx-math>'
            '<mjx-assistive-mml display="block"><math display="block"><mi>v</mi></math></mjx-assistive-mml></mjx-container>',
            "a\n\n$$v$$\n\nb",
        ),
        ('<mjx-container jax="SVG"><mjx-math data-latex="w_1"></mjx-math></mjx-container>', "a $w_1$ b"),
        (
            '<span class="MathJax_Preview">x</span><span class="MathJax" id="e"><nobr>x</nobr></span><script type="math/tex">x_2</script>',
            "a $x_2$ b",
        ),
        ('<span class="MathJax" data-mathml="&lt;math&gt;&lt;mi&gt;y&lt;/mi&gt;&lt;/math&gt;">y</span>', "a $y$ b"),
        ('<script type="math/mml"><math><mi>z</mi></math></script>', "a $z$ b"),
        (
            '<span class="katex-display"><span class="katex"><span class="katex-mathml"><math display="block"><semantics><mi>k</mi>'
            '<annotation encoding="application/x-tex">k_3</annotation></semantics></math></span><span class="katex-html">k3</span></span></span>',
            "a\n\n$$k_3$$\n\nb",
        ),
        ('<span class="katex"><span class="katex-html">E=mc</span></span>', r"a $\text{E=mc}$ b"),
        ('<img class="latex" src="https://s0.wp.com/latex.php?latex=x%5E2&bg=ffffff" alt="x^2">', "a $x^2$ b"),
        (r'<img src="https://latex.codecogs.com/svg.latex?\frac{a}{b}">', r"a $\frac{a}{b}$ b"),
        ('<img src="photo.png" alt="A photo">', "a b"),
        (r'<span class="math inline">\(\alpha\)</span>', r"a $\alpha$ b"),
        (r'<div class="math notranslate nohighlight">\[\beta\]</div>', "a\n\n$$\\beta$$\n\nb"),
        ('<span class="texhtml"><var>x</var><sub>0</sub>&nbsp;≤ sin <i>θ</i></span>', r"a $x_{0} \leq \sin \theta$ b"),
        (
            '<span class="mwe-math-element"><img class="mwe-math-fallback-image-inline" alt="{\\displaystyle m}"></span>',
            "a $m$ b",
        ),
    ],
)
def test_formulas_in_every_form(tmp_path, markup, expected):
    assert text(tmp_path, f"<div>a {markup} b</div>") == expected


def test_headings_in_headers_and_notes_in_asides_are_kept(tmp_path):
    body = """<article><header><h1>Stars</h1><p>By A, 3 May</p></header><section><header><h2>Gas</h2></header><p>Cold.</p></section>
    <aside class="admonition note"><p>Careful.</p></aside><aside><p>Buy!</p></aside></article>"""
    assert text(tmp_path, body) == "# Stars\n\n## Gas\n\nCold.\n\nCareful."


def test_a_page_without_marks_is_cut_by_its_prose(tmp_path):
    long = "This sentence is part of the text, and it is long enough to be taken for prose. " * 3
    body = f"""<form id="aspnetForm"><table><tr><td width="20%"><a href="/">Home</a><br><a href="/a">About us and our long history</a></td>
    <td><font><b>Title of it</b><br><br>{long}<br><br>{long}</font></td></tr></table><div>Copyright by us, all of it, for ever and a day.</div></form>"""
    found = text(tmp_path, body)
    assert found.startswith("**Title of it**")
    assert found.count("part of the text") == 6
    assert "Home" not in found
    assert "Copyright" not in found


def test_lists_of_links_and_sections_of_references_go(tmp_path):
    prose = "<p>A sentence of prose that is long enough to be counted as such.</p>" * 3
    body = f"""{prose}<ul><li><a href="/1">One</a></li><li><a href="/2">Two</a></li><li><a href="/3">Three</a></li></ul>
    <h2>References</h2><p>Doe 2001</p><h3>Web</h3><p>x</p><h2>After</h2><p>kept</p><ul><li><a href="/1">a</a> and more</li></ul>"""
    found = text(tmp_path, body)
    assert "Two" not in found
    assert "Doe" not in found
    assert found.endswith("## After\n\nkept\n\n- a and more")


def test_json_ld_and_time(tmp_path):
    head = """<script type="application/ld+json">{"@type": "ScholarlyArticle", "headline": "H", "author": {"name": "A B"},
    "license": {"@id": "https://creativecommons.org/licenses/by/4.0/"}}</script><script type="application/ld+json">{broken</script>"""
    result = read(tmp_path, "<p>x <time datetime='2014-02-03'>then</time></p>", head)
    assert (result.title, result.authors, result.year) == ("H", ["A B"], 2014)
    assert result.license == "https://creativecommons.org/licenses/by/4.0/"


def test_spans_of_a_table(tmp_path):
    body = """<table><thead><tr><th rowspan=2>A</th><th colspan=2>B</th></tr><tr><th>c</th><th>d</th></tr></thead>
    <tr><td rowspan=2>x</td><td colspan=2>1</td></tr><tr><td>2</td><td>3</td></tr><tr><td rowspan=zero>y</td></tr></table>"""
    assert text(tmp_path, body).split("\n") == [
        "| A | B c | B d |", "| --- | --- | --- |", "| x | 1 |  |", "| x | 2 | 3 |", "| y |  |  |",
    ]  # fmt: skip
