from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from pico import pico_model, pico_tokenizer, pico_watcher, write_tokens
from sagecraft.errors import UserError
from sagecraft.models.load import load_model
from sagecraft.models.memory import GIB, linear_shapes, training_gib
from sagecraft.tokens.loader import Loader
from sagecraft.tokens.packed import Packed
from sagecraft.training.loop import Trainer
from sagecraft.training.lora import LoraConfig, choose_layers
from sagecraft.training.lora_layers import add_lora, begin_pass, lora_layers
from sagecraft.training.schedule import OptimizerConfig, learning_rate_at
from sagecraft.training.train import TrainConfig, run

#: peft 0.21 asks transformers 5.23 by a name that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

SMALL = ("q_proj", "v_proj", "down_proj")


def trainer_of(config: TrainConfig, model: Path, tokens: Path, folder: Path) -> Trainer:
    loaded = load_model(model, config.compute_dtype).model
    assert config.lora is not None
    add_lora(loaded, config.lora, config.seed, model)
    loader = Loader(Packed.open(tokens), config.rows_per_step, config.epochs, config.seed)
    return Trainer(config, loaded, loader, folder, pico_watcher(folder, loader.num_steps))


def peft_model(model: Path, trainer: Trainer, lora: LoraConfig, **settings: Any) -> Any:
    """The same decoder and the same start with peft's layers (transformers' own rounds to float32 within)."""
    import peft

    theirs = peft.inject_adapter_in_model(
        peft.LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=list(lora.targets or ()), **settings),
        load_model(model, "float64").model,
    )
    for layer in lora_layers(trainer.model):
        pair = theirs.get_submodule(layer.name.removeprefix("model."))
        with torch.no_grad():
            pair.lora_A["default"].weight.copy_(layer.lora_A)
            pair.lora_B["default"].weight.copy_(layer.lora_B)
    return theirs


def test_follows_peft_in_float64(tmp_path: Path, pico: Path) -> None:
    """Gradients of the first step, and losses and pairs of 20 steps, are peft's with torch's AdamW."""
    tokens = write_tokens(tmp_path / "tokens", pico, [33] * 16, row=33)
    lora = LoraConfig(rank=4, alpha=6, targets=SMALL, rank_stabilised=True)
    optimizer = OptimizerConfig(learning_rate=5e-3)
    config = TrainConfig(optimizer=optimizer, epochs=5, rows_per_step=4, compute_dtype="float64", lora=lora)
    trainer = trainer_of(config, pico, tokens, tmp_path / "none")
    for layer in lora_layers(trainer.model):  # a start at which both matrices have a gradient
        with torch.no_grad():
            layer.lora_B.normal_(std=0.05, generator=torch.Generator().manual_seed(len(layer.name)))
    for name, parameter in trainer.optimizer.parameters.items():
        with torch.no_grad():
            trainer.optimizer.masters[name].copy_(parameter)
    theirs = peft_model(pico, trainer, lora, use_rslora=True)
    learning = [value for value in theirs.parameters() if value.requires_grad]
    assert len(learning) == len(trainer.optimizer.masters) == 12
    adamw = torch.optim.AdamW(learning, betas=(0.9, 0.95), eps=1e-8, weight_decay=optimizer.weight_decay)
    for step in range(20):
        ids = torch.tensor(trainer.loader.packed.tokens[trainer.loader.rows(step)]).long()
        logits = theirs.logits(theirs(ids))[:, :-1]
        loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))
        loss.backward()
        if step == 0:
            batch = trainer.loader.batch(trainer.loader.rows(0))
            _, losses = trainer._forward_backward(batch, len(batch.targets))
            assert losses.mean().item() == pytest.approx(loss.item(), abs=1e-12)
            for name, gradient in trainer.optimizer.gradients.items():
                module, _, side = name.rpartition(".")
                expected = getattr(theirs.get_submodule(module), side)["default"].weight.grad
                torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-12)
            trainer.optimizer.gradients.clear()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        for group in adamw.param_groups:
            group["lr"] = learning_rate_at(optimizer, step, 20)
        adamw.step()
        adamw.zero_grad()
        record = trainer.step(step)
        assert record["loss"] == pytest.approx(loss.item(), abs=1e-6), step  # the record rounds to 1e-6
    for layer in lora_layers(trainer.model):  # what 20 steps made, and so every loss on the way, is the same
        pair = theirs.get_submodule(layer.name.removeprefix("model."))
        torch.testing.assert_close(layer.lora_A.data, pair.lora_A["default"].weight.data, rtol=0, atol=1e-9)
        torch.testing.assert_close(layer.lora_B.data, pair.lora_B["default"].weight.data, rtol=0, atol=1e-9)


