"""Presets: what is known of the models of the published comparison, and a user's file that overrides it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sagecraft.chat.thinking import SWITCH
from sagecraft.errors import UserError
from sagecraft.inference.endpoint import Endpoint
from sagecraft.inference.prices import Bill, Price
from sagecraft.inference.providers import preset

#: Model → what a request with a thought of 700 tokens carries, on and off; None: it has no such state.
COMPARED: dict[str, tuple[dict[str, Any] | None, dict[str, Any] | None]] = {
    "openai:o3": ({"reasoning_effort": "high"}, None),
    "openai:gpt-4o": (None, {"temperature": 0.0}),
    "openai:gpt-4.1": (None, {"temperature": 0.0}),
    "gemini:gemini-2.5-pro": (
        {"temperature": 0.0, "extra_body": {"google": {"thinking_config": {"thinking_budget": 700}}}},
        None,
    ),
    "anthropic:claude-3-7-sonnet-20250219": (
        {"thinking": {"type": "enabled", "budget_tokens": 700}},
        {"temperature": 0.0},
    ),
    "deepseek:deepseek-reasoner": ({"temperature": 0.0}, None),
    "deepseek:deepseek-chat": (None, {"temperature": 0.0}),
    "openrouter:deepseek/deepseek-r1": ({"temperature": 0.0, "reasoning": {"enabled": True}}, None),
    "openrouter:qwen/qwen3-235b-a22b": (
        {"temperature": 0.0, "reasoning": {"enabled": True}},
        {"temperature": 0.0, "reasoning": {"enabled": False}},
    ),
    "openrouter:meta-llama/llama-3.1-70b-instruct": (None, {"temperature": 0.0}),
    "vllm:Qwen/Qwen3-235B-A22B": (
        {"temperature": 0.0, "chat_template_kwargs": {"enable_thinking": True}},
        {"temperature": 0.0, "chat_template_kwargs": {"enable_thinking": False}},
    ),
    "vllm:meta-llama/Llama-3.1-70B-Instruct": (None, {"temperature": 0.0}),
    "vllm:AstroMLab/AstroSage-8B": (None, {"temperature": 0.0}),
    "ollama:qwen3:235b": (
        {"temperature": 0.0, "reasoning_effort": "high"},
        {"temperature": 0.0, "reasoning_effort": "none"},
    ),
}
KEYS = ("OPENAI", "GEMINI", "ANTHROPIC", "DEEPSEEK", "OPENROUTER")


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.setenv(f"{name}_API_KEY", "x")


@pytest.mark.parametrize("model", COMPARED)
def test_the_switch_of_each_model(model: str) -> None:
    endpoint = Endpoint(model)
    limit = endpoint.preset.provider.max_tokens_name
    for state, expected in zip(("on", "off"), COMPARED[model], strict=True):
        if expected is None:
            with pytest.raises(UserError, match=f"use thinking {'off' if state == 'on' else 'on'}"):
                endpoint.body([], state, 700, 300)  # type: ignore[arg-type]
            continue
        body = endpoint.body([], state, 700, 300)  # type: ignore[arg-type]
        assert body == {"model": endpoint.preset.model_name, "messages": [], limit: 1000, **expected}


@pytest.mark.parametrize("model", ["vllm:AstroMLab/AstroSage-70B-20250508", "ollama:astrosage-70b", "local:anything"])
def test_the_switch_in_the_system_message(model: str) -> None:
    endpoint = Endpoint(model, "http://127.0.0.1:1/v1")
    for state, line in SWITCH.items():
        body = endpoint.body([{"role": "user", "content": "hot?"}], state, 700, 300)
        assert body["messages"][0] == {"role": "system", "content": line}
    assert [m["role"] for m in endpoint.body([{"role": "user", "content": "hot?"}], None, 7, 3)["messages"]] == ["user"]


def test_a_model_of_which_nothing_is_known_is_not_guessed_at() -> None:
    endpoint = Endpoint("openai:gpt-9")
    with pytest.raises(UserError, match="how openai:gpt-9 is told to think is not known"):
        endpoint.body([], "off", 1, 1)
    assert "reasoning_effort" not in endpoint.body([], None, 1, 1)


def test_our_prices_name_their_source_and_date_and_what_is_not_certain_is_not_known() -> None:
    known = [model for model in COMPARED if preset(model).price is not None]
    assert known == [*list(COMPARED)[:5]]
    for model in known:
        price = preset(model).price
        assert price is not None
        assert price.source.startswith("https://")
        assert price.date is not None


def test_a_users_file_overrides_key_by_key(tmp_path: Path) -> None:
    file = tmp_path / "providers.yaml"
    file.write_text(
        "providers:\n  mine: {base_url: http://h/v1, key_env: MINE, needs_key: false}\n  openai: {key_env: OTHER}\n"
        'models:\n  "openai:o3": {price: {in: 1, out: 2}}\n  "mine:*": {price: {in: 3, cached_in: 1, out: 4}}\n'
    )
    o3 = preset("openai:o3", file)
    assert o3.price == Price(usd_per_million_in=1, usd_per_million_out=2)
    assert (o3.provider.key_env, o3.provider.base_url) == ("OTHER", "https://api.openai.com/v1")
    assert o3.model.thinking == preset("openai:o3").model.thinking
    assert preset("openai:gpt-4o", file).price == preset("openai:gpt-4o").price
    price = preset("mine:a/b", file).price
    assert price is not None
    assert price.usd(Bill(prompt=10, cached=4, written=5)) == pytest.approx((6 * 3 + 4 * 1 + 5 * 4) / 1e6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('models: {"a:b": {price: {in: -1}}}', "models.a:b: price.in"),
        ('models: {"a:b": {price: {input: 1}}}', "models.a:b: price.input"),
        ('models: {"a:b": {price: {in: .nan, out: 1}}}', "models.a:b: price.in"),
        ('models: {"a:b": {thinking: {on: {}}}}', "models.a:b: thinking.off"),
        ("providers: {openai: {url: http://x}}", "providers.openai: url"),
        ("providers: {new: {base_url: http://x}}", "providers.new: key_env"),
        ("prices: {}", "prices"),
        ("- 1", "expected the sections"),
        ("{", "not valid YAML"),
        ("!!python/object/apply:os.system [ls]", "not valid YAML"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "providers.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        preset("openai:o3", file)
    assert str(file) in str(caught.value)
    assert message in str(caught.value)


def test_half_a_price_is_none(tmp_path: Path) -> None:
    file = tmp_path / "providers.yaml"
    file.write_text('models: {"openai:o3": {price: {in: 1}}}')
    assert preset("openai:o3", file).price is None


def test_a_limit_needs_a_price() -> None:
    preset("openai:o3").check_limit(1.0)
    preset("deepseek:deepseek-chat").check_limit(None)
    with pytest.raises(UserError, match="max_usd: the price of deepseek:deepseek-chat is not known"):
        preset("deepseek:deepseek-chat").check_limit(1.0)


def test_the_example_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[3] / "docs/endpoints.md").read_text(encoding="utf-8")
    file = tmp_path / "providers.yaml"
    file.write_text(page.partition("```yaml\n")[2].partition("```")[0], encoding="utf-8")
    monkeypatch.setenv("INSTITUTE_KEY", "x")
    assert preset("openrouter:deepseek/deepseek-r1", file).price is not None
    assert Endpoint("institute:m", providers=file).base_url == "https://llm.example.org/v1"
