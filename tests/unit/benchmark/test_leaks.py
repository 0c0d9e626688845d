"""Items that stand in training documents: verbatim, changed, split, or as a cell of another table."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from sagecraft import artifact
from sagecraft.artifact import keyed_hash
from sagecraft.benchmark.build import run
from sagecraft.benchmark.config import BenchConfig
from sagecraft.corpus.documents import Document, write_documents
from sagecraft.synthesis import synth
from sagecraft.synthesis.synth import SynthConfig

TEXT = """The towers of the hill country were raised by masons who came over the pass with mules and lime. The tower of Brill stands on 17 piles of oak which were driven into the bed of the stream.
Its bell weighs 36 tonnes and was cast in a pit beside the wall, as the account books of the abbey tell. The toll of the bridge below paid for the roof, for the lead and for the wages of the bell ringers.
Nobody has counted the stairs that lead up to the lantern, but the guild holds that there are 412 of them."""
TABLE = """# Rivers of the hill country

Table 1. Rivers of the hill country

| River | Length (km) | Fall (m) |
|---|---|---|
| Arn | 240 | 31 |
| Brill | 117 | 52 |
| Corv | 366 | 78 |
| Dane | 512 | 96 |
| Esk | 71 | 140 |"""
OTHER = "A miller ground rye for the garrison before the frost broke the wheel of his mill, and sold what was left at the fair."


def dropped(
    tmp_path: Path, text: str, training: str, title: str = "Towers of the hill country"
) -> tuple[int, dict[str, int]]:
    """Items that are left, and what was dropped by reason."""
    write_documents(tmp_path / "docs", [Document(id="d", title=title, year=2020, text=text)])
    write_documents(tmp_path / "training", [Document(id="t", text=OTHER), Document(id="u", text=training)])
    inputs = {"documents": tmp_path / "docs", "training": tmp_path / "training"}
    try:
        manifest = run(BenchConfig(), inputs, tmp_path / "out")
    except Exception as error:
        assert "no sentence" in str(error)  # noqa: PT017 - nothing is left
        return 0, {}
    return manifest.stats["num_items"], manifest.stats["dropped_by_reason"]


def exchanged(text: str) -> str:
    """One word of ten exchanged, numbers among them."""
    return " ".join(f"x{n}" if keyed_hash("word", n) % 10 == 0 else word for n, word in enumerate(text.split()))


CHANGES: dict[str, Callable[[str], str]] = {
    "verbatim": lambda text: text,
    "inside a longer text": lambda text: f"{OTHER}\n\n{OTHER} {text} {OTHER}",
    "capitals and no marks": lambda text: re.sub(r"[.,]", " ", text.upper()),
    "other numbers": lambda text: re.sub(r"\d", lambda found: str((int(found[0]) + 3) % 10), text),
    "sentences in another order": lambda text: " ".join(reversed(re.split(r"(?<=\.)\s", text))),
    "one word of ten": exchanged,
    "one sentence": lambda text: re.split(r"(?<=\.)\s", text)[1],
}


def test_what_stands_nowhere_is_asked(tmp_path: Path) -> None:
    assert dropped(tmp_path, TEXT, OTHER)[0] >= 1


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_text_that_stands_in_training_is_not_asked(tmp_path: Path, change: Callable[[str], str]) -> None:
    assert dropped(tmp_path, TEXT, change(TEXT)) == (0, {})


TURNED = """| River | Arn | Brill | Corv | Dane | Esk |
|---|---|---|---|---|---|
| Length of the river (km) | 240 | 117 | 366 | 512 | 71 |
| Fall of the river (m) | 31 | 52 | 78 | 96 | 140 |"""


def test_a_cell_that_stands_in_another_table_is_not_asked(tmp_path: Path) -> None:
    kept, _ = dropped(tmp_path / "none", TABLE, OTHER, "Rivers")
    assert kept >= 3
    assert dropped(tmp_path / "same", TABLE, TABLE, "Rivers") == (0, {})
    assert dropped(tmp_path / "turned", TABLE, f"{OTHER}\n\n{TURNED}", "Rivers") == (0, {})
    other_values = re.sub(r"\d+(?= \|)", lambda found: str(int(found[0]) + 1000), TABLE)
    assert dropped(tmp_path / "other", TABLE, other_values, "Rivers")[0] == kept


@pytest.mark.parametrize("with_support", [True, False])
def test_no_pair_asks_what_an_item_asks(tmp_path: Path, with_support: bool) -> None:
    """Also where the file tells only question, options and key: the gaps of the statement are filled, and it is looked for."""
    text = "The great bell of Brill was cast in 1497 by a founder from the south. The mass of the great bell of Corv is about 36 tonnes."
    write_documents(tmp_path / "docs", [Document(id="d", title="Bells of the hill country", year=2020, text=text)])
    item = {
        "id": "1", "kind": "withheld", "answer": "B", "A": "1386", "B": "1497", "C": "1612", "D": "1703",
        "question": "Which value stands in the gap of the statement from the text “Bells of the hill country” (section “Of bells that fell in storms”): "
        "“The great bell of Brill was cast in ____ by a founder from the south.”?",
    }  # fmt: skip
    if with_support:
        item["support"] = "The great bell of Brill was cast in 1497 by a founder from the south."
    artifact.write_jsonl(tmp_path / "bench.jsonl", [item])
    config = SynthConfig(workers=1, max_kind_share=1.0)
    synth.run(config, {"documents": tmp_path / "docs"}, tmp_path / "free")
    synth.run(config, {"documents": tmp_path / "docs", "benchmark": tmp_path / "bench.jsonl"}, tmp_path / "out")
    asked = [[row["messages"][0]["content"] for row in artifact.read_jsonl(tmp_path / name / "conversations.jsonl")] for name in ("free", "out")]  # fmt: skip
    assert any("1497" in question or "Brill" in question for question in asked[0])
    assert not any("Brill" in question for question in asked[1])
    assert any("Corv" in question for question in asked[1])
