from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ConfigDict

from pico import pico_model
from sagecraft import artifact
from sagecraft.errors import MachineError, UserError
from sagecraft.publishing.lineage import read_history
from sagecraft.publishing.publish import PublishConfig, model_files, run, upload
from sagecraft.reporting.markdown import escape


class Settings(BaseModel):
    """Stands for any stage's configuration."""

    model_config = ConfigDict(frozen=True, extra="allow")


def step(folder: Path, kind: str, stage: str, inputs: dict[str, Path], stats: dict[str, Any], **config: Any) -> Path:
    """An artifact of one file, or a pico model."""
    with artifact.build(folder, kind=kind, stage=stage, version=1, config=Settings(**config), inputs=inputs) as build:
        if kind == "model":
            made = pico_model(build.path.with_name(f"{folder.name}-source"), seed=sum(map(ord, folder.name)))
            for file in made.iterdir():
                file.rename(build.path / file.name)
            made.rmdir()
        else:
            inner = build.path / "training" / "data.txt" if stage == "withhold" else build.path / "data.txt"
            artifact.write_text(inner, folder.name)
        if kind == "evaluation":
            artifact.write_json(build.path / "results.json", stats)
        else:
            build.stats.update(stats)
    return folder


def results(accuracy: float) -> dict[str, Any]:
    return {
        "mode": "continuation", "n": 120, "accuracy": accuracy, "ci95": [accuracy - 0.05, accuracy + 0.05],
        "perplexity": {"domain": {"perplexity": 14.25, "num_tokens": 9}}, "seconds": 3.2,
    }  # fmt: skip


@pytest.fixture
def merged(tmp_path: Path) -> Path:
    """A run folder with everything a quickstart leaves, in miniature."""
    top = tmp_path / "run"
    base = step(
        top / "fetch", "model", "fetch", {},
        {"name": "smollm2-135m-instruct-q4_1", "title": "SmolLM2, de-quantised", "license": "Apache-2.0", "quantisation": "Q4_1"},
    )  # fmt: skip
    source = tmp_path / "papers.txt"
    source.write_text("text")
    documents = step(
        top / "ingest", "documents", "ingest", {"path0": source},
        {"num_documents": 42, "num_words": 38398, "licenses": {"CC-BY-4.0": 40, "CC-BY-NC-4.0": 2}},
        paths=["/home/somebody/papers"],
    )  # fmt: skip
    held = step(top / "withhold", "documents", "withhold", {"documents": documents}, {"num_withheld": 12})
    tokens = step(top / "pack", "tokens", "pack", {"documents": held / "training", "model": base}, {"num_tokens": 9})
    cpt = step(
        top / "cpt", "model", "cpt", {"model": base, "tokens": tokens}, {"num_steps": 7, "last_loss": 2.5},
        optimizer={"learning_rate": 0.0002}, cache="/home/somebody/cache",
    )  # fmt: skip
    chats = step(
        top / "synth", "conversations", "synth", {"documents": held / "training"},
        {
            "num_conversations": 184,
            "mixture": {
                "documents": {"rows": 129, "tokens": 9000, "licenses": {"CC-BY-4.0": 129}},
                "chat|s.jsonl": {"rows": 55, "tokens": 4000, "licenses": {"GPL-3.0": 55}},
            },
        },
    )  # fmt: skip
    sft = step(top / "sft", "model", "sft", {"model": cpt, "tokens": chats}, {"num_steps": 5})
    out = step(top / "merge", "model", "merge", {"base": base, "cpt": cpt, "sft": sft}, {}, method="dare_ties")
    step(top / "evaluate-base", "evaluation", "evaluate", {"model": base}, results(0.25))
    step(top / "evaluate-merged", "evaluation", "evaluate", {"model": out}, results(0.5))
    step(top / "unrelated", "documents", "ingest", {}, {"licenses": {"secret": 1}})
    return out


def test_history_is_what_the_manifests_say(merged: Path) -> None:
    history = read_history(merged)
    names = [made.name for made in history.steps]
    assert set(names) == {"fetch", "ingest", "withhold", "pack", "cpt", "synth", "sft", "merge"}
    assert names.index("fetch") < names.index("pack") < names.index("cpt") < names.index("sft") < names.index("merge")
    packed = history.last("pack")
    assert packed is not None
    assert packed.inputs == {"documents": "withhold", "model": "fetch"}
    assert list(history.results) == ["fetch", "merge"]


