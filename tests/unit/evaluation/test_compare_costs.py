"""What models cost, from their tokens and hours to the page that compares them: local, priced, and of unknown price."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from endpoints import Act, chat_server, openai
from sagecraft import artifact
from sagecraft.evaluation import compare, courier
from sagecraft.evaluation.config import EvaluateConfig
from sagecraft.evaluation.evaluate import run

PRICES = """
providers:
  shop: {{base_url: "{url}", key_env: SHOP_KEY, needs_key: false}}
models:
  "shop:dear": {{price: {{in: 1000000, cached_in: 500000, out: 2000000, source: "https://prices.example", date: 2026-11-01}}}}
"""
#: Of a good reply of the server: 40 tokens read at 1 USD, 30 of the cache at 0.50, 20 written (12 thought) at 2.
USD = 40 + 15 + 40


@pytest.fixture
def folders(pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Six questions to a model on a device, a dear endpoint that fails at times, and one without a price."""
    monkeypatch.setattr("sagecraft.inference.asker.backoff_seconds", lambda attempt, key: 0.01)
    inline = partial(courier.carry_out, orders=None)
    monkeypatch.setattr(courier, "send", lambda errand, done: inline(errand, lambda news: done(news.get("usd", 0.0))))
    task, prices = tmp_path / "t.jsonl", tmp_path / "providers.yaml"
    artifact.write_jsonl(task, [{"question": f"Hot {n}?", "A": "ice", "B": "fire", "answer": "B"} for n in range(6)])
    shared: dict[str, Any] = {"modes": ("generate",), "reply": {"thought_tokens": 8, "answer_tokens": 8}}
    config = EvaluateConfig.model_validate(shared | {"device_usd_per_hour": 3600})
    run(config, {"model": pico, "task": task}, tmp_path / "device")
    with chat_server() as server:
        prices.write_text(PRICES.format(url=server.url))
        for name in ("dear", "unknown"):
            server.script = [Act(b"oops", 500), Act(openai("B", thought="hm"))]
            config = EvaluateConfig.model_validate(
                shared | {"endpoint": f"shop:{name}", "thinking": None, "limits": {"max_attempts": 3}}
            )
            run(config, {"task": task, "providers": prices}, tmp_path / name)
    return [tmp_path / name for name in ("device", "dear", "unknown")]


def test_costs_reach_the_comparison(folders: list[Path], tmp_path: Path) -> None:
    inputs = {str(number): folder for number, folder in enumerate(folders)}
    compare.run(compare.CompareConfig(num_resamples=200), inputs, tmp_path / "out")
    results = json.loads((tmp_path / "out/results.json").read_text())
    device, dear, unknown = results["models"]
    assert dear["cost_usd"] == 6 * USD
    assert dear["tokens"] == {"in": 420, "cached": 180, "thought": 12, "out": 108}
    assert dear["usd_per_100k_tokens"] == pytest.approx(6 * USD / 540 * 1e5)  # cached tokens are among those read
    assert unknown["tokens"] == dear["tokens"]
    assert (unknown["cost_usd"], unknown["usd_per_100k_tokens"]) == ("unknown", "unknown")
    spent = json.loads((folders[0] / "results.json").read_text())
    assert device["cost_usd"] == spent["modes"]["generate"]["cost_usd"] > 0
    assert device["usd_per_100k_tokens"] == pytest.approx(device["cost_usd"] / sum(device["tokens"].values()) * 1e5)
    prices = [m["settings"]["price"] for m in results["models"]]
    assert prices[0] == "3600 USD an hour of the device"
    assert prices[1] == (
        "1,000,000 USD read, 500,000 USD read from the cache, 2,000,000 USD written a million tokens (https://prices.example, "
        "2026-11-01)"
    )
    assert prices[2] == "unknown"
    page = (tmp_path / "out/report.html").read_text()
    assert f"Of costs: that of {unknown['name']} is unknown" in page
    assert f"{dear['name']} 570 USD" in results["verdict"][-1] or f"{dear['name']} 570 USD" in " ".join(
        results["verdict"]
    )