def test_the_finished_folder_is_the_base_with_peft_s_adapter(tmp_path: Path, pico: Path) -> None:
    import peft
    from transformers import AutoModelForCausalLM

    tokens = write_tokens(tmp_path / "tokens", pico, [33] * 8, row=33)
    lora = LoraConfig(rank=4, targets=SMALL)
    optimizer = OptimizerConfig(learning_rate=1e-2)
    config = TrainConfig(optimizer=optimizer, epochs=4, rows_per_step=4, lora=lora)
    run(config, {"model": pico, "tokens": tokens}, tmp_path / "out")
    before, after = load_file(pico / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if name.split(".")[-2] in SMALL}
    ids = torch.arange(3, 40)[None]
    inner = AutoModelForCausalLM.from_pretrained(str(pico), dtype=torch.float32)
    start = inner(ids).logits.clone()
    theirs = peft.PeftModel.from_pretrained(inner, str(tmp_path / "out" / "adapter")).eval()
    ours = load_model(tmp_path / "out").model
    with torch.inference_mode():
        expected, found = theirs(ids).logits, ours.logits(ours(ids))
        merged = theirs.merge_and_unload()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert (found - start).abs().max() > 0.01, "nothing was learned, so nothing was compared"
    for name, value in merged.state_dict().items():
        if name in after:
            torch.testing.assert_close(after[name], value, rtol=0, atol=1e-7)


class Killed(Exception):
    """Stands in for SIGKILL."""


