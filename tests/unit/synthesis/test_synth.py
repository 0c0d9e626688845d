"""The stage: rows, shares, drops, and the same bytes for the same documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sagecraft import artifact
from sagecraft.chat.messages import read_conversations
from sagecraft.corpus.documents import Document, write_documents
from sagecraft.errors import UserError
from sagecraft.synthesis.mixing import GeneralConfig
from sagecraft.synthesis.synth import KINDS, SynthConfig, run

BELL = """# Bells

A bell is a hollow vessel of bronze that rings when it is struck. Bells were cast in pits in the Middle Ages.

## The casting of bells

The great bell of Erfurt was cast in 1497. The mass of the great bell of Erfurt is about 11.4 tonnes.
The pitch of a bell depends on its width and on the thickness of its wall. Bronze is harder than copper because tin
atoms hinder the layers of the crystal. When molten bronze cools slowly, its grain becomes coarse.
"""
CLOCK = """# Clocks

A pendulum clock is a clock that keeps time by a swinging weight. Christiaan Huygens invented the pendulum clock in 1656.

## The escapement of clocks

The great clock of Salisbury was built in 1386. The escapement of a clock is driven by a falling weight.
If the pendulum is lengthened, the clock runs slow. The period of a pendulum is given by $T = 2\\pi\\sqrt{l/g}$.
It was a surprise. The mass of the sample is 3 kg.
"""


def documents(folder: Path, *, reverse: bool = False) -> Path:
    made = [
        Document(id="bells", text=BELL, title="The casting of church bells", authors=["Ada Smith"], year=1999, license="CC0"),
        Document(id="clocks", text=CLOCK, title="How old clocks keep time", authors=["Bo Li", "Cy Roe"], year=2001),
    ]  # fmt: skip
    write_documents(folder, reversed(made) if reverse else made)
    return folder


def rows(out: Path, name: str = "conversations") -> list[dict[str, Any]]:
    return list(artifact.read_jsonl(out / f"{name}.jsonl"))


def questions(out: Path) -> set[str]:
    return {row["messages"][0]["content"] for row in rows(out)}


def test_rows_are_conversations_with_lineage(tmp_path: Path) -> None:
    config = SynthConfig(share_thinking=1.0, max_kind_share=1.0, max_pairs_per_sentence=9)
    manifest = run(config, {"documents": documents(tmp_path / "d")}, tmp_path / "out")
    made = list(read_conversations(tmp_path / "out" / "conversations.jsonl"))
    assert len(made) == manifest.stats["num_conversations"] == 2 * manifest.stats["num_questions"]
    assert {row.thinking for row in made} == {"on", "off"}
    asked = {row.messages[0].content: row for row in made}
    for question in ("What is a bell?", "When was the great clock of Salisbury built?"):
        assert question in asked
    # A phrase that needs its topic gets it.
    assert any(
        "How old clocks keep time" in one and one.endswith("invented the pendulum clock in 1656?") for one in asked
    )
    texts = {"bells": " ".join(BELL.split()), "clocks": " ".join(CLOCK.split())}
    for row in made:
        assert (row.messages[1].thinking is not None) == (row.thinking == "on")
        assert all(entry.sentence in texts[entry.document] for entry in row.lineage)
        assert row.lineage
    assert asked["What is a bell?"].license == "CC0"
    assert manifest.kind == "conversations"


ACCOUNTS = {
    "The hall of bells": "The hall holds many bells of bronze that were cast long ago. Each of the bells hangs on a beam of oak and rings at noon.",
    "Key Concepts and Summary": "The hall holds many bells of bronze that were cast long ago. Each of the bells hangs on a beam of oak and rings at noon.",
    "Bells in lists": "The hall holds many bells of bronze that were cast long ago. The table lists each of the bells that hangs on a beam of oak and rings at noon.",
    "Tasks for you": "Exercise 14. Would a bell of lead ring as long as a bell of bronze that was cast well? Why or why not, in your opinion of the matter?",
    "Bells to read of": "Smith, A. “The bells of Erfurt.” Bells & Towers (November 2021): 20. The casting of the great bells of the hall in the Middle Ages.",
    "Bells elsewhere": "The hall holds many bells of bronze (see The Tower) that were cast long ago. Each of the bells hangs on a beam and rings at noon.",
}


@pytest.mark.parametrize("heading", ACCOUNTS)
def test_an_account_is_of_a_subject_and_made_of_statements(heading: str) -> None:
    from sagecraft.literature.reading import Reading
    from sagecraft.synthesis.rules.sentences import sections

    document = Document(id="hall", text=f"## {heading}\n\n{ACCOUNTS[heading]}\n", title="The bells of the hall")
    made = list(sections(Reading(document, seed=0)))
    assert bool(made) is (heading == "The hall of bells")


def test_both_states_ask_and_answer_the_same(tmp_path: Path) -> None:
    run(SynthConfig(share_thinking=1.0), {"documents": documents(tmp_path / "d")}, tmp_path / "out")
    by_id = {row["id"]: row for row in rows(tmp_path / "out")}
    for name, row in by_id.items():
        other = by_id[name.removesuffix("-on") + "-off"] if name.endswith("-on") else by_id[name[:-4] + "-on"]
        assert row["messages"][0] == other["messages"][0]
        assert row["messages"][1]["content"] == other["messages"][1]["content"]


def test_same_bytes_whatever_the_order(tmp_path: Path) -> None:
    one = run(SynthConfig(), {"documents": documents(tmp_path / "a")}, tmp_path / "one")
    two = run(SynthConfig(), {"documents": documents(tmp_path / "b", reverse=True)}, tmp_path / "two")
    assert one.files == two.files
    three = run(SynthConfig(seed=1), {"documents": documents(tmp_path / "c")}, tmp_path / "three")
    assert three.files != one.files


def test_drops_have_reasons(tmp_path: Path) -> None:
    run(SynthConfig(), {"documents": documents(tmp_path / "d")}, tmp_path / "out")
    dropped = rows(tmp_path / "out", "dropped")
    assert dropped
    assert all(row["reason"] and row["question"] and row["document"] for row in dropped)
    assert any(row["reason"] == "not-alone" and "the sample" in row["question"] for row in dropped)
    assert not any("the sample" in question for question in questions(tmp_path / "out"))


def test_benchmark_questions_are_not_taught(tmp_path: Path) -> None:
    source = documents(tmp_path / "d")
    run(SynthConfig(), {"documents": source}, tmp_path / "free")
    assert "When was the great clock of Salisbury built?" in questions(tmp_path / "free")
    items = tmp_path / "items.jsonl"
    asked = {"question": "When was the great clock of Salisbury built?", "A": "1386", "B": "1486", "answer": "A"}
    items.write_text(json.dumps(asked) + "\n")
    general = tmp_path / "chat.jsonl"
    turns = [{"role": "user", "content": "Tell me: when was the great clock of Salisbury built?"}]
    turns.append({"role": "assistant", "content": "In 1386."})
    general.write_text(json.dumps({"id": "g1", "messages": turns}) + "\n")
    inputs = {"documents": source, "benchmark": items, "general": general}
    manifest = run(SynthConfig(), inputs, tmp_path / "out")
    assert manifest.stats["num_general"] == 0
    leaked = [row for row in rows(tmp_path / "out", "dropped") if row["reason"] == "in-benchmark"]
    assert "g1" in {row["document"] for row in leaked}
    assert all("great clock of Salisbury" in row["item_text"] for row in leaked)
    assert "When was the great clock of Salisbury built?" not in questions(tmp_path / "out")
    assert manifest.stats["dropped_by_reason"]["in-benchmark"] == 2


def test_general_rows_are_mixed_in(tmp_path: Path) -> None:
    general = tmp_path / "general.jsonl"
    hello = {"role": "assistant", "content": "Hello."}
    talks = [[{"role": "user", "content": f"Hi {i}"}, hello] for i in range(100)]
    general.write_text("".join(json.dumps({"id": f"g{i}", "messages": talk}) + "\n" for i, talk in enumerate(talks)))
    config = SynthConfig(general=GeneralConfig(share=0.4))
    manifest = run(config, {"documents": documents(tmp_path / "d"), "general": general}, tmp_path / "out")
    mixed = [row for row in rows(tmp_path / "out") if row["kind"] == "general"]
    assert len(mixed) == manifest.stats["num_general"]
    assert len(mixed) / manifest.stats["num_conversations"] == pytest.approx(0.4, abs=0.03)
    assert {row["thinking"] for row in mixed} == {"off"}


def test_shares_and_limits(tmp_path: Path) -> None:
    source = documents(tmp_path / "d")
    config = SynthConfig(shares={"metadata": 0.0, "account": 0.0}, max_pairs=4)
    manifest = run(config, {"documents": source}, tmp_path / "few")
    assert manifest.stats["num_questions"] == 4
    assert not {"metadata", "account"} & set(manifest.stats["questions_by_kind"])
    manifest = run(SynthConfig(max_pairs_per_document=2), {"documents": source}, tmp_path / "two")
    assert manifest.stats["num_questions"] <= 4
    manifest = run(SynthConfig(kinds=("definition",)), {"documents": source}, tmp_path / "kinds")
    assert set(manifest.stats["questions_by_kind"]) == {"definition"}
    run(SynthConfig(share_thinking=0.0), {"documents": source}, tmp_path / "single")
    names = [row["id"].rsplit("-", 1)[0] for row in rows(tmp_path / "single")]
    assert len(names) == len(set(names))
    wide = run(SynthConfig(max_pairs_per_sentence=5), {"documents": source}, tmp_path / "wide")
    narrow = run(SynthConfig(max_pairs_per_sentence=1), {"documents": source}, tmp_path / "narrow")
    assert wide.stats["num_questions"] > narrow.stats["num_questions"]


def test_withheld_documents_are_never_taught(tmp_path: Path) -> None:
    made = [
        Document(id="bells", text=BELL, title="Bells", withheld=True),
        Document(id="clocks", text=CLOCK, title="Clocks"),
    ]
    write_documents(tmp_path / "d", made)
    manifest = run(SynthConfig(), {"documents": tmp_path / "d"}, tmp_path / "out")
    assert (manifest.stats["num_documents"], manifest.stats["num_withheld_skipped"]) == (1, 1)
    assert {entry["document"] for row in rows(tmp_path / "out") for entry in row["lineage"]} == {"clocks"}


def test_bad_input(tmp_path: Path) -> None:
    write_documents(tmp_path / "empty", [Document(id="x", text="Oui. Non.")])
    with pytest.raises(UserError, match="no sentence gave a question"):
        run(SynthConfig(), {"documents": tmp_path / "empty"}, tmp_path / "out")
    with pytest.raises(UserError, match="no input `documents`"):
        run(SynthConfig(), {}, tmp_path / "out")
    items = tmp_path / "items.jsonl"
    items.write_text("{}\n")
    with pytest.raises(UserError, match=r"items\.jsonl: line 1.*question"):
        run(SynthConfig(), {"documents": documents(tmp_path / "d"), "benchmark": items}, tmp_path / "out")
    with pytest.raises(ValidationError):
        SynthConfig(kinds=("riddle",))  # type: ignore[arg-type]
    assert len(SynthConfig.model_fields) <= 15
    assert len(KINDS) == len(set(KINDS))


def test_general_sets_of_the_command(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from sagecraft.cli import app

    source = documents(tmp_path / "d")
    for name in ("a", "b"):
        turns = [
            [{"role": "user", "content": f"{name} {n}?"}, {"role": "assistant", "content": "Yes."}] for n in range(9)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"messages": each}) + "\n" for each in turns))
    sets = [f"--general={tmp_path}/a.jsonl", f"--general={tmp_path}/b.jsonl"]
    made = CliRunner().invoke(app, ["synth", str(source), "--out", str(tmp_path / "out"), *sets])
    assert made.exit_code == 0, made.output
    mixture = artifact.load(tmp_path / "out").stats["mixture"]
    assert mixture["a.jsonl"]["rows"] > 0
    assert abs(mixture["a.jsonl"]["rows"] - mixture["b.jsonl"]["rows"]) <= 1
    with pytest.raises(UserError, match="not downloaded"):
        run(SynthConfig(general=GeneralConfig(sources=[{"path": "no/such"}])), {"documents": source}, tmp_path / "no")  # type: ignore[list-item]


def test_the_page_accounts_for_every_question(tmp_path: Path) -> None:
    from sagecraft.reporting.synthesis_page import losses

    items = tmp_path / "items.jsonl"
    asked = {"question": "When was the great clock of Salisbury built?", "A": "1386", "B": "1486", "answer": "A"}
    items.write_text(json.dumps(asked) + "\n")
    general = tmp_path / "chat.jsonl"
    turns = [{"role": "user", "content": "Tell me: when was the great clock of Salisbury built?"}]
    turns.append({"role": "assistant", "content": "In 1386."})
    general.write_text(json.dumps({"id": "g1", "messages": turns}) + "\n")
    inputs = {"documents": documents(tmp_path / "d"), "benchmark": items, "general": general}
    stats = run(SynthConfig(), inputs, tmp_path / "out").stats
    lost = {step: count for step, count, _ in losses(stats)}
    questions_lost = [row for row in rows(tmp_path / "out", "dropped") if row["document"] != "g1"]
    assert len(questions_lost) == sum(lost.values()) == stats["num_dropped"] - 1
    assert lost["leak"] == sum(row["step"] == "leak" for row in questions_lost) > 0
    assert losses(stats)[-1][2] == stats["num_questions"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "What became of every question" in page
    assert all(reason in page for reason in stats["dropped_by_reason"])


def test_a_rule_that_breaks_on_a_document_costs_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sagecraft.literature.reading import Reading
    from sagecraft.synthesis import pairs

    def broken(reading: Reading) -> Any:
        if reading.document.id == "bells":
            raise IndexError("list index out of range")
        return iter(())

    source = documents(tmp_path / "d")
    whole = run(SynthConfig(), {"documents": source}, tmp_path / "whole")
    assert whole.stats["num_rules_failed"] == 0
    monkeypatch.setitem(pairs.RULES, "broken", broken)
    made = run(SynthConfig(), {"documents": source}, tmp_path / "out")
    assert made.stats["num_rules_failed"] == 1
    assert made.stats["num_questions"] == whole.stats["num_questions"]
    (fault,) = (row for row in rows(tmp_path / "out", "dropped") if row["reason"] == "rule-failed")
    assert (fault["document"], fault["rule"], fault["cause"]) == (
        "bells",
        "broken",
        "IndexError: list index out of range",
    )
