"""`ingest --measure`: nothing is dropped, every measure is written, and the curves say what each threshold would keep."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sagecraft.artifact import Manifest, load
from sagecraft.corpus.documents import read_documents, read_dropped
from sagecraft.corpus.filters import FILTERS, FilterConfig
from sagecraft.corpus.ingest import IngestConfig, from_command, run
from sagecraft.corpus.measure import curve, curves, verdict
from sagecraft.corpus.measures import MEASURES
from sagecraft.errors import UserError

AT_LEAST = next(rule for rule in FILTERS if rule.field == "min_words")
AT_MOST = next(rule for rule in FILTERS if rule.field == "max_words")


def test_a_curve_against_counting():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 50, 400).astype(float)
    values[::7] = np.nan
    words = rng.integers(1, 1000, 400).astype(float)
    for rule in (AT_LEAST, AT_MOST):
        found = curve(rule, 20.0, values, words)
        assert found.num_measured == int(np.count_nonzero(~np.isnan(values)))
        for (x, share), (_, of_words) in zip(found.documents, found.words, strict=True):
            kept = np.array([rule.keeps(None if np.isnan(v) else v, x) for v in values])
            assert share == pytest.approx(kept.mean())
            assert of_words == pytest.approx(words[kept].sum() / words.sum())
        dropped = [position for position, v in enumerate(values) if not np.isnan(v) and not rule.keeps(v, 20.0)]
        assert found.num_dropped == len(dropped)
        assert [each.value for each in found.outside] == [19.0] * 3 if rule is AT_LEAST else [21.0] * 3
        assert {each.position for each in found.outside} < set(dropped)
        assert {each.value for each in found.inside} == {20.0}


def test_a_curve_of_nothing_and_of_a_rule_that_is_off():
    nothing = curve(AT_LEAST, 5.0, np.full(3, np.nan), np.ones(3))
    assert (nothing.documents, nothing.num_dropped, nothing.quantiles) == ([], 0, {})
    off = curve(AT_MOST, None, np.array([1.0, 9.0, 5.0]), np.ones(3))
    assert off.num_dropped == 0
    assert [each.value for each in off.inside] == [9.0, 5.0, 1.0]
    assert off.outside == []


def test_quantiles_are_thresholds_that_drop_so_many():
    values = np.arange(1000.0)
    low, high = curve(AT_LEAST, None, values, values), curve(AT_MOST, None, values, values)
    assert low.quantiles == {0.001: 1.0, 0.01: 10.0, 0.05: 50.0, 0.1: 100.0}
    assert high.quantiles == {0.001: 998.0, 0.01: 989.0, 0.05: 949.0, 0.1: 899.0}


SENTENCE = "The {} of the sample shows a line at {} and it is in the list of the survey. "


@pytest.fixture(scope="module")
def literature(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("measure") / "lit"
    root.mkdir()
    nouns = "spectrum orbit crater signal comet filter mirror survey".split()
    for number in range(8):
        text = "".join(SENTENCE.format(nouns[(number + n) % 8], number * 100 + n) for n in range(6 + number))
        (root / f"good{number}.md").write_text(f"# Title {number}\n\n{text}")
    (root / "stub.md").write_text("Too short a text.")
    (root / "damaged.txt").write_text("□▯ ~~ ^^ ¬¬ ¦¦ a " * 40)
    (root / "german.md").write_text(
        "Das Licht des Sterns ist hell und wir messen es mit dem neuen Gerät. Es ist rot. " * 2
    )
    (root / "bad.cnxml").write_text("<document><open>")
    return root


def measure(root: Path, out: Path) -> Manifest:
    config = IngestConfig(paths=[str(root)], measure=True, filters=FilterConfig(languages=["en", "und"]), workers=1)
    return run(config, {"path0": root}, out)


@pytest.fixture(scope="module")
def measured(literature) -> Path:
    measure(literature, literature.parent / "out")
    return literature.parent / "out"


def test_nothing_is_dropped_by_a_filter(measured):
    manifest = load(measured)
    ids = [document.id for document in read_documents(measured)]
    assert len(ids) == 11
    assert [row.reason for row in read_dropped(measured)] == ["bad-xml"]
    table = pq.read_table(measured / "measures.parquet").to_pylist()
    assert [row["id"] for row in table] == ids
    assert set(MEASURES) < set(table[0])
    rows = {row["id"]: row for row in table}
    assert rows["lit/stub"]["drops"] == ["too-short"]
    assert "non-text" in rows["lit/damaged"]["drops"]
    assert "language" in rows["lit/german"]["drops"]
    assert rows["lit/good3"]["drops"] == []
    assert rows["lit/good3"]["words"] == 3 + 19 * 9
    found = verdict(measured)
    assert manifest.stats["would_drop"]["num_documents"] == found.num_dropped == 3
    assert found.alone["too-short"] == 1
    by_rule = {each.rule.reason: each.num_dropped for each in curves(measured, FilterConfig())}
    assert all(by_rule[reason] == found.each[reason] for reason in by_rule)
    page = (measured / "report.html").read_text()
    assert "would drop 3 of 11 documents" in page
    assert "min_words" in page
    assert "Too short a text." in page


def test_what_would_be_dropped_is_dropped_without_it(tmp_path, literature, measured):
    rows = pq.read_table(measured / "measures.parquet").to_pylist()
    config = IngestConfig(paths=[str(literature)], filters=FilterConfig(languages=["en", "und"]), workers=1)
    run(config, {"path0": literature}, tmp_path / "real")
    real = {row.id: row.reason for row in read_dropped(tmp_path / "real") if row.reason != "bad-xml"}
    assert real == {row["id"]: row["drops"][0] for row in rows if row["drops"]}
    assert not (tmp_path / "real/measures.parquet").exists()


def test_two_runs_give_the_same_bytes(tmp_path, literature, measured):
    assert measure(literature, tmp_path / "again") == load(measured)


def test_settings_of_the_command(tmp_path):
    settings = tmp_path / "corpus.yml"
    settings.write_text("filters: {min_words: 7, licenses: [MIT]}\nreference: field.csv\nworkers: 1\n")
    (tmp_path / "field.csv").write_text("key,share\na,1\n")
    config, inputs = from_command([Path("a")], settings, measure=True, licenses=["CC-BY-*"], workers=3)
    assert config.measure
    assert (config.filters.min_words, config.filters.licenses, config.workers) == (7, ["CC-BY-*"], 3)
    assert inputs == {"path0": Path("a"), "reference": tmp_path / "field.csv"}
    assert from_command([Path("a")], None)[0] == IngestConfig(paths=["a"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("paths: [x]\n", "paths: are given on the command line"),
        ("filters: {min_word: 7}\n", "filters.min_word: unknown key; did you mean 'min_words'"),
        ("filters: 7\n", "filters: expected a mapping"),
        ("- a\n", "settings are a mapping of keys"),
        ("reference: gone.csv\n", "gone.csv: no such file"),
        ("filters: {languages: [English]}\n", "no code of ISO 639-1"),
    ],
)
def test_wrong_settings(tmp_path, text, said):
    settings = tmp_path / "corpus.yml"
    settings.write_text(text)
    with pytest.raises(UserError) as error:
        from_command([Path("a")], settings, licenses=["MIT"])
    assert said in str(error.value)


def test_a_reference_is_in_the_figures(tmp_path, literature):
    literature = shutil.copytree(literature, tmp_path / "lit")
    rows = [{"path": f"good{n}.md", "year": 2000 + n % 2, "categories": ["a"]} for n in range(8)]
    (literature / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "field.csv").write_text("key,share\n2000,3\n2001,1\n")
    config, inputs = from_command([literature], None, reference=tmp_path / "field.csv", workers=1)
    manifest = run(config, inputs, tmp_path / "out")
    [found] = manifest.stats["reference"]
    assert found == {"kind": "year", "distance": 0.25, "groups": {"2000": [0.5, 0.75], "2001": [0.5, 0.25]}}
    assert "reference" in manifest.inputs
    assert "like field.csv: too many of 2001 (50% here, 25% there)" in (tmp_path / "out/report.html").read_text()
