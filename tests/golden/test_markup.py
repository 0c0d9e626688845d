"""Documents of every marked-up format to the text they must give. To change one on purpose: `python tests/golden/test_markup.py`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from sagecraft.corpus.readers.cnxml import read_cnxml
from sagecraft.corpus.readers.html import read_html
from sagecraft.corpus.readers.jats import read_jats
from sagecraft.corpus.readers.markdown import read_markdown

FOLDER = Path(__file__).parent / "markup"
READERS = {".html": read_html, ".nxml": read_jats, ".cnxml": read_cnxml, ".md": read_markdown}
SOURCES = sorted(path for path in FOLDER.iterdir() if path.suffix in READERS and not path.name.endswith(".golden.md"))


def rendered(path: Path) -> str:
    result = READERS[path.suffix](path, FOLDER)
    record = {key: value for key, value in asdict(result).items() if key != "text" and value}
    return f"---\n{yaml.safe_dump(record, allow_unicode=True)}---\n{result.text}\n"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_text_and_record(path: Path) -> None:
    assert rendered(path) == path.with_name(f"{path.name}.golden.md").read_text(encoding="utf-8")


if __name__ == "__main__":
    for source in SOURCES:
        source.with_name(f"{source.name}.golden.md").write_text(rendered(source), encoding="utf-8")
