"""The page of an evaluation: what a reader finds, that the whole of it stays small, and that hostile text does nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.asked_items import evaluation, items
from tests.chromium import ask

from sagecraft.evaluation import report
from sagecraft.evaluation.task_facts import describe_task

HOSTILE = (
    '</script><script>document.title="owned"</script><img src=x onerror="document.title=1"></td></table>'
    "<!--<script>\x00\x1b[31m\u202e\u2066\u2028]]>\"'&amp;"
)


def headings(page: str) -> list[str]:
    return re.findall(r"<h2[^>]*>([^<]*)</h2>", page)


def test_the_page_begins_with_the_verdict_and_ends_with_how_it_was_measured() -> None:
    page = report.render(*evaluation())
    assert headings(page) == ["continuation", "letter", "generate", "Every item", "How this was measured"]
    note = re.search(r'<p class="note" role="note">([^<]*)</p>', page)
    assert note is not None
    assert note[1].startswith("a model answers ")
    assert page.index(note[0]) < page.index('class="cards"') < page.index("<svg") < page.index("application/json")
    captions = re.findall(r"<figcaption>([^<]*)</figcaption>", page)
    assert captions[:5] == [
        "Accuracy with 95 % intervals",
        "What became of the answers",
        "Accuracy by kind",
        "Accuracy by topic",
        "Questions on which two modes pick the same option",
    ]
    assert "0" * 64 in page
    assert "1" * 64 in page
    assert "generate: the first prompt as the model saw it" in page
    assert "&lt;|im_start|&gt;user" in page
    links = re.findall(r'<a href="([^"#]*)"', page)
    assert links == ["items.csv", "summary.csv", "items.jsonl", "results.json"]


def test_the_same_evaluation_gives_the_same_bytes() -> None:
    modes = ("letter",)
    assert report.render(*evaluation(modes=modes)) == report.render(*evaluation(modes=modes))


def test_one_mode_without_a_key_and_numbers_have_pages_too() -> None:
    results, rows = evaluation(modes=("generate",), keyed=False)
    page = report.render(results, rows)
    assert "This set has no key" in page
    assert "predictions.csv" in page
    assert "Accuracy" not in page
    results, rows = evaluation(modes=("generate",))
    for row in rows:
        row |= {"options": [], "key": "12", "pick": "12"}
    results["modes"]["generate"].pop("picks")
    results["modes"]["generate"] |= {"guessing": None, "position_bias": None}
    assert "guessing" not in report.render(results, rows).split("<script")[0]


def test_what_a_set_gives_away_its_examples_and_its_other_orders_are_told() -> None:
    results, rows = evaluation(modes=("letter",))
    plain = report.render(results, rows)
    assert "About the set" not in plain
    assert "permutations.jsonl" not in plain
    results["task_facts"] = {
        **describe_task(items(24)), "num_equal_options": 2, "equal_options": ["q1" * 1_000, "q2"],
    }  # fmt: skip
    results["shots"] = {"n": 5, "file": "dev.csv", "sha256": "2" * 64}
    orders = {"num_presentations": 96, "n": 24, "consistency": 0.5, "num_unread": 0}
    results["modes"]["letter"]["permutations"] = orders
    page = report.render(results, rows)
    told = re.search(r"<p>About the set: ([^<]*)</p>", page)
    assert told is not None
    assert "questions with two equal options: 2 (q1q1" in told[1]
    assert len(told[1]) < 500
    assert f"Before each question stand 5 solved ones of dev.csv (sha256 {'2' * 64})." in page
    assert 'href="permutations.jsonl"' in page


def test_topics_without_end_are_drawn_by_the_largest() -> None:
    results, rows = evaluation(modes=("letter",))
    group = results["modes"]["letter"]["by_topic"]["topic 0"]
    results["modes"]["letter"]["by_topic"] = {f"topic {n} {'x' * 50_000}": {**group, "n": n} for n in range(300)}
    page = report.render(results, rows)
    assert "Accuracy by topic; the 40 of 300 with most questions" in page
    assert "The 200 of 300 with most questions" in page
    shown = re.findall(r"<td>topic (\d+) x+…</td>", page)
    assert [int(name) for name in shown] == list(range(100, 300))
    assert len(page) < 500_000


def test_a_page_stays_small_whatever_the_model_writes() -> None:
    results, rows = evaluation(num_items=20, modes=("generate",))
    for row in rows:
        row["raw"] = f"{row['id']} " + "<" * 1_000_000
    page = report.render(results, rows)
    assert len(page.encode()) < 20_000_000
    data = re.search(r'<script type="application/json">(.*?)</script>', page)
    assert data is not None
    found = json.loads(data[1])
    assert len(found["rows"]) == len(rows)
    assert found["cut"] == 20


def test_files_beside_the_page(tmp_path: Path) -> None:
    report.write(tmp_path, *evaluation(modes=("letter",)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["items.csv", "plots", "report.html", "summary.csv"]
    assert len(list((tmp_path / "plots").glob("*.png"))) == 6


def test_hostile_text_does_nothing_and_reads_as_it_is(tmp_path: Path) -> None:
    results, rows = evaluation(num_items=12, hostile=HOSTILE, modes=("letter", "generate"))
    for row in rows[-3:]:
        row["raw"] = HOSTILE * 10_000
        row["thought"] = "\ud800" * 50
    told = ask(
        report.render(results, rows),
        tmp_path,
        """
        for (const button of document.querySelectorAll("tr.entry button")) button.click();
        for (const folded of document.querySelectorAll("details")) folded.open = true;
        await wait(200);
        return {
          title: document.title.slice(0, 7), images: document.images.length, scripts: document.scripts.length,
          rows: document.querySelectorAll("tr.open").length,
          prompt: document.querySelector("tr.open pre").textContent,
          cut: document.querySelectorAll(".left-out").length,
        };
        """,
    )
    odd = {"\x00": "U+0000", "\x1b": "U+001B", "\u202e": "U+202E", "\u2066": "U+2066", "\u2028": "U+2028"}
    shown = rows[0]["prompt"]
    for character, name in odd.items():
        shown = shown.replace(character, name)
    # the data, the list's script, and that of this test
    assert told == {"title": "a model", "images": 0, "scripts": 3, "rows": 24, "prompt": shown, "cut": 3}
