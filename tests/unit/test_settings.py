from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from sagecraft.errors import UserError
from sagecraft.settings import explained, parse_yaml, read_yaml_mapping


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Strict):
    path: str
    share: tuple[float, float] = (0.0, 1.0)


class Inner(Strict):
    learning_rate: float = Field(default=1.0, gt=0)


class Section(Strict):
    optimizer: Inner = Inner()
    rows_per_step: int = 4
    paths: list[str | Source] = []
    models: tuple[Source, ...] = ()
    lambda_: float = Field(default=1.0, alias="lambda")


class Settings(Strict):
    cpt: Section | None = None


def lines(value: Any) -> list[str]:
    with pytest.raises(UserError) as caught, explained(Settings, "file"):
        Settings.model_validate(value)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"rows-per-step": 4}, "file: cpt.rows-per-step: unknown key; did you mean 'rows_per_step'?"),
        ({"learning_rate": 4}, "file: cpt.learning_rate: unknown key; did you mean 'optimizer.learning_rate'?"),
        ({"optimizer": {"learning_rat": 1}}, "cpt.optimizer.learning_rat: unknown key; did you mean 'learning_rate'?"),
        ({"paths": ["a", {"path": "b", "shre": 1}]}, "cpt.paths[1].shre: unknown key; did you mean 'share'?"),
        ({"models": [{"path": "b", "shre": 1}]}, "cpt.models[0].shre: unknown key; did you mean 'share'?"),
        ({"paths": [{"share": [0, 1]}]}, "cpt.paths[0].path: is missing; it must be given"),
        ({"paths": [5]}, "cpt.paths[0]: input should be a valid string (found 5)"),
        ({"lambd": 1}, "cpt.lambd: unknown key; did you mean 'lambda'?"),
        ({"lambda": "x"}, "cpt.lambda: input should be a valid number, unable to parse string as a number (found 'x')"),
        ({"optimizer": 3}, "cpt.optimizer: expected a mapping of keys (found 3)"),
        ({"zzz": 3}, "cpt.zzz: unknown key; valid: lambda, models, optimizer, paths, rows_per_step"),
        ({7: 3}, "cpt[7]: keys should be strings (found 7)"),
        ({"": 3}, "cpt.: unknown key; valid: lambda, models, optimizer, paths, rows_per_step"),
        ({"optimizer": {"learning_rate": "x" * 999}}, "…)"),
    ],
    ids=str,
)
def test_a_fault_is_one_line_with_its_path_and_the_nearest_name(section: dict[Any, Any], expected: str) -> None:
    found = lines({"cpt": section})
    assert len(found) == 1
    assert found[0].endswith(expected)


def test_all_faults_come_at_once() -> None:
    found = lines({"cpt": {"paths": [{"pth": "a"}, 5], "optimizer": {"learning_rate": -1}}, "cpd": {}})
    assert [line.split(": ")[1] for line in found] == [
        "cpt.optimizer.learning_rate", "cpt.paths[0].path", "cpt.paths[0].pth", "cpt.paths[1]", "cpd",
    ]  # fmt: skip


def test_yaml_without_its_traps(tmp_path: Path) -> None:
    assert parse_yaml("[2e-4, 1E6, 2.5e+3, -1e0, 1.5, 12, 1e, e5, 0x1e5]", "x") == [
        2e-4, 1e6, 2.5e3, -1.0, 1.5, 12, "1e", "e5", 0x1E5,
    ]  # fmt: skip
    path = tmp_path / "recipe.yaml"
    path.write_text("cpt: {epochs: 1}\nsft: {}\ncpt: {epochs: 2}\n")
    with pytest.raises(UserError, match=r"recipe\.yaml: .*'cpt' is given twice.* line 3"):
        read_yaml_mapping(path, "a mapping")
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n")
    assert read_yaml_mapping(path, "a mapping")["b"] == {"x": 3, "y": 2}


@pytest.mark.parametrize("text", ["2026-99-99", "[" * 1200, "a: [", "!!python/object:os.system x", "9" * 5000])
def test_what_yaml_cannot_read_is_one_line(text: str) -> None:
    with pytest.raises(UserError, match=r"^--set a: not valid YAML") as caught:
        parse_yaml(text, "--set a")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
