"""What all tests share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parent))

from pico import pico_model

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def pico(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pico Llama folder; read-only by convention."""
    return pico_model(tmp_path_factory.mktemp("pico") / "model")


@pytest.fixture
def shared_data() -> Path:
    """`../shared/data`, or a loud skip."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared/data, which this machine does not have")
    return SHARED
