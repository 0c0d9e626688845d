import json

import pytest

from sagecraft.benchmark.decontaminate import DecontaminateConfig, run
from sagecraft.corpus.documents import Document, read_documents, read_dropped, write_documents
from sagecraft.errors import UserError

ITEM = {
    "id": "q1",
    "question": "How long does an undisturbed oxygen ion remain in the upper level?",
    "A": "one hour",
    "B": "37 seconds",
    "C": "a day",
    "D": "a year",
    "answer": "B",
    "kind": "withheld",
    "support": "An undisturbed ion stays in this level for about 37 seconds before it emits.",
}
CLEAN = "A first paragraph of a document that says nothing of the question at all."
ASKED = "So: how long does an undisturbed oxygen ion remain in the upper level? Nobody knows."
LAST = "A last paragraph follows."


@pytest.fixture
def task(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps(ITEM) + "\n")
    return path


def decontaminate(tmp_path, task, *texts, **config):
    source = tmp_path / "source"
    write_documents(source, [Document(id=f"d{number}", text=text) for number, text in enumerate(texts)])
    out = tmp_path / "out"
    manifest = run(DecontaminateConfig(**config), {"documents": source, "benchmark": task}, out)
    hits = [json.loads(line) for line in (out / "hits.jsonl").read_text().splitlines()]
    return manifest, {row.id: row.text for row in read_documents(out)}, hits


def test_the_paragraph_goes_and_both_texts_are_reported(tmp_path, task):
    text = f"{CLEAN}\n\n{ASKED}\n\n{LAST}"
    manifest, kept, (hit,) = decontaminate(tmp_path, task, text, CLEAN)
    assert kept == {"d0": f"{CLEAN}\n\n{LAST}", "d1": CLEAN}
    assert (hit["item"], hit["document"], hit["part"], hit["removed"]) == ("q1", "d0", "question", "paragraph")
    assert "remain in the upper level" in hit["item_text"]
    assert "so how long does an undisturbed oxygen ion" in hit["document_text"]
    assert manifest.stats["num_documents_hit"] == manifest.stats["num_items_hit"] == 1
    assert manifest.stats["num_chars_removed"] == len(ASKED) + 2
    assert "undisturbed" in (tmp_path / "out/report.html").read_text()


def test_support_of_a_withheld_item_is_a_hit(tmp_path, task):
    _, kept, (hit,) = decontaminate(tmp_path, task, f"{CLEAN} {ITEM['support'].upper()}\n\n{LAST}")
    assert hit["part"] == "support"
    assert kept == {"d0": LAST}


def test_a_hit_over_a_border_and_a_document_of_nothing_else_are_dropped(tmp_path, task):
    broken = ASKED.replace("oxygen ", "oxygen\n\n")
    _, kept, hits = decontaminate(tmp_path, task, broken, ASKED, CLEAN)
    assert set(kept) == {"d2"}
    assert [hit["removed"] for hit in hits] == ["document", "document"]
    assert {row.id: row.reason for row in read_dropped(tmp_path / "out")} == {
        "d0": "contaminated",
        "d1": "contaminated",
    }


def test_of_a_hit_over_a_border_both_paragraphs_go_and_no_more(tmp_path, task):
    broken = ASKED.replace("oxygen ", "oxygen\n\n")
    _, kept, _ = decontaminate(tmp_path, task, f"{CLEAN}\n\n{broken}\n\n{LAST}")
    assert kept == {"d0": f"{CLEAN}\n\n{LAST}"}


def test_what_goes_is_the_users_to_say(tmp_path, task):
    text = f"{CLEAN}\n\n{ASKED}"
    _, kept, hits = decontaminate(tmp_path, task, text, remove="nothing")
    assert kept == {"d0": text}
    assert hits[0]["removed"] == "nothing"
    _, kept, _ = decontaminate(tmp_path / "b", task, text, CLEAN, remove="document")
    assert set(kept) == {"d1"}
    with pytest.raises(UserError, match=r"no document of .* is left"):
        decontaminate(tmp_path / "c", task, text, remove="document")


def test_longer_ngrams_find_less(tmp_path, task):
    text = f"{CLEAN} The undisturbed oxygen ion remain in the upper level."
    assert decontaminate(tmp_path, task, text, LAST)[2]
    assert not decontaminate(tmp_path / "b", task, text, LAST, ngram_words=12)[2]