def test_the_card_of_a_run(merged: Path, tmp_path: Path) -> None:
    out = tmp_path / "published"
    manifest = run(PublishConfig(name="Pico"), {"model": merged}, out)
    card = (out / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "apache-2.0"
    assert "base_model" not in front  # de-quantised from a wheel: it is no repository of the hub
    for part in ("# Pico", "Q4\\_1", "40", "CC-BY-NC-4.0", "12 of these documents were withheld", "184 conversations", "129 of them made from these documents by rule", "GPL-3.0 (55)", "chat\\|s.jsonl", "further: CC-BY-NC-4.0, GPL-3.0", "0.0002", "dare\\_ties",
                 "| merge | 50.0 | 45.0 to 55.0 | 120 | continuation | 14.25 | — |", "detailed thinking on"):  # fmt: skip
        assert part in card, part
    for part in ("somebody", "secret", "unrelated", str(tmp_path)):
        assert part not in card, part
        assert part not in (out / "lineage.json").read_text(), part
    steps = json.loads((out / "lineage.json").read_text())
    assert steps[-1]["inputs"]["cpt"]["step"] == "cpt"
    assert manifest.kind == "model"
    assert (out / "model.safetensors").stat().st_ino == (merged / "model.safetensors").stat().st_ino
    assert not (out / "data.txt").exists()
    # people edit what they publish: only the weights may be the very same file as the model's own
    assert (out / "config.json").stat().st_ino != (merged / "config.json").stat().st_ino
    assert "overlap, the questions alone do not show" not in card  # paired differences can be shown all the same
    assert "paired test" in card


def test_two_publications_are_the_same_bytes(merged: Path, tmp_path: Path) -> None:
    for name in "ab":
        run(PublishConfig(gguf="q8_0"), {"model": merged}, tmp_path / name)
    assert (tmp_path / "a/manifest.json").read_bytes() == (tmp_path / "b/manifest.json").read_bytes()
    measured = json.loads((tmp_path / "a/manifest.json").read_text())["stats"]["gguf_difference"]
    assert 0 < measured < 0.15
    assert f"differ by {measured:g} of their spread" in (tmp_path / "a/README.md").read_text()


def test_a_model_from_the_hub_is_named_as_base(tmp_path: Path) -> None:
    base = step(
        tmp_path / "fetch",
        "model",
        "fetch",
        {},
        {"name": "owner/base", "title": "owner/base", "license": "My terms: v1"},
    )
    tuned = step(tmp_path / "sft", "model", "sft", {"model": base}, {})
    run(PublishConfig(), {"model": tuned}, tmp_path / "out")
    front = yaml.safe_load((tmp_path / "out/README.md").read_text().split("---")[1])
    assert front["base_model"] == "owner/base"
    assert front["base_model_relation"] == "finetune"
    assert (front["license"], front["license_name"]) == ("other", "my-terms-v1")


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    assert escape("a|b\n# <script>[x](y)") == "a\\|b \\# \\<script\\>\\[x\\](y)"
    assert len(escape("x" * 1000)) == 200
    title = "evil\n---\n# owned <img src=x>"
    base = step(tmp_path / "fetch", "model", "fetch", {}, {"name": "x", "title": title, "license": "a: [b"})
    run(PublishConfig(name="n\n# m"), {"model": base}, tmp_path / "out")
    card = (tmp_path / "out/README.md").read_text()
    assert "\n# owned" not in card
    assert "<img" not in card.replace("\\<img", "")
    assert yaml.safe_load(card.split("---\n")[1])["license"] == "other"


def test_a_model_changed_behind_its_manifest_is_refused(tmp_path: Path) -> None:
    model = step(tmp_path / "fetch", "model", "fetch", {}, {})
    (model / "LICENSE").write_text("added by hand")
    run(PublishConfig(), {"model": model}, tmp_path / "out")
    assert (tmp_path / "out/LICENSE").is_file()
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-6}))
    with pytest.raises(UserError, match=r"is not what manifest\.json says"):
        run(PublishConfig(), {"model": model}, tmp_path / "out")


def test_only_the_models_own_files_are_published(tmp_path: Path) -> None:
    model = pico_model(tmp_path / "model")
    (model / "notes.txt").write_text("private")
    (model / "optimizer.pt").write_text("private")
    assert model_files(model) == ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    private = tmp_path / "key"
    private.write_text("private")
    (model / "LICENSE").symlink_to(private)
    with pytest.raises(UserError, match="link to a file elsewhere"):
        model_files(model)


def test_places_that_would_destroy_the_model_are_refused(tmp_path: Path) -> None:
    model = pico_model(tmp_path / "model")
    for out in (model, model / "inside", tmp_path):
        with pytest.raises(UserError, match="another --out"):
            run(PublishConfig(), {"model": model}, out)
    with pytest.raises(UserError, match="no such folder"):
        run(PublishConfig(), {"model": tmp_path / "nowhere"}, tmp_path / "out")


def test_a_failed_upload_is_one_line_without_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    class Hub:
        def __init__(self, token: str) -> None:
            self.token = token

        def create_repo(self, *_: Any, **__: Any) -> None:
            raise ConnectionError(f"refused {self.token}\nand more")

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    with pytest.raises(MachineError, match="upload failed") as caught:
        upload(tmp_path, "owner/name", "hf_secret")
    assert "hf_secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
