from __future__ import annotations

import struct
from pathlib import Path

from sagecraft import artifact
from sagecraft.reporting import plots, png
from sagecraft.reporting.page import Page

BARS = plots.accuracy_bars(["a", "b"], [0.5, 0.7], [(0.4, 0.6), (0.6, 0.8)], 0.25)


def test_a_drawing_becomes_the_same_pixels_twice_the_size_it_has_on_the_page() -> None:
    pixels = png.render(BARS)
    assert pixels == png.render(BARS)
    assert pixels[:8] == b"\x89PNG\r\n\x1a\n"
    # 345.6 × 104.4 points are 460.8 × 139.2 CSS pixels
    assert all(
        abs(size - 2 * css) <= 2 for size, css in zip(struct.unpack(">II", pixels[16:24]), (460.8, 139.2), strict=True)
    )


def test_text_and_colours_are_drawn() -> None:
    assert png.render(BARS) != png.render(BARS.replace(">chance<", "><"))
    assert png.render(BARS) != png.render(BARS.replace("#0072b2", "#009e73"))


def test_the_figures_of_a_page_are_named_by_their_captions_and_never_leave_the_folder(tmp_path: Path) -> None:
    page = Page("title")
    page.figure(BARS, "Accuracy with 95 % intervals. More of it.")
    page.figure(plots.stage_timings({"a": 1.0}), '"><script>../../é')
    page.details("again", lambda inner: inner.figure(BARS, "the same"))
    page.paragraph('<div class="drawing" role="img" aria-label="x"><svg></svg></div>')
    (tmp_path / "report.html").write_text(page.render(), encoding="utf-8")
    names = [file.relative_to(tmp_path).as_posix() for file in png.write_figures(tmp_path / "report.html")]
    assert names == ["plots/01-accuracy-with-95-intervals.png", "plots/02-script.png"]
    assert sorted(file.name for file in (tmp_path / "plots").iterdir()) == [name[6:] for name in names]


def test_the_pictures_are_not_in_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    for name in ("report.html", "plots/01-a.png", "plots.png", "results.json"):
        (tmp_path / name).write_bytes(b"x")
    assert artifact._files_of(tmp_path) == ["plots.png", "results.json"]
