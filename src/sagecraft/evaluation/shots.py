"""Few-shot: solved questions that are shown before each question, the same for every model.

They come from a file of their own, or from the split beside the task; which ones is drawn by a key of the seed and of what
they say, so that neither the file's order nor their number changes the draw: 3 of a seed are the first 3 of 5. A question
that is asked is never shown solved.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft import artifact
from sagecraft.errors import UserError
from sagecraft.evaluation.tasks import Item, Task, choose, files_sha256, read_task, task_files

if TYPE_CHECKING:
    from sagecraft.evaluation.config import EvaluateConfig

#: Splits that examples are taken from, the first that stands beside the task: what sets set aside for this comes first.
SPLITS = ("dev", "validation", "val", "train")
_TEST = re.compile(r"(?<![a-z])test(?![a-z])", re.IGNORECASE)
_SHARD = re.compile(r"test-\d+-of-\d+")


@dataclass(frozen=True)
class Pool:
    """Questions that may be shown.

    Attributes:
        items: without those that are asked.
        file: where they are from, a file or a folder.
        sha256: of that file, or of all.
        num_asked: questions of the file that are asked, and so not shown.
    """

    items: Sequence[Item]
    file: Path
    sha256: str
    num_asked: int


def locate(config: EvaluateConfig, inputs: Mapping[str, Path]) -> dict[str, Path]:
    """The inputs with `shots`, the file of examples, where some are wanted.

    Raises:
        UserError: none was given and none stands beside the task; or one was given that is not wanted.
    """
    if not config.questions.shots:
        if "shots" in inputs:
            raise UserError("questions.shots: 0, though a file of examples is given; say how many are shown")
        return dict(inputs)
    found = inputs.get("shots") or _beside(inputs["task"])
    if found is None:
        raise UserError(
            f"questions.shots: no split {', '.join(SPLITS)} stands beside {inputs['task']}; name a file with --shots-from"
        )
    return {**inputs, "shots": found}


def _beside(task: Path) -> Path | None:
    """The file of another split; of a set with a file a subject, the folder."""
    files = task_files(task)
    if len(files) > 1 and not _SHARD.match(files[0].name):
        folders = (task.with_name(split) for split in SPLITS if task.name.lower() == "test")
        return next((folder for folder in folders if folder.is_dir()), None)
    file = files[0]
    for split in SPLITS:
        places = [file.with_name(_TEST.sub(split, file.name))]
        if file.parent.name.lower() == "test":
            places += [file.parent.with_name(split) / name for name in (places[0].name, file.name)]
        if _SHARD.match(file.name):
            places += sorted(file.parent.glob(f"{split}-*-of-*{file.suffix}"))[:1]
        for place in places:
            if place != file and place.is_file():
                return place
    return None


@dataclass(frozen=True)
class Asked:
    """What an evaluation asks.

    Attributes:
        task: the whole of it.
        items: those that are asked, with their examples.
        shots: what these are; None without.
        inputs: of the evaluation, with the file they are from.
    """

    task: Task
    items: list[Item]
    shots: dict[str, Any] | None
    inputs: dict[str, Path]


def read_asked(config: EvaluateConfig, inputs: Mapping[str, Path]) -> Asked:
    """Reads the questions of an evaluation, and those that are shown with them.

    Raises:
        UserError: a file cannot be read, or has too few.
    """
    task = read_task(inputs["task"], config.questions.columns)
    found = locate(config, inputs)
    items, shots = show(config, found, task, choose(task.items, config.max_items, config.seed))
    return Asked(task, items, shots, found)


def show(
    config: EvaluateConfig, inputs: Mapping[str, Path], task: Task, items: Sequence[Item]
) -> tuple[list[Item], dict[str, Any] | None]:
    """The items with their examples, and what these are.

    Args:
        config: how many are shown, and the seed.
        inputs: of the evaluation, as `locate` returned them.
        task: no question of it is shown, asked or not.
        items: those that are asked.

    Returns:
        The items; and None without examples, else `n`, `file`, `sha256`, `num_asked` (questions of that file that are in
        the task), `ids` by topic (under "" those shown wherever no topic of its own has enough).

    Raises:
        UserError: the file cannot be read, has too few questions, has no key, or asks for something else.
    """
    settings = config.questions
    if not settings.shots:
        return list(items), None
    pool = _pool(inputs["shots"], settings.columns, task)
    drawn = {"": _draw(pool.items, settings.shots, config.seed)}
    if len(drawn[""]) < settings.shots:
        raise UserError(
            f"{pool.file}: {len(pool.items)} questions can be shown, {settings.shots} are wanted; of those in the file "
            f"{pool.num_asked} are asked themselves"
        )
    if settings.shots_by_topic:
        for topic in sorted({item.topic for item in items} - {""}):
            own = _draw([item for item in pool.items if item.topic == topic], settings.shots, config.seed)
            if len(own) == settings.shots:
                drawn[topic] = own
    shown = [replace(item, shots=drawn.get(item.topic, drawn[""])) for item in items]
    used = {item.topic if item.topic in drawn else "" for item in items}
    facts = {
        "n": settings.shots,
        "file": pool.file.name,
        "sha256": pool.sha256,
        "num_asked": pool.num_asked,
        "ids": {topic: [shot.id for shot in drawn[topic]] for topic in sorted(used)},
    }
    return shown, facts


def _pool(path: Path, names: Mapping[str, str | tuple[str, ...]], task: Task) -> Pool:
    """The questions of a file that are not in the task, each once."""
    found = read_task(path, names)
    if not found.keyed:
        raise UserError(f"{path}: has no answers; examples are shown solved, so each needs its key")
    if bool(found.items[0].target) != bool(task.items[0].target):
        raise UserError(
            f"{path}: asks for a number where the task asks for a choice, or the reverse; give its own split"
        )
    asked = {_plain(item.question) for item in task.items}
    free = {_plain(item.question): item for item in reversed(found.items) if _plain(item.question) not in asked}
    num_asked = sum(_plain(item.question) in asked for item in found.items)
    return Pool(list(free.values()), path, files_sha256(task_files(path)), num_asked)


def _plain(question: str) -> str:
    """A question without what copies of it differ in."""
    return " ".join(question.casefold().split())


def _draw(items: Iterable[Item], num_items: int, seed: int) -> tuple[Item, ...]:
    keyed = sorted((artifact.keyed_hash(seed, "shot", item.digest), item.digest, item.id, item) for item in items)
    return tuple(item for *_, item in keyed[:num_items])
