"""Watching a run: a line for the person who waits, records on disk as they happen, held-out text now and then.

Records are written beside the checkpoints while the run goes on (`scratch/watch` of its work folder), so that a killed
run leaves them readable. A run that is taken up cuts them back to its checkpoint: the finished files have the same
bytes as those of a run that nothing interrupted. Times are in none of them but `timing.jsonl`, which is not kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sagecraft import artifact, console, hardware, settings
from sagecraft.errors import UserError
from sagecraft.training import trackers
from sagecraft.training.world import current

if TYPE_CHECKING:
    from sagecraft.training.held_out import HeldOut
    from sagecraft.training.train import Prepared, TrainConfig

#: Held-out texts, by the names that evaluations give them too: withheld documents of the field, and general ones.
TEXTS = ("domain", "general")
METRICS, HELD_OUT, TIMING = "metrics.jsonl", "held_out.jsonl", "timing.jsonl"
#: Steps over which the rate that is shown is a mean.
_RATE_STEPS = 20
#: Seconds between two lines of a log.
_LINE_SECONDS = 30.0
#: Log-probabilities of sequences' tokens, by the model as it stands.
Score = Callable[[Sequence[Sequence[int]]], list[list[float]]]


class WatchConfig(BaseModel):
    """What is watched while a model is trained.

    Attributes:
        tokens: held-out tokens of each text (domain, general) whose perplexity is measured now and then; 0 measures none.
        every_steps: steps between two measurements; null measures at the start and after each quarter of the run.
        max_general_loss: nats per token of held-out general text that should not be passed; null sets no limit.
        on_general_loss: what to do above it: `warn`, or `stop` and keep the model of that moment.
        tracker: also log to `tensorboard`, `wandb` or `trackio`; keys come from the environment only.
        project: name of the project there.
        offline: W&B only: write to disk instead of its server (`wandb sync` sends it later).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    tokens: int = Field(default=4000, ge=0)
    every_steps: int | None = Field(default=None, ge=1)
    max_general_loss: float | None = Field(default=None, gt=0)
    on_general_loss: Literal["warn", "stop"] = "warn"
    # Where figures are shown changes nothing of the model: these are in no manifest and no fingerprint.
    tracker: Literal["tensorboard", "wandb", "trackio"] | None = Field(default=None, exclude=True)
    project: str = Field(default="sagecraft", min_length=1, exclude=True)
    offline: bool = Field(default=False, exclude=True)


class Records:
    """A file of one JSON object a line, written as they come."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def cut(self, keep: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
        """Drops all from the first record on that is not wanted, or that a kill left half. Returns the last that is kept."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        end, last = 0, None
        with self.path.open("a+b") as file:
            file.seek(0)
            for line in file:
                record = _parsed(line)
                if record is None or not keep(record):
                    break
                end += len(line)
                last = record
            file.truncate(end)
        return last

    def add(self, record: dict[str, Any]) -> None:
        """Appends a record; another process can read it at once."""
        with self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")

    def sync(self) -> None:
        """Makes the disk hold what was added: a power cut must not leave less than a checkpoint counts."""
        with self.path.open("a+b") as file:
            os.fsync(file.fileno())


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A whole line's record; None for half a line."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("step"), int) else None


@dataclass(frozen=True)
class Machine:
    """What computes, for the share of its rate.

    Attributes:
        device: `cpu`, or a card.
        num_devices: that work together; processes on one processor are one.
        dtype: of the arithmetic.
        flop_per_token: of a forward and backward pass; 0 is not known.
    """

    device: str = "cpu"
    num_devices: int = 1
    dtype: str = "bfloat16"
    flop_per_token: float = 0.0

    def share(self, tokens_per_second: float) -> float | None:
        """Share of the measured matrix rate that so many tokens a second are; None if their FLOP are not known."""
        if not self.flop_per_token:
            return None
        rate = hardware.matrix_tflops(self.dtype, self.device) * 1e12 * self.num_devices
        return tokens_per_second * self.flop_per_token / rate


