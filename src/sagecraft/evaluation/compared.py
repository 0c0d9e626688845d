"""Evaluations as a comparison reads them: results, rows of the mode compared, and how each was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sagecraft import artifact
from sagecraft.errors import UserError
from sagecraft.evaluation.cost import Tokens

Row = Mapping[str, Any]

#: What of a row is kept in memory: of the reply its beginning, of the options their letters and texts.
_KEPT = ("id", "correct", "digest", "outcome", "pick", "key", "topic", "kind", "article", "tokens", "error")
MAX_REPLY = 600
#: Keys of an evaluation's configuration that change no answer of the mode compared, or that show in the questions.
_ELSEWHERE = (
    "modes",
    "max_items",
    "seed",
    "device_usd_per_hour",
    "endpoint",
    "base_url",
    "limits",
    "perplexity",
)
#: Instead of a mode: every one that an evaluation has.
EVERY = "all"
#: How a file is read: what is read shows in the questions.
_READING = "questions.columns"
#: Keys that only generate mode reads, and keys that it does not.
_WRITTEN, _SCORED = ("thinking", "reply"), ("chat_template",)
_GENERATE = "generate"
#: What is told of each model but said to differ of none: every model has a template and a price of its own, and the
#: questions of two files are compared one by one.
OWN = ("task", "chat template", "price")


class _Summary(BaseModel):
    """What a comparison needs of a mode's figures; a file that was edited may hold anything."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    n: int = Field(ge=1)
    accuracy: float | None = Field(ge=0, le=1)
    ci95: tuple[float, float] | None
    ci95_by_article: tuple[float, float] | None = None
    outcomes: dict[str, int]
    tokens: Tokens | Literal["unknown"]
    cost_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | Literal["unknown"]


class _Row(BaseModel):
    """What a comparison needs of an item."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    id: str
    correct: bool | None
    digest: str
    outcome: str
    pick: str | None = None
    options: list[dict[str, Any]] | None = None
    tokens: dict[str, int] | None = None


@dataclass(frozen=True)
class Evaluation:
    """One evaluation as read.

    Attributes:
        name: what it is called in the comparison, different from all others.
        results: `results.json`; `mode` is the mode compared.
        rows: of `items.jsonl`, of that mode.
        settings: how it was measured, as text: mode, task, template, and what its configuration sets.
    """

    name: str
    results: dict[str, Any]
    rows: list[dict[str, Any]]
    settings: Mapping[str, str]

    @property
    def summary(self) -> Mapping[str, Any]:
        """What the rows add up to, from `results.json`."""
        found: Mapping[str, Any] = self.results["modes"][self.results["mode"]]
        return found


def read(folders: Sequence[Path], modes: Sequence[str]) -> list[Evaluation]:
    """Reads evaluations, each in the first of `modes` that it has; without any, all in the first mode of the first.

    With `all` among the modes each evaluation stands there once a mode, as models of their own.

    Raises:
        UserError: a folder is no evaluation, has none of the modes, or a row lacks what is compared.
    """
    found: list[Evaluation] = []
    questions: dict[str, dict[str, Any]] = {}
    for folder in folders:
        results = _results(folder)
        modes = modes or [results["mode"]]
        chosen = list(results["modes"]) if EVERY in modes else [name for name in modes if name in results["modes"]][:1]
        if not chosen:
            raise UserError(
                f"{folder}: has no mode {' or '.join(modes)} (it has {', '.join(results['modes'])}); evaluate it in that "
                "mode, or name one with --mode"
            )
        for mode in chosen:
            _check(_Summary, results["modes"][mode], folder / "results.json")
            rows = list(_rows(folder / "items.jsonl", mode, questions))
            if not rows:
                raise UserError(f"{folder / 'items.jsonl'}: has no row of mode {mode}; run `sagecraft eval` again")
            name = str(results.get("model")) + (f", {mode}" if EVERY in modes else "")
            settings = _settings(folder, results, mode)
            found.append(Evaluation(_distinct(name, found), {**results, "mode": mode}, rows, settings))
    return found


def _rows(file: Path, mode: str, questions: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows of a mode without their prompts and thoughts, which are most of them; a question stands in memory once."""
    for row in artifact.read_jsonl(file):
        if row.get("mode") != mode:
            continue
        _check(_Row, row, file)
        asked = questions.setdefault(
            str(row["digest"]),
            {
                "question": str(row.get("question", "")),
                "options": [
                    {"letter": str(option.get("letter", "")), "text": str(option.get("text", ""))}
                    for option in row.get("options") or []
                ],
            },
        )
        reply = {"raw": str(row["raw"])[: MAX_REPLY + 1]} if "raw" in row else {}
        yield {name: row[name] for name in _KEPT if name in row} | asked | reply


