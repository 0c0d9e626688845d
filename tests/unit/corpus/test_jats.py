import pytest

from sagecraft.corpus.readers.any_xml import read_xml
from sagecraft.corpus.readers.found import Found
from sagecraft.corpus.readers.jats import read_jats
from sagecraft.corpus.readers.result import ReaderError

ARTICLE = """<article xmlns:mml="http://www.w3.org/1998/Math/MathML" xmlns:xlink="http://www.w3.org/1999/xlink"><front>
<article-meta><title-group><article-title>Title</article-title></title-group>{meta}</article-meta></front>
<body>{body}</body><back>{back}</back></article>"""


def read(tmp_path, body="", back="", meta="", prolog=""):
    path = tmp_path / "a.nxml"
    path.write_text(prolog + ARTICLE.format(body=body, back=back, meta=meta), encoding="utf-8")
    return read_jats(path, tmp_path)


def blocks(tmp_path, body, back=""):
    return read(tmp_path, body, back).text.split("\n\n")[1:]


REFS = """<ref-list><title>References</title>{}</ref-list>"""


def ref(key, citation):
    return f'<ref id="{key}">{citation}</ref>'


def cite(*keys, text="1"):
    return f'<xref ref-type="bibr" rid="{" ".join(keys)}">{text}</xref>'


SMITH = "<element-citation><person-group><name><surname>Smith</surname></name></person-group><year>2001</year></element-citation>"
JONES = "<mixed-citation>Jones A, Brown B. A title. J Test. 2003;1:2.</mixed-citation>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"As seen [{cite('a')}].", "As seen (Smith 2001)."),
        (f"As seen.<sup>{cite('a')},{cite('b')}</sup> Then", "As seen (Smith 2001; Jones & Brown 2003). Then"),
        (f"seen {cite('a', 'b', text='[1,2]')} again", "seen (Smith 2001; Jones & Brown 2003) again"),
        (f"by Smith ({cite('a', text='2001')})", "by Smith (2001)"),
        (f"by {cite('a', text='Smith (2001)')}", "by Smith (2001)"),
        (f"(see [{cite('a')}] and more)", "(see (Smith 2001) and more)"),
        (f"seen [{cite('c')}]", "seen [3]"),
        (f"seen [{cite('gone', text='9')}]", "seen [9]"),
        (f"seen [{cite('a')}–{cite('d', text='4')}]", "seen (Smith 2001; Jones & Brown 2003; Ray 2005a)"),
    ],
)
def test_citations_by_number_become_authors_and_years(tmp_path, text, expected):
    ray = "<element-citation><string-name>Ray, X.</string-name><year>2005a</year></element-citation>"
    leaflet = "<mixed-citation>A leaflet.</mixed-citation>"
    back = REFS.format(ref("a", SMITH) + ref("b", JONES) + ref("c", leaflet) + ref("d", ray))
    assert blocks(tmp_path, f"<p>{text}</p>", back) == [expected]


def test_editors_where_there_are_no_authors(tmp_path):
    citation = """<element-citation><person-group person-group-type="editor"><name><surname>Ed</surname></name></person-group>
    <source>Book</source><year>1990</year></element-citation>"""
    assert blocks(tmp_path, f"<p>x [{cite('a')}]</p>", REFS.format(ref("a", citation))) == ["x (Ed 1990)"]


def test_tex_goes_before_mathml_and_mathml_before_text(tmp_path):
    body = r"""<p>a <inline-formula><alternatives><mml:math><mml:mi>y</mml:mi></mml:math><tex-math>x_1</tex-math></alternatives></inline-formula>
    b <inline-formula><mml:math><mml:mi>y</mml:mi></mml:math></inline-formula> c <inline-formula><italic>z</italic></inline-formula>
    d <mml:math><mml:mi>w</mml:mi></mml:math></p><disp-formula><graphic xlink:href="e.gif"/><label>(2)</label></disp-formula>"""
    assert blocks(tmp_path, body) == ["a $x_1$ b $y$ c *z* d $w$"]


def test_a_document_around_tex_is_taken_off(tmp_path):
    tex = r"\documentclass{minimal} \usepackage{amsmath} \begin{document} $$ a $$ \end{document}"
    assert blocks(tmp_path, f"<disp-formula><label>(A.1)</label><tex-math>{tex}</tex-math></disp-formula>") == [
        r"$$a \tag{A.1}$$"
    ]