class Watcher:
    """What the loop tells of its steps. Every process has one; the main one writes and shows.

    Attributes:
        stopped: the measurement for which training stopped, if it did.
    """

    def __init__(
        self,
        config: WatchConfig,
        folder: Path,
        label: str,
        num_steps: int,
        machine: Machine = Machine(),
        held_out: HeldOut | None = None,
        tracked_at: trackers.Place | None = None,
        is_main: bool = True,
    ) -> None:
        """Takes what is watched.

        Args:
            config: settings.
            folder: scratch folder for the records.
            label: of the progress line, `cpt` or `sft`.
            num_steps: of the whole run.
            machine: what computes.
            held_out: text to measure now and then; None measures none.
            tracked_at: where a tracker finds its run; None tracks nothing.
            is_main: this process writes and shows; the others only measure along.
        """
        self.config, self.label, self.num_steps, self.machine = config, label, num_steps, machine
        self.held_out = held_out if config.tokens else None
        self.is_main = is_main
        self.metrics, self.measured, self.timing = (Records(folder / name) for name in (METRICS, HELD_OUT, TIMING))
        self.stopped: dict[str, Any] | None = None
        self._place = tracked_at
        self._tracker: trackers.Tracker | None = None
        self._tick: console.Tick | None = None
        self._open = contextlib.ExitStack()
        self._score: Score | None = None
        self._step = 0
        self._mark = time.monotonic()
        self._recent: deque[tuple[float, int]] = deque(maxlen=_RATE_STEPS)

    def start(self, step: int, score: Score) -> bool:
        """Begins after `step` steps (those of the checkpoint that the run goes on from). True: do not train at all.

        Args:
            step: steps that are done.
            score: log-probabilities of sequences by the model as it stands; all processes call it together.
        """
        self._step = step
        self._score = score
        if self.is_main:
            kept = self.metrics.cut(lambda record: record["step"] < step)
            if step and (kept is None or kept["step"] != step - 1):
                console.warn(f"{self.metrics.path}: steps before {step:,} are missing; the curves lack them")
            for records in (self.timing, self.measured):  # what is due at `step` is measured again, by all processes
                records.cut(lambda record: record["step"] < step)
            if self._place is not None:
                self._tracker = trackers.open_tracker(self.config, self._place, step)
                self._open.callback(self._tracker.close)
            self._tick = self._open.enter_context(
                console.progress(self.label, self.num_steps, line_seconds=_LINE_SECONDS, shows_rate=False)
            )
            self._tick.start_at(step)
        stop = self._look()
        self._mark = time.monotonic()
        return stop

    def after_step(self, record: dict[str, Any]) -> bool:
        """Takes a step's record; measures held-out text if that is due. True: stop here."""
        self._step = int(record["step"]) + 1
        if self.is_main:
            self._write(record, time.monotonic() - self._mark)
        stop = self._look()
        self._mark = time.monotonic()
        return stop

    def before_checkpoint(self) -> None:
        """The files must not hold less than the checkpoint that is written now."""
        if self.is_main:
            self.metrics.sync()
            self.measured.sync()

    def finish(self, folder: Path) -> dict[str, Any]:
        """Puts records and page into the finished artifact. Returns what its manifest says of them."""
        from sagecraft.training.curves import write_page

        for records in (self.metrics, self.measured):
            if records.path.is_file() and records.path.stat().st_size:
                shutil.copyfile(records.path, folder / records.path.name)
        found = totals(self.metrics.path)
        if self.stopped is not None:
            found["stopped"] = self.stopped
        write_page(folder / "report.html", self.label, self.num_steps, self.metrics.path.parent, self.stopped)
        return found

    def close(self) -> None:
        """Ends what is open; call it also when a step failed."""
        self._open.close()
        self._tick = self._tracker = None

    def due(self, step: int) -> bool:
        """True if held-out text is measured after so many steps."""
        if self.held_out is None:
            return False
        if self.config.every_steps is None:
            return step in {round(quarter * self.num_steps / 4) for quarter in range(5)}
        return step % self.config.every_steps == 0 or step == self.num_steps

    def _write(self, record: dict[str, Any], seconds: float) -> None:
        self._recent.append((max(seconds, 1e-9), record["num_tokens"]))
        rate = sum(tokens for _, tokens in self._recent) / sum(spent for spent, _ in self._recent)
        share = self.machine.share(rate)
        memory = hardware.peak_memory_gib(self.machine.device)
        times = {
            "seconds": round(seconds, 4),
            "tokens_per_second": round(rate, 2),
            "matrix_share": None if share is None else round(share, 4),
            "memory_gib": round(memory, 3),
        }
        self.metrics.add(record)
        self.timing.add({"step": record["step"], **times})
        self._track(self._step, {**record, **times})
        if self._tick is not None:
            of_rate = "" if share is None else f", {share:.0%} of the matrix rate"
            loss, pace = f"loss {record['loss']:.3f}", f"{console.number(rate)} tokens/s"
            self._tick.advance(1, f"{loss}, {pace}{of_rate}, {memory:.1f} GiB")

    def _look(self) -> bool:
        """Measures held-out text if it is due, and judges."""
        if self.held_out is None or self._score is None or not self.due(self._step):
            return False
        began = time.monotonic()
        measured = self.held_out.measure(self._score)
        texts = current().tell(measured if self.is_main else None)  # the last bits differ: all must judge by the same
        spent = time.monotonic() - began
        if self.is_main:
            self.measured.add({"step": self._step, **texts})
            self.timing.add({"step": self._step, "measuring_seconds": round(spent, 4)})
            self._track(self._step, {"held_out": texts})
            shown = ", ".join(f"{n} {t['perplexity']:.2f} ({t['nats_per_token']:.3f} nats)" for n, t in texts.items())
            console.say(f"  {self.label}: held-out perplexity after {self._step:,} steps: {shown}", style="dim")
        return self._judge(texts)

    def _judge(self, texts: dict[str, dict[str, Any]]) -> bool:
        limit, found = self.config.max_general_loss, texts.get("general")
        if limit is None or found is None or found["nats_per_token"] <= limit:
            return False
        loss, stops = found["nats_per_token"], self.config.on_general_loss == "stop"
        if stops and self._step == 0:
            fault = (
                f"{self.label}.watch.max_general_loss: {limit:g} is passed before training: the model has {loss:.4g} nats "
                "a token on general text; set a higher limit"
            )
            raise current().common_fault(UserError(fault))
        if self.is_main:
            console.warn(
                f"{self.label}: after {self._step:,} of {self.num_steps:,} steps general text costs {loss:.4g} nats a "
                f"token, above max_general_loss ({limit:g})" + ("; training stops here" if stops else "")
            )
        if not stops or self._step == self.num_steps:
            return False
        self.stopped = {
            "step": self._step,
            "num_steps": self.num_steps,
            "general_loss": loss,
            "max_general_loss": limit,
        }
        return True

    def _track(self, step: int, values: Mapping[str, Any]) -> None:
        if self._tracker is not None:
            self._tracker.log(step, trackers.flat(values))


