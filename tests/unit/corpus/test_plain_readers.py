import gzip
import json

import pytest

from sagecraft.corpus.readers.files import decode
from sagecraft.corpus.readers.found import Found
from sagecraft.corpus.readers.jsonl import read_jsonl_documents
from sagecraft.corpus.readers.markdown import read_markdown
from sagecraft.corpus.readers.result import ReaderError
from sagecraft.corpus.readers.rows import list_of, names_of, year_of
from sagecraft.corpus.readers.text import read_plain


def markdown(tmp_path, text):
    path = tmp_path / "a.md"
    path.write_text(text, encoding="utf-8")
    return read_markdown(path, tmp_path)


def test_front_matter(tmp_path):
    result = markdown(
        tmp_path,
        "---\ntitle: Stars\nauthors: [A B, C D]\ndate: 2020-05-01\ntags: x, y z\nlicense: CC0\n---\n\n# Head\n\nText",
    )
    assert (result.title, result.authors, result.year) == ("Stars", ["A B", "C D"], 2020)
    assert (result.categories, result.license) == (["x", "y z"], "CC0")
    assert result.text == "# Head\n\nText"


def test_title_from_the_first_heading(tmp_path):
    assert markdown(tmp_path, "Intro\n\n## Deep *sky* ##\n\nx").title == "Deep *sky*"
    assert markdown(tmp_path, "Title\n=====\n\nx").title == "Title"
    assert markdown(tmp_path, "no heading").title is None


def test_mathematics_is_kept_and_pictures_and_comments_go(tmp_path):
    text = "Let $x$ and \\(y\\). <!-- todo\n --> ![a plot](p.png)\n\n$$\nE = mc^2\n$$\n\n\\[ a \\]"
    assert markdown(tmp_path, text).text == "Let $x$ and $y$.  a plot\n\n$$\nE = mc^2\n$$\n\n$$a$$"


def test_a_line_end_in_a_formula_is_no_delimiter(tmp_path):
    text = "$$\n\\begin{aligned} a \\\\[2pt] b \\\\(c) d \\end{aligned}\n$$ and \\(x\\)"
    assert markdown(tmp_path, text).text == text.replace("\\(x\\)", "$x$")


def test_a_rule_at_the_top_is_no_front_matter(tmp_path):
    text = "---\nJust text.\n\n---\n\nMore"
    assert markdown(tmp_path, text).text == text


@pytest.mark.parametrize(
    "matter", ["title: [", "a: &x [1]\nb: [*x, *x]", "x: !!python/object:os.system {}", "title: 'open"]
)
def test_bad_front_matter_is_refused(tmp_path, matter):
    with pytest.raises(ReaderError, match="bad-front-matter"):
        markdown(tmp_path, f"---\n{matter}\n---\ntext")


def test_toml_front_matter(tmp_path):
    result = markdown(tmp_path, '+++\ntitle = "Gas"\ndate = 2011-05-06\n[extra]\na = 1\n+++\nText')
    assert (result.title, result.year, result.text) == ("Gas", 2011, "Text")
    with pytest.raises(ReaderError, match="bad-front-matter"):
        markdown(tmp_path, "+++\ntitle = \n+++\ntext")


def test_nothing_is_changed_inside_code_and_formulas(tmp_path):
    text = "`[a](b) <b>` $[x](y)$\n\n```\n[^1] <i> \\(z\\)\n```\n\n$$\n<b>[c](d)\n$$"
    assert markdown(tmp_path, text).text == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See [the *law*](x.html){.ext} and [a]", "See the *law* and [a]"),
        ("[one][1], [two][], [three][no]\n\n[1]: a\n[two]: b", "one, two, [three][no]"),
        ("a[^n] b[^n] c[^m]\n\n[^n]: Note.", "a (Note) b c[^m]"),
        ("x<br>y <span class=z>s</span> 1 < 2 and <x>", "x\ny s 1 < 2 and <x>"),
        ("![a plot](p.png) ![](q.png)", "a plot "),
        ("<script>x()</script>a&nbsp;b &lt;c&gt;", "a\u00a0b <c>"),
        ("| a | b |\n| - | - |\n| [x](y) | 1 |", "| a | b |\n| - | - |\n| x | 1 |"),
    ],
)
def test_links_notes_and_html_leave_their_words(tmp_path, text, expected):
    assert markdown(tmp_path, text).text == expected