def _check(model: type[BaseModel], value: object, file: Path) -> None:
    try:
        model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{file}: {where}: {first['msg'].lower()}; run `sagecraft eval` again") from error


def _results(folder: Path) -> dict[str, Any]:
    if not (folder / "results.json").is_file() or not (folder / "items.jsonl").is_file():
        raise UserError(f"{folder}: not an evaluation (no results.json and items.jsonl); run `sagecraft eval` first")
    results = artifact.read_json(folder / "results.json")
    if not isinstance(results, dict) or not isinstance(results.get("modes"), dict) or "mode" not in results:
        raise UserError(f"{folder / 'results.json'}: not an evaluation's results; run `sagecraft eval` again")
    return results


def _distinct(name: str, taken: Sequence[Evaluation]) -> str:
    """The name, numbered if another evaluation has it too (one model twice, with other settings)."""
    names = {evaluation.name for evaluation in taken}
    number = 2
    distinct = name
    while distinct in names:
        distinct, number = f"{name} ({number})", number + 1
    return distinct


def _settings(folder: Path, results: Mapping[str, Any], mode: str) -> dict[str, str]:
    """What was asked and how; the configuration is the one in the manifest, where the folder still has its own."""
    config = artifact.load(folder, "evaluation").config if artifact.is_artifact(folder) else {}
    written = mode.startswith(_GENERATE)
    left_out = {*_ELSEWHERE, *(_SCORED if written else _WRITTEN), *(("dtype",) if config.get("endpoint") else ())}
    template, task = results.get("template_sha256"), results.get("task_sha256")
    found = {
        "mode": mode,
        "task": f"{results.get('task', 'not known')}{'' if task is None else f' {str(task)[:12]}'}",
        "chat template": "not known" if template is None else str(template)[:12],
        "price": _price(results["modes"][mode], config),
    }
    found |= {
        name: text
        for name, text in _flat(config).items()
        if name.split(".")[0] not in left_out and not name.startswith(_READING)
    }
    if isinstance(shots := results.get("shots"), dict):  # as many of another file, or drawn by another seed, are others
        found["examples"] = f"{shots.get('n')} of {shots.get('file')} {artifact.digest_of(shots)[:12]}"
    summary = results["modes"][mode]
    # a run with both states of the switch says for each of its modes which one it was
    return found | ({"thinking": summary["thinking"] or "none"} if written and "thinking" in summary else {})


def _price(summary: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """What the cost was reckoned by: prices of tokens with their source, else the device's hours."""
    price = summary.get("price")
    if not isinstance(price, dict):
        by_hour = f"{config.get('device_usd_per_hour', 0):g} USD an hour of the device"
        return "unknown" if isinstance(summary.get("cost_usd"), str) else by_hour
    told = [f"{price[kind]:,.12g} USD {said}" for kind, said in _PRICES if price.get(kind) is not None]
    if not told:
        return "unknown"
    source = ", ".join(str(price[key]) for key in ("source", "date") if price.get(key))
    return f"{', '.join(told)} a million tokens{f' ({source})' if source else ''}"


_PRICES = (("in", "read"), ("cached_in", "read from the cache"), ("out", "written"))


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Keys of sections joined by dots, values as text."""
    found: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = "none" if value is None else artifact.canonical_json(value).strip('"')
    return found


def unlike(evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """Settings that are not the same in all evaluations that have them: `setting`, and `values`, value → names."""
    found = []
    for setting in dict.fromkeys(name for evaluation in evaluations for name in evaluation.settings):
        values: dict[str, list[str]] = {}
        for evaluation in evaluations:
            if setting in evaluation.settings:
                values.setdefault(evaluation.settings[setting], []).append(evaluation.name)
        if setting not in OWN and len(values) > 1:
            found.append({"setting": setting, "values": values})
    return found


def shared_ids(evaluations: Sequence[Evaluation]) -> tuple[list[str], int]:
    """Ids of the items that all evaluations have, in the order of the first, and the number that any has."""
    sets = [{str(row["id"]) for row in evaluation.rows} for evaluation in evaluations]
    common = set.intersection(*sets)
    return [str(row["id"]) for row in evaluations[0].rows if row["id"] in common], len(set.union(*sets))
