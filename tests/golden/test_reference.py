"""What is generated must be what the code says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_recipe_reference_is_current() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs/recipe.md").read_text() == module.render(), "run: python docs/generate.py"
    explained = [line for line in module.render().splitlines() if line.startswith("| `")]
    assert len(explained) > 60
    assert not [line for line in explained if line.rstrip().endswith("|  |")], "every key is explained"
