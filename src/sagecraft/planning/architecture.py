"""The shape of the base model, known before anything is downloaded."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

import yaml

from sagecraft.models.config import DecoderConfig, parse_config, read_config, supported
from sagecraft.models.text_part import has_text_part


@cache
def known_models() -> dict[str, DecoderConfig]:
    """Name → architecture, from `known_models.yaml`."""
    text = resources.files("sagecraft.planning").joinpath("known_models.yaml").read_text(encoding="utf-8")
    return {name: DecoderConfig.model_validate(value) for name, value in yaml.safe_load(text).items()}


def find_architecture(name: str) -> DecoderConfig | None:
    """Architecture of a local folder (by its config.json) or of a known name; None is unknown until fetched."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        config = read_config(folder)
        config = dict(config["text_config"]) if has_text_part(config) else config  # as `fetch` takes it
        return parse_config(config, folder / "config.json") if supported(config) else None
    return known_models().get(name)
