"""The drawings of a page as PNG beside it, for slides and papers: the one way from a drawing to pixels.

The pixels are made by resvg from the very SVG that stands on the page, in the light colours and in DejaVu Sans, which
matplotlib brings along: no font of the machine is looked at. Pages may show times, so manifests list no PNG.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

_FIGURE = re.compile(
    r'<div class="drawing" role="img" aria-label="([^"]*)">(<svg.*?</svg>)\s*</div>', re.S
)  # as page.jinja writes it; a caption is escaped, so a stranger's text cannot look like it
_VARIABLE = re.compile(r"var\(--[a-z0-9-]+, *([^()]+)\)")
_FAMILY = re.compile(r"system-ui, -apple-system.*?sans-serif")
#: Pixels for each CSS pixel: 200 dots an inch at the size of a printed column.
_ZOOM = 2.0
_MAX_NAME = 48


def render(svg: str) -> bytes:
    """A drawing of `sagecraft.reporting.plots` as PNG on white.

    Raises:
        ValueError: it is not a drawing that can be rendered.
    """
    import resvg_py
    from matplotlib import get_data_path

    fonts = Path(get_data_path()) / "fonts" / "ttf"
    plain = _FAMILY.sub("'DejaVu Sans'", _VARIABLE.sub(r"\1", svg))
    return resvg_py.svg_to_bytes(
        svg_string=plain,
        background="#ffffff",
        dpi=96.0,  # CSS pixels an inch; without it a size in points is refused
        zoom=_ZOOM,
        skip_system_fonts=True,
        font_files=[str(fonts / name) for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")],
        font_family="DejaVu Sans",
        sans_serif_family="DejaVu Sans",
    )


def write_figures(page: Path) -> list[Path]:
    """Writes each figure of a page into `plots/` beside it, named by its number and the start of its caption.

    Args:
        page: a file written from `Page.render`.

    Returns:
        The files written, in the order of the page; a drawing that stands twice is written once.
    """
    found: dict[str, str] = {}
    for caption, svg in _FIGURE.findall(page.read_text(encoding="utf-8")):
        found.setdefault(svg, html.unescape(caption))
    written = []
    for number, (svg, caption) in enumerate(found.items(), 1):
        file = page.parent / "plots" / f"{number:02d}-{_name(caption)}.png"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(render(svg))
        written.append(file)
    return written


def _name(caption: str) -> str:
    """What a caption says in a file's name: small ASCII letters and figures, whole words, never empty."""
    words = re.sub(r"[^a-z0-9]+", "-", re.split(r"[.:;(]", caption.lower(), maxsplit=1)[0]).strip("-")
    return (words if len(words) <= _MAX_NAME else words[:_MAX_NAME].rpartition("-")[0]) or "figure"
