from __future__ import annotations

import json
from pathlib import Path

import pytest

from sagecraft.planning.architecture import find_architecture, known_models


@pytest.mark.parametrize(("size", "millions"), [("1b", 698), ("4b", 3209), ("12b", 10759), ("27b", 25600)])
def test_gemma_has_as_many_parameters_as_its_report_says(size: str, millions: int) -> None:
    """Without the embedding, which is the head as well: table 1 of arXiv:2503.19786."""
    model = known_models()[f"google/gemma-3-{size}-it"]
    without = model.num_parameters() - model.vocab_size * model.hidden_size
    assert round(without / 1e6) == pytest.approx(millions, rel=1e-3)


def test_of_a_model_that_sees_the_text_part_counts(tmp_path: Path) -> None:
    text = {"model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34}
    whole = {"model_type": "gemma3", "text_config": text, "vision_config": {"hidden_size": 1152}}
    (tmp_path / "config.json").write_text(json.dumps(whole))
    found = find_architecture(str(tmp_path))
    assert found is not None
    assert found.num_parameters() == known_models()["google/gemma-3-4b-pt"].num_parameters()
