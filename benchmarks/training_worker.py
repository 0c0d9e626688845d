"""One side of `training.py` in a process of its own: waits for `step`, takes one, and says how long it took and the loss.

Sides take their steps in turns, so each must stop between two of them: a loop of our own does, a trainer class is held in
its callback. Nothing of sagecraft is imported for a peer, and nothing of a peer for sagecraft.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any, TextIO


class Channel:
    """Answers on what was standard output; libraries that print go to standard error."""

    def __init__(self) -> None:
        self._answers: TextIO = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def wait(self) -> str:
        """The next request; `end` when there is none."""
        return sys.stdin.readline().strip() or "end"

    def answer(self, **values: Any) -> None:
        """Says something, with the largest memory so far."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self._answers.write(json.dumps({**values, "peak_bytes": peak}) + "\n")
        self._answers.flush()


def main() -> None:
    """Serves one side until it is told to end."""
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    channel = Channel()
    import torch

    torch.set_num_threads(task["threads"])
    torch.manual_seed(0)
    if task["side"] in ("trl", "transformers"):
        serve_trainer(task, channel)
        return
    if task["side"] == "sagecraft":
        serve_sagecraft(task, channel)
        return
    step = plain_step(task)
    channel.answer(ready=True)
    for number in itertools.count():
        if channel.wait() == "end":
            return
        began = time.perf_counter()
        loss = step(number)
        channel.answer(seconds=time.perf_counter() - began, loss=loss)


def serve_sagecraft(task: dict[str, Any], channel: Channel) -> None:
    """The stage itself, as the command runs it, held before every step; between two it can measure the machine."""
    from sagecraft.hardware import matrix_tflops
    from sagecraft.training.loop import Trainer
    from sagecraft.training.train import TrainConfig, run

    take = Trainer.step

    def held(trainer: Trainer, number: int) -> dict[str, Any]:
        if number == 0:
            channel.answer(ready=True)
        while (request := channel.wait()) == "matrix":
            matrix_tflops.cache_clear()
            channel.answer(tflops=matrix_tflops("bfloat16"))
        if request == "end":
            raise SystemExit
        began = time.perf_counter()
        record = take(trainer, number)
        channel.answer(seconds=time.perf_counter() - began, loss=record["loss"])
        return record

    Trainer.step = held  # type: ignore[method-assign]
    inputs = {"model": Path(task["model"]), "tokens": Path(task["tokens"])}
    run(TrainConfig.model_validate(task["config"]), inputs, Path(task["scratch"]))


def plain_step(task: dict[str, Any]) -> Any:
    """An eager loop around transformers: `autocast`, `float32` or `bfloat16` (pure: weights and moments too)."""
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM

    dtype = torch.bfloat16 if task["side"] == "bfloat16" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(task["model"], dtype=dtype).train()
    rows = np.load(task["rows"])
    settings, size = task["optimizer"], task["rows_per_step"]
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings["weight_decay"]},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(
        groups,
        lr=settings["learning_rate"],
        betas=(settings["beta1"], settings["beta2"]),
        eps=settings["eps"],
        fused=True,
    )

    def step(number: int) -> float:
        ids = torch.from_numpy(rows[number * size : (number + 1) * size])
        autocast = torch.autocast("cpu", dtype=torch.bfloat16)
        with autocast if task["side"] == "autocast" else contextlib.nullcontext():
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, settings["clip_norm"], foreach=True)
        adamw.step()
        adamw.zero_grad(set_to_none=True)
        return float(loss)

    return step


def serve_trainer(task: dict[str, Any], channel: Channel) -> None:
    """The Trainer of transformers or TRL's SFTTrainer, held before every step by a callback."""
    import numpy as np
    from datasets import Dataset
    from transformers import AutoTokenizer, TrainerCallback, default_data_collator

    rows = np.load(task["rows"]).tolist()

    class Turns(TrainerCallback):
        """Waits for its turn, times the step, and answers once its loss is logged."""

        began = spent = 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            if channel.wait() == "end":
                raise SystemExit
            self.began = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.spent = time.perf_counter() - self.began

        def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
            if "loss" in logs:
                channel.answer(seconds=self.spent, loss=logs["loss"])

    if task["side"] == "trl":
        from trl import SFTConfig, SFTTrainer

        # Every row is full, so packing by wrapping gives the same rows back.
        arguments = SFTConfig(
            **trainer_arguments(task), max_length=len(rows[0]), packing=True, packing_strategy="wrapped"
        )
        arguments.model_init_kwargs = {"dtype": "float32"}
        trainer: Any = SFTTrainer(
            model=task["model"],
            args=arguments,
            train_dataset=Dataset.from_dict({"input_ids": rows}),
            processing_class=AutoTokenizer.from_pretrained(task["model"]),
            callbacks=[Turns()],
        )
    else:
        from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

        trainer = Trainer(
            model=AutoModelForCausalLM.from_pretrained(task["model"], dtype="float32"),
            args=TrainingArguments(**trainer_arguments(task)),
            train_dataset=Dataset.from_dict({"input_ids": rows, "labels": rows}),
            data_collator=default_data_collator,
            callbacks=[Turns()],
        )
    channel.answer(ready=True)
    trainer.train()


def trainer_arguments(task: dict[str, Any]) -> dict[str, Any]:
    """What both trainer classes are told, with the settings that are tried."""
    settings = task["optimizer"]
    return {
        "output_dir": task["scratch"],
        "use_cpu": True,
        "per_device_train_batch_size": task["rows_per_step"],
        "num_train_epochs": 1,
        "train_sampling_strategy": "sequential",
        "learning_rate": settings["learning_rate"],
        "lr_scheduler_type": "constant",
        "weight_decay": settings["weight_decay"],
        "adam_beta1": settings["beta1"],
        "adam_beta2": settings["beta2"],
        "adam_epsilon": settings["eps"],
        "max_grad_norm": settings["clip_norm"],
        "optim": "adamw_torch_fused",
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        **task["setting"],
    }


if __name__ == "__main__":
    main()
