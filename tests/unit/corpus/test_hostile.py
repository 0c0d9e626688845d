"""Input made to break a reader: the run ends soon, the file is dropped with its reason, nothing outside is read."""

import gzip
import json
import os

import pytest

from sagecraft.corpus.boilerplate import drop_boilerplate
from sagecraft.corpus.clean import clean
from sagecraft.corpus.documents import read_documents, read_dropped
from sagecraft.corpus.ingest import IngestConfig, run
from sagecraft.corpus.measures import Prose, measure_all
from sagecraft.corpus.readers import jsonl as jsonl_reader
from sagecraft.corpus.readers.cnxml import read_cnxml
from sagecraft.corpus.readers.found import Found
from sagecraft.corpus.readers.html import read_html
from sagecraft.corpus.readers.markdown import read_markdown
from sagecraft.corpus.readers.result import ReaderError
from sagecraft.corpus.readers.text import read_plain


def good(about):
    return "".join(f"Sentence {n} has some words about {about} and the gas between them. " for n in range(6))


GOOD = good("the stars")


def ingest(folder, out):
    run(IngestConfig(paths=[str(folder)]), {"path0": folder}, out)
    return {d.id: d.text for d in read_documents(out)}, {d.id: d.reason for d in read_dropped(out)}


@pytest.mark.parametrize(
    "dtd",
    [
        '<!DOCTYPE document [<!ENTITY x SYSTEM "file://{secret}">]>',
        '<!DOCTYPE document [<!ENTITY x SYSTEM "http://127.0.0.1:1/x">]>',
        '<!DOCTYPE document [<!ENTITY a "{filler}"><!ENTITY x "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>',
    ],
)
def test_entities_are_refused(tmp_path, dtd):
    (tmp_path / "secret").write_text("hidden words")
    path = tmp_path / "a.cnxml"
    dtd = dtd.replace("{secret}", str(tmp_path / "secret")).replace("{filler}", "lol" * 1000)
    path.write_text(f'<?xml version="1.0"?>{dtd}<document><content><para>&x;</para></content></document>')
    with pytest.raises(ReaderError, match=r"xml-entities|bad-xml"):
        read_cnxml(path, tmp_path)


def test_entities_of_a_page_read_nothing(tmp_path):
    (tmp_path / "secret").write_text("hidden words")
    path = tmp_path / "a.html"
    path.write_text(f'<!DOCTYPE html [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]><p>text &x; end</p>')
    assert "hidden" not in read_html(path, tmp_path).text


@pytest.mark.timeout(120)  # quadratic would take hours
@pytest.mark.parametrize("tag", ["div", "span", "ul><li", "table><tr><td", "blockquote", "math><mrow", "b"])
def test_deep_pages_end(tmp_path, tag):
    path = tmp_path / "a.html"
    path.write_text(f"<p>{GOOD}</p>" + f"<{tag}>" * 20_000 + "deep end")
    text = read_html(path, tmp_path).text
    assert "about the stars" in text


def test_deep_xml_is_refused(tmp_path):
    path = tmp_path / "a.cnxml"
    path.write_text("<document><content>" + "<section>" * 5000 + "</section>" * 5000 + "</content></document>")
    with pytest.raises(ReaderError, match="bad-xml"):
        read_cnxml(path, tmp_path)


