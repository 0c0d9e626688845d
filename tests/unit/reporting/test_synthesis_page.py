"""The page of a set of conversations: losses that add up, samples that are drawn, text that cannot act."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

from sagecraft import artifact
from sagecraft.reporting.synthesis_page import Sampled, SynthesisFacts, losses, render
from sagecraft.synthesis import page as pages
from sagecraft.synthesis.page import write_page
from sagecraft.synthesis.synth import SynthConfig

STATS: dict[str, Any] = {
    "num_documents": 2, "num_sentences": 90, "num_sentences_tied": 40, "num_conversations": 13, "num_general": 3,
    "num_questions": 7, "num_dropped": 9, "num_withheld_skipped": 1,
    "questions_by_kind": {"definition": 4, "number": 3}, "questions_by_rule": {"sentences": 7},
    "questions_dropped_by_rule": {"sentences": 3, "tables": 3},
    "rows_by_switch": {"on": 5, "off": 8}, "dropped_by_step": {"grade": 4, "leak": 3, "share": 1, "general": 1},
    "questions_dropped_by_step": {"grade": 4, "leak": 1, "share": 1},
    "dropped_by_reason": {"not-alone": 4, "in-benchmark": 3, "enough-of-number": 1, "unreadable": 1},
    "mixture": {
        "documents": {"rows": 10, "tokens": 500, "licenses": {"CC0-1.0": 10}},
        "chat.jsonl": {"rows": 3, "read": 6, "tokens": 100, "unreadable": 1, "in-benchmark": 2, "licenses": {"MIT": 3}},
    },
}  # fmt: skip
HOSTILE = "</script><script>alert(1)</script>"


def conversation(question: str, number: int = 0) -> dict[str, Any]:
    turns = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": "A bell.", "thinking": "Bells ring."},
    ]
    lineage = [{"document": "bells", "sentence": "A bell rings.", "position": 4}]
    row = {"id": f"row-{number}", "messages": turns, "thinking": "on", "kind": "definition", "rule": "sentences"}
    return row | {"source": "made-up", "license": "CC0-1.0", "lineage": lineage}


def dropped(reason: str, question: str) -> dict[str, Any]:
    row = {"document": "bells", "sentence": "It rings.", "kind": "number", "question": question, "answer": "Yes."}
    return row | {"step": "grade", "reason": reason}


def data_of(html: str) -> list[dict[str, Any]]:
    return [
        json.loads(text) for text in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', html, re.DOTALL)
    ]


def test_losses_add_up_without_general_rows() -> None:
    rows = losses(STATS)
    # 7 are asked; 4 were graded out, 1 of 3 leaks was a question and 2 were general rows, 1 was too many of its kind.
    assert rows[0] == ("made", 0, 13)
    assert rows[-1] == ("share", 1, 7)
    assert ("leak", 1, 8) in rows
    assert all(before[2] - row[1] == row[2] for before, row in itertools.pairwise(rows))


def test_the_page_tells_what_there_is_and_escapes_it() -> None:
    rows = [Sampled(1, conversation(f"What rings? {HOSTILE}"))]
    drops = [Sampled(5, dropped("not-alone", HOSTILE))]
    html = render(
        SynthesisFacts(STATS, "documents", rows, drops, {"teacher": "3 requests, at most 0.0100 USD"}, "seed: 0\n")
    )
    assert HOSTILE not in html
    assert "MIT (3)" in html
    assert "no model" not in html
    conversations, kept_aside = data_of(html)
    assert any("What rings?" in str(text) for text in conversations["texts"])
    assert "A bell rings." in conversations["texts"]
    assert conversations["rows"][0][2][1] == 1
    assert "these documents" in str(conversations), "each chapter is a source of its own, and no choice"
    shown = re.sub(r"<[^>]+>", " ", html)
    # of a rule that lost all of its questions, too; and words of question, thought and answer
    assert re.search(r"sentences\s+10\s+7\s+70.0 %\s+100.0 %\s+tables\s+3\s+0\s+0.0 %\s+0.0 %", shown)
    assert re.search(r"answer\s+on\s+2\s+2\s+2\s+question\s+on\s+3\s+3\s+3\s+thought\s+on\s+2\s+2\s+2", shown)
    assert kept_aside["rows"][0][2][1] == 5
    asked = STATS | {"num_teacher_asked": 3, "num_teacher_repaired": 1, "num_teacher_failed": 0}
    html = render(SynthesisFacts(asked, "documents", rows, [], {"teacher": "at most 0.0100 USD"}, "seed: 0\n"))
    assert "at most 0.0100" in html
    assert len(data_of(html)) == 1


def test_samples_are_drawn_from_all_and_the_same_each_time(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(pages, "NUM_OF_REASON", 3)
    monkeypatch.setattr(pages, "NUM_ROWS", 4)
    artifact.write_jsonl(tmp_path / "conversations.jsonl", [conversation(f"What {n}?", n) for n in range(9)])
    many = [dropped("not-alone", f"What {n}?") for n in range(50)] + [dropped("rare", "Who?")]
    artifact.write_jsonl(tmp_path / "dropped.jsonl", many)
    write_page(tmp_path, SynthConfig(), STATS, {})
    html = (tmp_path / "report.html").read_text()
    conversations, kept_aside = data_of(html)
    assert len(conversations["rows"]) == 4
    lines = [row[2][1] for row in kept_aside["rows"]]
    assert len(lines) == 4
    assert lines[-1] == 51
    assert lines[:3] != [1, 2, 3]
    for line in lines:
        assert many[line - 1]["question"] in kept_aside["texts"]
    write_page(tmp_path, SynthConfig(), STATS, {})
    assert (tmp_path / "report.html").read_text() == html