def test_names_lists_years():
    assert names_of("Ada Lovelace and Max Born; Emmy Noether") == ["Ada Lovelace", "Max Born", "Emmy Noether"]
    assert names_of([{"name": "A"}, "B", 3]) == ["A", "B"]
    assert list_of("astro-ph.GA astro-ph.CO") == ["astro-ph.GA", "astro-ph.CO"]
    assert year_of("submitted 12 May 1998") == 1998
    assert year_of("12345") is None


def plain(tmp_path, text):
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    return read_plain(path, tmp_path)


def test_plain_text(tmp_path):
    result = plain(tmp_path, "The Milky Way\n\nIt is a galaxy.\n\n It is large.")
    assert result.title == "The Milky Way"
    assert result.text == "The Milky Way\n\nIt is a galaxy.\n\nIt is large."


def test_a_sentence_is_no_title(tmp_path):
    assert plain(tmp_path, "It is a galaxy.\n\nMore").title is None


def test_lines_broken_at_a_width_are_joined(tmp_path):
    line = "The spectrum of the star shows strong lines of calcium"
    table = "Earth        1.00\nMars         1.52\nJupiter      5.20"
    assert plain(tmp_path, f"{line}\n{line}\nand helium.\n\n{table}").text == f"{line} {line} and helium.\n\n{table}"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_decoding(encoding):
    assert decode("Größe “x”".encode(encoding)) == "Größe “x”"


def test_undefined_bytes_stay_visible():
    assert decode(b"a\x81\xff") == "a\ufffdÿ"


def test_declared_encodings_that_are_none_are_ignored():
    assert decode(b"caf\xe9", "zlib") == "café"
    assert decode(b"caf\xe9", "no-such-thing") == "café"


def test_binary_is_refused():
    with pytest.raises(ReaderError, match="binary"):
        decode(b"ab\x00" * 100)


def jsonl(tmp_path, *lines, packed=False):
    data = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    path = tmp_path / ("a.jsonl.gz" if packed else "a.jsonl")
    path.write_bytes(gzip.compress(data) if packed else data)
    return list(read_jsonl_documents(path, tmp_path))


def test_rows_are_documents(tmp_path):
    row = {
        "id": "2504.12345",
        "title": "A\n title",
        "authors": ["A B"],
        "categories": "x y",
        "summary": "S $z$",
        "n": 1,
        "m": None,
    }
    (found,) = jsonl(tmp_path, row, packed=True)
    assert isinstance(found, Found)
    result = found.result
    assert (result.identifier, result.title, result.text, result.year) == ("2504.12345", "A title", "S $z$", 2025)
    assert (result.authors, result.categories, found.extra, found.row) == (["A B"], ["x", "y"], {"n": 1}, 1)


def test_text_goes_before_abstract_and_withheld_is_read(tmp_path):
    (found,) = jsonl(tmp_path, {"abstract": "a", "text": "t", "withheld": True})
    assert isinstance(found, Found)
    assert (found.result.text, found.withheld, found.extra) == ("t", True, {"abstract": "a"})


def test_bad_lines_do_not_end_the_file(tmp_path):
    rows = jsonl(
        tmp_path, {"text": "a"}, b"{not json", b"", [1], {"id": "x"}, {"text": "q", "withheld": "yes"}, {"text": "b"}
    )
    reasons = [row.reason if isinstance(row, ReaderError) else row.result.text for row in rows]
    assert reasons == ["a", "bad-json", "bad-json", "no-text", "bad-value", "b"]
    assert "line 2" in rows[1].detail
