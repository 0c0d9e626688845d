"""Marked-up input made to break a reader: it ends soon, with little memory, and its time grows with its size and no faster."""

import time

import pytest

from sagecraft.corpus.readers import files, html_page
from sagecraft.corpus.readers.any_xml import read_xml
from sagecraft.corpus.readers.cnxml import read_cnxml
from sagecraft.corpus.readers.html import read_html
from sagecraft.corpus.readers.jats import read_jats
from sagecraft.corpus.readers.markdown import read_markdown
from sagecraft.corpus.readers.result import ReaderError

REFS = '<ref-list><ref id="r1"><mixed-citation>A. B 2001</mixed-citation></ref></ref-list>'


def jats(body, back=""):
    return f"<article><front/><body><p>text</p>{body}</body><back>{back}</back></article>"


def cnxml(body):
    return f"<document><content><para>text</para>{body}</content></document>"


#: name → (reader, n → text); each was quadratic once, or is the kind that is.
GROWING = {
    "rendered formulas": (read_html, lambda n: "<p>text " + "<span class=MathJax>x</span>" * n),
    "fractions": (read_html, lambda n: "<p>text <span class=texhtml>" + "<span class=num>2</span>" * n + "</span>"),
    "articles": (read_html, lambda n: "<article><p>A text that is long enough to count.</p></article>" * n),
    "one note": (read_html, lambda n: "<div id=n>note</div>" + '<p>text<a class=footnote-ref href="#n">1</a></p>' * n),
    "spans": (read_html, lambda n: "<p>text<table>" + "<tr><td rowspan=999 colspan=999>a</td></tr>" * (n // 10)),
    "hidden": (read_html, lambda n: "<p>text</p>" + "<div hidden>" * 200 + "<p>x</p>" * n),
    "dollars": (read_html, lambda n: "<script src=mathjax></script><p>text " + "$$a $b " * n),
    "columns": (read_cnxml, lambda n: cnxml(
        "<table><tgroup>" + "<colspec colname='a'/>" * (n // 8) + "<row><entry>a</entry></row>" * (n // 8) + "</tgroup></table>"
    )),
    "citations": (read_jats, lambda n: jats("<p>" + '<xref ref-type="bibr" rid="r1">1</xref>,' * n + "</p>", REFS)),
    "sections": (read_jats, lambda n: jats("<sec><title>References</title><p>a</p></sec>" * n)),
    "links": (read_markdown, lambda n: "text " + "[a](b" * n),
    "calls": (read_markdown, lambda n: "text " + "[^a" * n),
    "tags": (read_markdown, lambda n: "text " + "<table><sup><img alt=" * n),
    "fences": (read_markdown, lambda n: "text\n" + "`" * n),
    "definitions": (read_markdown, lambda n: "text [^1]\n" + "[^1]: a\n" * n),
}  # fmt: skip


def seconds(read, path, text):
    path.write_text(text, encoding="utf-8")
    start = time.process_time()
    assert "text" in read(path, path.parent).text
    return time.process_time() - start


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", sorted(GROWING))
def test_time_grows_with_the_size(tmp_path, name):
    read, text = GROWING[name]
    path = tmp_path / "a.x"
    seconds(read, path, text(100))
    first = seconds(read, path, text(2000))
    # Eight times as much takes eight times as long; sixty-four times would be quadratic.
    assert seconds(read, path, text(16_000)) < max(30 * first, 0.6)


def test_a_tag_of_ten_thousand_attributes_is_refused(tmp_path):
    path = tmp_path / "a.html"
    path.write_text("<p>text</p><p " + " ".join(f'a{n}="<>"' for n in range(100_000)) + ">x</p>")
    with pytest.raises(ReaderError, match="too-many-attributes"):
        read_html(path, tmp_path)


def test_a_file_of_one_line_is_refused_at_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 1_000_000)
    for read, name in ((read_html, "a.html"), (read_jats, "a.nxml"), (read_cnxml, "a.cnxml"), (read_markdown, "a.md")):
        path = tmp_path / name
        path.write_bytes(b"a" * 1_000_001)
        with pytest.raises(ReaderError, match="too-large"):
            read(path, tmp_path)


def test_a_page_that_the_parser_would_cut_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.html"
    path.write_text("<p>text " + "wind " * 2_100_000 + "</p><p>end</p>")
    with pytest.raises(ReaderError, match="too-large: a run of text"):
        read_html(path, tmp_path)
    monkeypatch.setattr(html_page, "_MAX_CHARS", 5000)
    path.write_text("<p>text</p><img src='data:image/png;base64," + "QUJD" * 3000 + "'><p>end</p>")
    assert read_html(path, tmp_path).text == "text\n\nend"
    path.write_text("<p>text</p>" * 1000)
    with pytest.raises(ReaderError, match="too-large"):
        read_html(path, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE article [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><article><body><p>&b;</p></body></article>',
        '<!DOCTYPE article [<!ENTITY a SYSTEM "file:///etc/hostname">]><article><body><p>&a;</p></body></article>',
        "<article><body>" + "<sec>" * 3000 + "</sec>" * 3000 + "</body></article>",
        '<article><body a="' + "x" * 11_000_000 + '"><p>x</p></body></article>',
        "<article><body><p>unclosed",
        "\x00\x01\x02<article>",
    ],
    ids=["entities", "file", "deep", "attribute", "unclosed", "binary"],
)
def test_bad_articles_are_refused_with_a_reason(tmp_path, text):
    path = tmp_path / "a.xml"
    path.write_text(text, encoding="utf-8")
    (found,) = read_xml(path, tmp_path)
    assert isinstance(found, ReaderError)
    assert found.reason in ("xml-entities", "bad-xml", "no-text")


@pytest.mark.timeout(30)  # each level of nesting doubled the work once: sixty took for ever
@pytest.mark.parametrize(
    ("read", "text"),
    [
        (read_html, "<p>text</p>" + "<header><h2>a" * 40),
        (read_cnxml, cnxml("<table><tgroup><tbody><row><entry>a" * 40 + "</entry></row></tbody></tgroup></table>" * 40)),
        (read_cnxml, "<document><content><para>text</para></content><glossary>" + "<definition><term>a</term><meaning>b" * 40
            + "</meaning></definition>" * 40 + "</glossary></document>"),
        (read_jats, jats("<table-wrap><table><tr><td>a" * 40 + "</td></tr></table></table-wrap>" * 40)),
        (read_jats, jats("<table-wrap><table-wrap-foot><fn><p>a" * 40 + "</p></fn></table-wrap-foot></table-wrap>" * 40)),
    ],
    ids=["headers", "cnxml tables", "definitions", "jats tables", "feet"],
)  # fmt: skip
def test_nesting_is_read_once(tmp_path, read, text):
    path = tmp_path / "a.x"
    path.write_text(text)
    assert "text" in read(path, tmp_path).text


def test_a_note_that_calls_itself_ends(tmp_path):
    path = tmp_path / "a.html"
    path.write_text(
        '<p>text<a class=footnote-ref href="#a">1</a></p><div id=a>x<a class=footnote-ref href="#a">1</a></div>'
    )
    assert read_html(path, tmp_path).text.startswith("text (x)")
    call = '<xref ref-type="fn" rid="f">1</xref>'
    path.write_text(jats(f"<p>see{call}</p>", f'<fn-group><fn id="f"><p>y{call}</p></fn></fn-group>'))
    assert read_jats(path, tmp_path).text.endswith("see (y)")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_encodings_of_xml(tmp_path, encoding):
    path = tmp_path / "a.nxml"
    path.write_bytes(f'<?xml version="1.0" encoding="{encoding}"?>{jats("<p>Größe</p>")}'.encode(encoding))
    assert "Größe" in read_jats(path, tmp_path).text
