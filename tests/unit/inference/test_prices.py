from __future__ import annotations

from pathlib import Path

import pytest

from sagecraft.errors import UserError
from sagecraft.inference.prices import price_of


def test_our_prices_name_their_source_and_null_is_unknown() -> None:
    price = price_of("deepseek:deepseek-chat")
    assert price is not None
    assert price.source.startswith("https://")
    assert price.date is not None
    unknown = price_of("openai:o3")
    assert unknown is not None
    assert unknown.usd_per_million_in is None
    assert price_of("openai:no-such-model") is None


def test_a_users_file_overrides_rows(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text('"openai:o3": {in: 2, out: 8}\n')
    price = price_of("openai:o3", file)
    assert price is not None
    assert price.usd_per_million_out == 8
    assert price_of("deepseek:deepseek-chat", file) == price_of("deepseek:deepseek-chat")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"a:b": {in: -1}', "a:b.in"),
        ('"a:b": {input: 1}', "a:b.input"),
        ("- 1", "expected a mapping"),
        ("{", "not valid YAML"),
        ("!!python/object/apply:os.system [ls]", "not valid YAML"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        price_of("a:b", file)
    assert message in str(caught.value)