def totals(metrics: Path) -> dict[str, Any]:
    """Sums over the records of a run, read line by line: steps, tokens, learned tokens, first and last loss."""
    found: dict[str, Any] = {"num_steps": 0, "num_tokens": 0, "num_learned": 0, "first_loss": None, "last_loss": None}
    for record in artifact.read_jsonl(metrics):
        found["num_steps"] = record["step"] + 1
        found["num_tokens"] += record["num_tokens"]
        found["num_learned"] += record["num_learned"]
        found["first_loss"] = record["loss"] if found["first_loss"] is None else found["first_loss"]
        found["last_loss"] = record["loss"]
    return found


def watcher_for(
    config: TrainConfig,
    ready: Prepared,
    inputs: Mapping[str, Path],
    scratch: Path,
    out: Path,
    stage: str,
    num_devices: int = 1,
    is_main: bool = True,
) -> Watcher:
    """The watcher of a stage, with the text it measures and the machine it judges by.

    Args:
        config: of the run.
        ready: model, tokenizer and rows.
        inputs: of the stage; `domain` and `general` are measured.
        scratch: folder of the records.
        out: the artifact that is being made; trackers write beside it.
        stage: `cpt` or `sft`.
        num_devices: cards that work together; 1 on processors, however many processes share them.
        is_main: this process writes and shows.
    """
    from sagecraft.training.held_out import HeldOut

    trackers.require(config.watch)
    texts = {name: inputs[name] for name in TEXTS if name in inputs}
    held_out = None
    if texts and config.watch.tokens:
        limit, window = ready.model.max_positions, ready.loader.packed.row_length
        held_out = HeldOut(texts, config.watch.tokens, window, config.seed, ready.tokenizer, limit)
        held_out = held_out if held_out.windows else None
    folder = out.resolve().parent
    if is_main:  # `sagecraft show` finds the rows of a step of a run that goes on
        written = {"config": settings.dump(config), "tokens": str(inputs["tokens"].resolve())}
        artifact.write_json(scratch / "run.json", written)
    return Watcher(
        config.watch,
        scratch,
        stage,
        ready.loader.num_steps,
        Machine(
            str(current().device), num_devices, config.compute_dtype, flop_per_token(ready, config.lora is not None)
        ),
        held_out,
        trackers.Place(folder, f"{folder.name}/{out.name}", scratch / "tracker.json") if config.watch.tracker else None,
        is_main,
    )


def flop_per_token(ready: Prepared, frozen: bool) -> float:
    """FLOP of forward and backward pass for a token, in the convention of every plan (`models.flops`)."""
    from sagecraft.models.decoder import Decoder
    from sagecraft.models.flops import flop_per_training_token

    if not isinstance(ready.model, Decoder):
        num_parameters = sum(parameter.numel() for parameter in ready.model.parameters())
        return (4.0 if frozen else 6.0) * num_parameters
    return flop_per_training_token(ready.model.config, ready.loader.packed.row_length, frozen)
