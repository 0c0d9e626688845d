from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pico import pico_model
from sagecraft.errors import MachineError, UserError
from sagecraft.publishing.publish import PublishConfig, run


@pytest.mark.parametrize("kind", ["f32", "q8_0"])
def test_the_gguf_is_checked_and_described(kind: Any, tmp_path: Path) -> None:
    model = pico_model(tmp_path / "model")
    manifest = run(PublishConfig(gguf=kind), {"model": model}, tmp_path / "out")
    assert (tmp_path / "out" / f"model-{kind}.gguf").read_bytes()[:4] == b"GGUF"
    card = (tmp_path / "out/README.md").read_text()
    assert card.startswith("---\n")
    assert f"model-{kind}.gguf" in card
    assert (tmp_path / "out/model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    assert manifest.stats["gguf_difference"] < 0.15


def test_a_gguf_that_computes_something_else_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sagecraft.publishing import gguf

    monkeypatch.setattr(gguf, "permute", lambda weight, num_heads: weight)
    with pytest.raises(MachineError):
        run(PublishConfig(gguf="f32"), {"model": pico_model(tmp_path / "model")}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_upload_takes_its_token_from_the_environment_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    calls = []

    class Hub:
        def __init__(self, token: str) -> None:
            calls.append(("token", token))

        def create_repo(self, name: str, exist_ok: bool, **_: object) -> None:
            calls.append(("create", name))

        def upload_folder(self, repo_id: str, folder_path: Path, **_: object) -> None:
            calls.append(("upload", str(folder_path)))

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    model = pico_model(tmp_path / "model")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(UserError, match="HF_TOKEN"):
        run(PublishConfig(push="owner/name"), {"model": model}, tmp_path / "out")
    monkeypatch.setenv("HF_TOKEN", "secret")
    manifest = run(PublishConfig(push="owner/name"), {"model": model}, tmp_path / "out")
    assert calls == [("token", "secret"), ("create", "owner/name"), ("upload", str(tmp_path / "out"))]
    assert "secret" not in manifest.model_dump_json()
    with pytest.raises(ValidationError):
        PublishConfig(push="../somewhere")
