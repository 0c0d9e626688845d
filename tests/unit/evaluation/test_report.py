from __future__ import annotations

import re

from sagecraft.evaluation import report
from sagecraft.reporting.page import Page


def _rows(*outcomes: str) -> list[dict[str, object]]:
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)>\x00\ud800</td></table>\"'&"
    return [
        {"id": hostile, "question": hostile * 20_000, "key": "A", "pick": "B", "outcome": outcome, "raw": hostile}
        for outcome in outcomes
    ]


def test_items_can_be_looked_at_by_outcome_and_two_modes_alike_do_not_share_their_choice() -> None:
    page = Page("title")
    report._items(page, _rows("correct", "wrong", "truncated"))
    report._items(page, [{**row, "id": "other"} for row in _rows("correct", "wrong", "truncated")])
    text = page.render()
    ids = re.findall(r'\sid="([^"]*)"', text)
    assert len(ids) == len(set(ids)) == 8  # all, and each outcome, of two tables
    assert len(re.findall(r'<tr class="g[012]">', text)) == 6


def test_hostile_items_stay_text_and_short() -> None:
    page = Page("title")
    report._items(page, _rows("correct", "wrong"))
    text = page.render()
    tags = {tag.lower() for tag in re.findall(r"<([a-zA-Z]+)", text)}
    assert not tags & {"script", "img", "iframe", "object"}
    assert text.count("</table>") == 1
    assert "\x00" not in text
    assert len(text.encode()) < 40_000  # 1.5 MB of question a row are cut
