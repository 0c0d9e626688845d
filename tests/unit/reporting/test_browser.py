"""Lists of a page: the data cannot leave its element, stays bounded, and a reader can filter, sort, turn and open."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.chromium import ask

from sagecraft.reporting.browser import Browser, Column, Entry, Grid, Text, browser, script_json
from sagecraft.reporting.page import Page

HOSTILE = (
    '"></pre></script><script>document.title = "owned"</script><img src=x onerror="document.title=1"><!--<script>'
    "\x00\x1b\x85\u202e\u2066\u2028\ud800]]>&lt;&amp;"
)
COLUMNS = [
    Column("id"),
    Column("outcome", "choice", tones={"correct": "good"}),
    Column("tokens", "number", minor=True),
]


def entry(number: int, **changes: Any) -> Entry:
    cells = [f"q{number}", "correct" if number % 3 else "wrong", number * 37 % 101 if number else None]
    parts = [
        Text("prompt", ["Question: ", f"item {number}?", "\nAnswer:"], searched=False),
        Grid("options", [Column("letter"), Column("share", "number")], [["A", 0.1234567], ["B", None]], [["key"], []]),
        Text("reply", [changes.get("reply", f"reply {number}")], folded=True),
    ]
    return Entry(changes.get("cells", cells), parts, ("items.jsonl", number + 1))


def page_of(made: Browser) -> str:
    page = Page("A list")
    page.paragraph("before")
    page.browser(made)
    return page.render()


def data_of(made: Browser) -> Any:
    return json.loads(made.data)


def whole(data: Any, pieces: list[int]) -> str:
    return "".join(data["texts"][number] for number in pieces)


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


@settings(max_examples=80, deadline=None)
@given(st.text(alphabet=st.sampled_from("<>&/!-scriptSCRIPT\"'\\\x00\x7f\u2028\u202e\ud800é😀\n"), max_size=40))
def test_a_text_is_in_the_data_as_it_was_and_does_not_end_it(text: str) -> None:
    made = browser("list", [Column("id")], [Entry([text], [Text("t", [text])])], instead="needs scripts")
    assert not re.search("[<>&\x7f\u2028\u202e\ud800]", made.data)
    data = data_of(made)
    assert data["texts"][data["rows"][0][0][0]] == text
    assert Elements(page_of(made)).tags == Elements(page_of(browser("list", [Column("id")], [Entry(["x"])], "y"))).tags


def test_prompts_are_exact_and_what_recurs_is_kept_once() -> None:
    data = data_of(browser("list", COLUMNS, [entry(n) for n in range(100)], "y"))
    assert whole(data, data["rows"][7][1][0][1]) == "Question: item 7?\nAnswer:"
    assert data["texts"].count("\nAnswer:") == 1
    assert data["rows"][7][2] == [data["texts"].index("items.jsonl"), 8]
    assert data["rows"][7][1][1][1][0] == [[data["texts"].index("A"), 0.12346], [data["texts"].index("key")]]


def test_long_texts_are_cut_in_the_middle_and_the_list_stays_within_its_bytes() -> None:
    long = "<" * 1_000_000 + "the end"
    data = data_of(browser("list", COLUMNS, [entry(0, reply=long)], "y"))
    head, left_out, tail = data["texts"][data["rows"][0][1][2][1][0]]
    assert len(head) + left_out + len(tail) == len(long)
    assert tail.endswith("the end")
    assert (data["limit"], data["cut"]) == (20_000, 1)
    entries = [entry(n, reply=f"{n}" + "<" * 5_000) for n in range(60)]
    made = browser("list", COLUMNS, entries, "y", max_bytes=100_000)
    assert 20_000 < len(made.data.encode()) <= 100_000
    assert len(data_of(made)["rows"]) == 60  # `<` takes six bytes as it is written
    shared = [entry(n, reply="example " * 500) for n in range(60)]  # as few-shot examples are: they count once
    assert data_of(browser("list", COLUMNS, shared, "y", max_bytes=20_000))["cut"] == 0
    fewer = browser("list", COLUMNS, entries, "y", max_bytes=10_000)
    assert len(fewer.data.encode()) <= 10_000
    assert 0 < len(data_of(fewer)["rows"]) < 60 == data_of(fewer)["total"]


def test_the_same_entries_give_the_same_bytes() -> None:
    assert browser("l", COLUMNS, [entry(n) for n in range(9)], "y") == browser(
        "l", COLUMNS, [entry(n) for n in range(9)], "y"
    )


def test_columns_of_too_many_values_are_not_chosen_from() -> None:
    columns = [Column("id", "choice"), Column("topic", "choice")]
    entries = [Entry([str(n), str(n % 300)]) for n in range(400)]
    assert [column["kind"] for column in data_of(browser("list", columns, entries, "y"))["columns"]] == [
        "text",
        "choice",
    ]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="has 1 cells, the list has 3 columns"):
        browser("list", COLUMNS, [Entry(["x"])], "y")
    with pytest.raises(ValueError, match="column tokens: 'x' is no number"):
        browser("list", COLUMNS, [entry(1, cells=["q", "wrong", "x"])], "y")
    with pytest.raises(ValueError, match="needs columns"):
        browser("list", [], [], "y")
    assert (
        data_of(browser("list", COLUMNS, [entry(1, cells=["q", "wrong", float("nan")])], "y"))["rows"][0][0][2] is None
    )


def test_only_a_page_with_a_list_has_a_script_and_its_policy_names_it() -> None:
    plain = Page("x")
    plain.paragraph("y")
    assert "script" not in plain.render()
    text = page_of(browser("list", COLUMNS, [entry(1)], "y"))
    assert re.findall(r"<script[^>]*>", text) == ['<script type="application/json">', "<script>"]
    assert "require-trusted-types-for 'script'; trusted-types 'none'" in text
    folded = Page("x")
    folded.details("more", lambda inner: inner.browser(browser("list", COLUMNS, [entry(1)], "y")))
    assert "script-src 'sha256-" in folded.render()


def test_the_script_makes_no_markup_and_asks_for_nothing() -> None:
    import sagecraft.reporting as reporting

    script = (Path(str(reporting.__file__)).parent / "browser.js").read_text(encoding="utf-8")
    for name in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval",
        "Function(",
        "fetch",
        "http",
    ):
        assert name not in script
    assert "</script" not in script
    assert script_json("</script>") == '"\\u003c/script\\u003e"'


def test_a_reader_filters_sorts_turns_and_opens(tmp_path: Path) -> None:
    entries = [entry(n) for n in range(120)]
    told = ask(
        page_of(browser("list", COLUMNS, entries, "needs scripts")),
        tmp_path,
        """
        const ids = () => [...document.querySelectorAll("tr.entry button")].map((b) => b.textContent);
        const status = () => document.querySelector("[role=status]").textContent;
        const found = { first: ids().length, status: status(), note: !!document.querySelector(".note") };
        const [next] = [...document.querySelectorAll("button")].filter((b) => b.textContent === "next");
        next.click();
        found.second = ids()[0];
        const select = document.querySelector("select");
        found.choices = [...select.options].map((o) => o.textContent);
        select.value = "1";
        select.dispatchEvent(new Event("change"));
        found.wrong = [status(), ids()[1]];
        const tokens = document.querySelectorAll("th button")[2];
        tokens.click();
        found.sorted = [ids()[0], document.querySelectorAll("th")[2].getAttribute("aria-sort")];
        tokens.click();
        found.reversed = ids()[0];
        document.querySelector("input").value = " REPLY 99 ";
        document.querySelector("input").dispatchEvent(new Event("input"));
        await wait(200);
        found.searched = ids();
        const line = document.querySelector("tr.entry button");
        line.focus();
        line.click();
        found.opened = line.getAttribute("aria-expanded");
        found.texts = [...document.querySelectorAll("tr.open pre")].map((p) => p.textContent);
        found.folded = document.querySelector("tr.open details").open;
        found.marks = [...document.querySelectorAll(".mark")].map((m) => m.textContent);
        found.source = document.querySelector(".source").textContent;
        document.querySelector("input").value = "Question:";
        document.querySelector("input").dispatchEvent(new Event("input"));
        await wait(200);
        found.nothing = status();
        return found;
        """,
    )
    by_tokens = sorted(range(3, 120, 3), key=lambda n: n * 37 % 101)
    assert told == {
        "first": 50,
        "status": "1 to 50 of 120",
        "note": False,
        "second": "q50",
        "choices": ["all", "correct (80)", "wrong (40)"],
        "wrong": ["1 to 40 of 40 (120 in all)", "q3"],
        "sorted": [f"q{by_tokens[0]}", "ascending"],
        "reversed": f"q{by_tokens[-1]}",
        "searched": ["q99"],
        "opened": "true",
        "texts": ["Question: item 99?\nAnswer:", "reply 99"],
        "folded": False,
        "marks": ["key"],
        "source": "in full: items.jsonl, line 100",
        "nothing": "none of 120",
    }


def test_a_hidden_choice_is_filtered_by_and_not_shown(tmp_path: Path) -> None:
    columns = [Column("id"), Column("kind", "choice", hidden=True), Column("n", "number")]
    entries = [Entry([f"q{n}", "odd" if n % 2 else "even", -n], [Text("t", ["x"])]) for n in range(10)]
    told = ask(
        page_of(browser("list", columns, entries, "y")),
        tmp_path,
        """
        const select = document.querySelector("select");
        select.value = "1";
        select.dispatchEvent(new Event("change"));
        [...document.querySelectorAll("th button")][1].click();
        document.querySelector("tr.entry button").click();
        const texts = (selector) => [...document.querySelectorAll(selector)].map((box) => box.textContent);
        return [texts("th button"), texts("tr.entry")[0], document.querySelector("tr.open td").colSpan];
        """,
    )
    assert told == [["id", "n\N{NO-BREAK SPACE}▴"], "q9\N{MINUS SIGN}9", 2]


def test_keys_go_from_entry_to_entry_and_turn_the_page(tmp_path: Path) -> None:
    told = ask(
        page_of(browser("list", COLUMNS, [entry(n) for n in range(120)], "y")),
        tmp_path,
        """
        const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
        const here = () => document.activeElement.textContent;
        document.querySelector("tr.entry button").focus();
        const found = [];
        for (const key of ["ArrowDown", "ArrowDown", "ArrowUp", "PageDown", "PageDown", "PageDown", "PageUp"]) {
          press(key);
          found.push(here());
        }
        return found;
        """,
    )
    assert told == ["q1", "q2", "q1", "q50", "q100", "q100", "q50"]


def test_hostile_text_does_nothing(tmp_path: Path) -> None:
    cells = [HOSTILE, HOSTILE, 1]
    parts = [
        Text(HOSTILE, [HOSTILE]),
        Grid(HOSTILE, [Column(HOSTILE)], [[HOSTILE]], [[HOSTILE]]),
        Text(HOSTILE, [HOSTILE * 2_000], folded=True),
        Text(HOSTILE, [HOSTILE], running=True),
    ]
    columns = [Column(HOSTILE), Column(HOSTILE, "choice", tones={"__proto__": "bad"}), Column("n", "number")]
    entries = [Entry(cells, parts, (HOSTILE, 1)), Entry(["__proto__", "constructor", 2])]
    told = ask(
        page_of(browser(HOSTILE, columns, entries, HOSTILE)),
        tmp_path,
        """
        const scripts = document.scripts.length;
        document.querySelector("tr.entry button").click();
        await wait(100);
        let refused = false;
        try { document.querySelector("h1").innerHTML = "<b>x</b>"; } catch (error) { refused = true; }
        return {
          refused, title: document.title, grown: document.scripts.length - scripts,
          foreign: document.querySelectorAll(".browser img, .browser tr script, .browser h4 *").length,
          odd: document.querySelector("tr.entry .odd").textContent,
          text: document.querySelector("tr.open pre").textContent.slice(0, 40),
          cut: document.querySelectorAll(".left-out").length,
        };
        """,
    )
    assert told == {
        "refused": True,
        "title": "A list",
        "grown": 0,
        "foreign": 0,
        "odd": "U+0000",
        "text": HOSTILE[:40],
        "cut": 1,
    }


def test_without_scripts_a_reader_is_told(tmp_path: Path) -> None:
    text = page_of(browser("list", COLUMNS, [entry(1)], "needs scripts; items.csv has the items"))
    assert "needs scripts; items.csv has the items" in text
    # a policy that lets no script run is what a reader without scripts has
    closed = re.sub(r"script-src '[^;]*;", "script-src 'none';", text)
    assert ask(closed, tmp_path) is None