def test_resumed_equals_straight_with_dropout(tmp_path: Path, pico: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = write_tokens(tmp_path / "tokens", pico, [20, 45, 31, 7, 64, 22])
    config = TrainConfig(
        epochs=2, rows_per_step=3, rows_per_pass=2, checkpoint_minutes=0, lora=LoraConfig(rank=2, dropout=0.2)
    )
    inputs = {"model": pico, "tokens": tokens}
    straight = run(config, inputs, tmp_path / "straight")
    step = Trainer.step

    def dies(self: Trainer, number: int) -> dict[str, Any]:
        if number == 3:
            raise Killed
        return step(self, number)

    monkeypatch.setattr(Trainer, "step", dies)
    with pytest.raises(Killed):
        run(config, inputs, tmp_path / "killed")
    monkeypatch.setattr(Trainer, "step", step)
    assert run(config, inputs, tmp_path / "killed") == straight
    for name in ("model.safetensors", "metrics.jsonl", "adapter/adapter_model.safetensors"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes(), name


def test_dropout_is_drawn_by_seed_step_pass_and_layer(pico: Path) -> None:
    model = load_model(pico).model.train()
    add_lora(model, LoraConfig(rank=2, dropout=0.5, targets=("q_proj",)), 0, pico)
    first, second = lora_layers(model)
    x = torch.ones(64, 32)
    begin_pass(model, 0, 5, 1)
    drawn = first._dropped(x)
    assert set(drawn.unique().tolist()) == {0.0, 2.0}
    assert 0.4 < (drawn == 0).float().mean() < 0.6
    assert torch.equal(drawn, first._dropped(x)), "a pass that is computed again drops the same"
    assert not torch.equal(drawn, second._dropped(x))
    for key in ((1, 5, 1), (0, 6, 1), (0, 5, 0)):
        begin_pass(model, *key)
        assert not torch.equal(drawn, first._dropped(x)), key
    torch.testing.assert_close(first.eval()(x), F.linear(x, first.weight))


def test_frozen_weights_have_no_masters_and_compute_in_bf16(tmp_path: Path, pico: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens", pico, [33] * 4, row=33)
    trainer = trainer_of(TrainConfig(lora=LoraConfig(rank=2)), pico, tokens, tmp_path / "none")
    assert {name.rpartition(".")[2] for name in trainer.optimizer.masters} == {"lora_A", "lora_B"}
    assert {value.dtype for value in trainer.optimizer.masters.values()} == {torch.float32}
    assert {value.dtype for value in trainer.model.parameters()} == {torch.bfloat16}
    frozen = {name: value.clone() for name, value in trainer.model.named_parameters() if not value.requires_grad}
    trainer.step(0)
    after = dict(trainer.model.named_parameters())
    assert all(torch.equal(value, after[name]) and after[name].grad is None for name, value in frozen.items())


def test_a_start_depends_on_seed_and_name_only(pico: Path) -> None:
    def starts(seed: int, targets: tuple[str, ...] | None) -> dict[str, torch.Tensor]:
        model = load_model(pico).model
        add_lora(model, LoraConfig(rank=3, targets=targets), seed, pico)
        return {layer.name: layer.lora_A.data for layer in lora_layers(model)}

    all_layers, some = starts(0, None), starts(0, ("k_proj",))
    assert len(all_layers) == 14, "every linear layer of two blocks, and not the head"
    assert len(some) == 2
    for name, value in some.items():
        assert torch.equal(value, all_layers[name])
        assert not torch.equal(value, starts(1, ("k_proj",))[name])
        assert value.abs().max() <= 32**-0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"targets": ("q_prj",)}, r"no linear layer 'q_prj'; did you mean 'q_proj'\?"),
        ({"targets": ("q_proj", "lm_head")}, "'lm_head' is the output head"),
        (
            {"rank": 17, "targets": ("k_proj",)},
            r"rank: 17 is more than model\.layers\.0\.self_attn\.k_proj has, \[16, 32\]",
        ),
    ],
)
def test_what_cannot_be_adapted_is_refused(settings: dict[str, Any], message: str, tmp_path: Path, pico: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens", pico, [33] * 4, row=33)
    with pytest.raises(UserError, match=message) as caught:
        run(TrainConfig(lora=LoraConfig(**settings)), {"model": pico, "tokens": tokens}, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_a_foreign_family_takes_pairs_too(tmp_path: Path) -> None:
    """Through transformers' own layers: the merged folder and peft's adapter agree."""
    import peft
    from transformers import AutoModelForCausalLM, OlmoConfig, OlmoForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    folder = tmp_path / "olmo"
    OlmoForCausalLM(OlmoConfig(**sizes, vocab_size=320, pad_token_id=0, eos_token_id=2)).save_pretrained(str(folder))
    pico_tokenizer(folder)
    tokens = write_tokens(tmp_path / "tokens", folder, [33] * 8, row=33)
    config = TrainConfig(optimizer=OptimizerConfig(learning_rate=1e-2), lora=LoraConfig(rank=4), rows_per_step=2)
    run(config, {"model": folder, "tokens": tokens}, tmp_path / "out")
    assert json.loads((tmp_path / "out/adapter/adapter_config.json").read_text())["base_model_name_or_path"] == "olmo"
    ids = torch.arange(3, 40)[None]
    base = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    with torch.inference_mode():
        start = base(ids).logits.clone()
        expected = peft.PeftModel.from_pretrained(base, str(tmp_path / "out" / "adapter")).eval()(ids).logits
        found = load_model(tmp_path / "out").model
        torch.testing.assert_close(found.logits(found(ids)), expected, rtol=1e-4, atol=1e-5)
    assert (expected - start).abs().max() > 1e-3


def test_a_plan_knows_what_learns(pico: Path) -> None:
    model = load_model(pico).model
    add_lora(model, LoraConfig(rank=3), 0, pico)
    layers = {layer.name: tuple(layer.weight.shape) for layer in lora_layers(model)}
    assert linear_shapes(model.config) == layers
    learning = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert learning == sum(3 * sum(shape) for shape in layers.values())
    whole, few = (training_gib(model.config, "bfloat16", 64, 1, False, n) for n in (None, learning))
    # 16 bytes a parameter go, and the head's gradient; the pairs' copies come
    saved = 16 * (model.config.num_parameters() - learning) - 2 * learning + 4 * 320 * 32
    assert (whole - few) * GIB == pytest.approx(saved)


def test_targets_are_ends_of_names() -> None:
    shapes = {f"model.layers.{n}.{name}": (8, 4) for n in range(2) for name in ("mlp.up", "attn.up", "attn.q_up")}

    def chosen(*targets: str) -> list[str]:
        return choose_layers(LoraConfig(rank=2, targets=targets), shapes, "lm_head", "m")

    assert choose_layers(LoraConfig(rank=2), shapes, "lm_head", "m") == list(shapes)
    assert chosen("up") == [name for name in shapes if name.endswith(".up")]
    assert chosen("attn.up", "model.layers.1.mlp.up") == [
        "model.layers.0.attn.up",
        "model.layers.1.mlp.up",
        "model.layers.1.attn.up",
    ]
    with pytest.raises(UserError, match=r"no linear layer 'tn.up'"):
        chosen("tn.up")


def test_an_untied_head_has_no_pair(tmp_path: Path) -> None:
    """An untied head is no target either, and is found by its place, not by its name."""
    folder = pico_model(tmp_path / "untied", tie_word_embeddings=False)
    model = load_model(folder).model
    add_lora(model, LoraConfig(rank=2), 0, folder)
    assert "lm_head" not in {layer.name for layer in lora_layers(model)}
    assert not model.lm_head.weight.requires_grad