LENGTH = 300_000
LONG_LINES = {
    "word": "ab" * (LENGTH // 2) + ".c",
    "fences": "```x\n" * (LENGTH // 5),
    "dollars": "$a " * (LENGTH // 3),
    "openings": "\\)" + "\\(" * (LENGTH // 2),
    "environments": "\\begin{equation}" * (LENGTH // 16),
    "comments": "x<!--" * (LENGTH // 5),
    "images": "![](" * (LENGTH // 4),
    "hyphens": "a-" * (LENGTH // 2),
    "phrases": "a a a b " * (LENGTH // 8),
    "quotes": '!"' * (LENGTH // 2),
    "blank": "\n" * LENGTH + "x",
    "pipes": "|" * LENGTH,
}


@pytest.mark.timeout(120)  # quadratic would take hours
@pytest.mark.parametrize("name", sorted(LONG_LINES))
def test_a_long_line_of_anything_takes_seconds(tmp_path, name):
    path = tmp_path / "a.txt"
    path.write_text(LONG_LINES[name])
    for read in (read_plain, read_markdown, read_html):
        text = read(path, tmp_path).text
        measure_all(Prose(drop_boilerplate(clean(text))[0]))


def test_a_run_goes_on_past_broken_files(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "good.md").write_text(GOOD)
    (folder / "empty.md").write_text("")
    (folder / "nul.txt").write_bytes(b"\x00" * 100_000)
    (folder / "nulls.txt").write_text("A few \x00 of them. Other text. " + good("dust"))
    (folder / "latin.txt").write_bytes(("Größe. Latin. " + good("gas")).encode("latin-1"))
    (folder / "wide.txt").write_bytes(("Größe. Wide. " + good("moons")).encode("utf-16"))
    (folder / "bad.jsonl").write_bytes(b'\xff\xfe{"text": \n[[[[[[[\n' + b"[" * 100_000)
    (folder / "bad.jsonl.gz").write_bytes(b"not gzip at all")
    whole = gzip.compress(os.urandom(20_000).hex().encode())
    (folder / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "bad.html").write_bytes(b"\x1f\x8b\x08\x00" + bytes(range(256)) * 20)
    texts, reasons = ingest(folder, tmp_path / "out")
    assert set(texts) == {"in/good", "in/nulls", "in/latin", "in/wide"}
    assert "Größe. Latin." in texts["in/latin"]
    assert "Größe. Wide." in texts["in/wide"]
    assert reasons["in/empty"] == "empty"
    assert reasons["in/nul"] == "binary"
    assert {"in/bad.jsonl", "in/bad.jsonl.gz", "in/cut", "in/bad.html"} <= set(reasons)


def test_links_out_of_the_root_are_not_followed(tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.md").write_text("SECRET " + GOOD)
    (folder / "good.md").write_text(GOOD)
    (folder / "file.md").symlink_to(tmp_path / "outside/secret.md")
    (folder / "folder").symlink_to(tmp_path / "outside")
    (folder / "sub/loop").symlink_to(folder)
    (folder / "sub/dangling.md").symlink_to(tmp_path / "nowhere.md")
    texts, reasons = ingest(folder, tmp_path / "out")
    assert list(texts) == ["in/good"]
    assert reasons == {
        "in/file.md": "outside-root",
        "in/folder": "outside-root",
        "in/sub/dangling.md": "outside-root",
    }


def test_devices_and_pipes_are_not_opened(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "good.md").write_text(GOOD)
    os.mkfifo(folder / "pipe.md")
    texts, _ = ingest(folder, tmp_path / "out")
    assert list(texts) == ["in/good"]


def test_lines_without_end_are_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonl_reader, "MAX_LINE_BYTES", 1000)
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "x" * 5000}) + "\n" + json.dumps({"text": "after"}) + "\n")
    rows = list(jsonl_reader.read_jsonl_documents(path, tmp_path))
    assert isinstance(rows[0], ReaderError)
    assert rows[0].reason == "line-too-long"
    assert isinstance(rows[1], Found)
    assert rows[1].result.text == "after"


def test_a_gzip_bomb_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonl_reader, "_FLOOR_BYTES", 100_000)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b" " * 20_000_000))
    rows = list(jsonl_reader.read_jsonl_documents(path, tmp_path))
    assert [row.reason for row in rows if isinstance(row, ReaderError)][-1] == "gzip-bomb"


def test_the_report_escapes_what_strangers_wrote(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "good.md").write_text(f"---\ntitle: t\nlicense: <script>alert(1)</script>\n---\n{GOOD}")
    (folder / "short.md").write_text("<img src=x onerror=alert(2)>")
    ingest(folder, tmp_path / "out")
    page = (tmp_path / "out/report.html").read_text()
    assert "<script>alert" not in page
    assert "<img" not in page