def test_tables_of_cals(tmp_path):
    table = """<table-wrap><label>Table 2</label><oasis:table xmlns:oasis="http://docs.oasis-open.org/ns/oasis-exchange/table">
    <oasis:tgroup cols="2"><oasis:colspec colname="a"/><oasis:colspec colname="b"/><oasis:thead><oasis:row><oasis:entry namest="a" nameend="b">H</oasis:entry>
    </oasis:row></oasis:thead><oasis:tbody><oasis:row><oasis:entry morerows="1">x</oasis:entry><oasis:entry>1</oasis:entry></oasis:row>
    <oasis:row><oasis:entry>2</oasis:entry></oasis:row></oasis:tbody></oasis:tgroup></oasis:table></table-wrap>"""
    assert blocks(tmp_path, table) == ["| H | H |\n| --- | --- |\n| x | 1 |\n| x | 2 |"]


def test_what_holds_no_text_goes(tmp_path):
    body = """<sec><title>Kept</title><p>x</p></sec><sec><title>Supplementary Information</title><p>y</p></sec>
    <sec><title>Data availability statement</title><p>z</p></sec><sec><title>Supplementary motion of roofs</title><p>k</p></sec>"""
    back = "<ack><p>thanks</p></ack><bio><p>born</p></bio><sec><title>Authors’ contributions</title><p>AB</p></sec>"
    assert blocks(tmp_path, body, back)[:2] == ["## Kept", "x"]
    assert "thanks" not in read(tmp_path, body, back).text
    assert "## Data" not in read(tmp_path, body, back).text


def test_the_record(tmp_path):
    meta = """<article-id pub-id-type="pmid">12</article-id><contrib-group><contrib contrib-type="author"><string-name>
    <given-names>A</given-names> <surname>B</surname></string-name></contrib></contrib-group><pub-date date-type="pub"><year>2007</year></pub-date>
    <permissions><license><license-p>Under <ext-link xlink:href="https://creativecommons.org/licenses/by-nc/3.0/">this</ext-link>.</license-p></license></permissions>
    <kwd-group><kwd>k</kwd></kwd-group>"""
    result = read(tmp_path, "<p>x</p>", meta=meta)
    assert (result.authors, result.year, result.identifier, result.categories) == (["A B"], 2007, "pmid:12", ["k"])
    assert result.license == "https://creativecommons.org/licenses/by-nc/3.0/"


def test_named_characters_are_known_without_the_dtd(tmp_path):
    prolog = '<!DOCTYPE article PUBLIC "-//NLM//DTD JATS//EN" "JATS.dtd">'
    assert "α 5 < 6 &" in read(tmp_path, "<p>&alpha;&nbsp;5 &lt; 6 &amp;</p>", prolog=prolog).text.replace(
        "\u00a0", " "
    )


def test_an_article_without_text_is_refused(tmp_path):
    with pytest.raises(ReaderError, match="no-text"):
        read(tmp_path, "")


def xml(tmp_path, text):
    path = tmp_path / "x.xml"
    path.write_text(text, encoding="utf-8")
    (found,) = read_xml(path, tmp_path)
    return found


def test_xml_is_told_by_its_root(tmp_path):
    article = xml(
        tmp_path,
        '<?xml version="1.0"?><!-- x --><!DOCTYPE article>' + ARTICLE.format(body="<p>b</p>", back="", meta=""),
    )
    module = xml(tmp_path, '<document xmlns="http://cnx.rice.edu/cnxml"><content><para>c</para></content></document>')
    page = xml(tmp_path, '<html xmlns="http://www.w3.org/1999/xhtml"><body><p>d&nbsp;e</p></body></html>')
    wrapped = xml(tmp_path, f"<pmc-articleset>{ARTICLE.format(body='<p>f</p>', back='', meta='')}</pmc-articleset>")
    assert [found.format for found in (article, module, page, wrapped)] == ["jats", "cnxml", "html", "jats"]
    assert isinstance(wrapped, Found)
    assert wrapped.result.text.endswith("f")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<TEI><text/></TEI>", "unknown-xml"),
        ("no xml", "bad-xml"),
        (" ", "empty"),
        ("<article>", "bad-xml"),
        ("<oai-pmh/>", "not-jats"),
    ],
)
def test_other_xml_is_refused_with_its_root(tmp_path, text, reason):
    assert xml(tmp_path, text).reason == reason
