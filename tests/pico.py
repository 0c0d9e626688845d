"""Tiny models and corpora, made on the fly: every test that needs weights takes them from here."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEXT = (
    "A star shines because hydrogen fuses into helium in its core. The mass of a star decides how long it lives. "
    "Light from a galaxy is redshifted when space expands. A planet orbits its star on an ellipse. 0 1 2 3 4 5 6 7 8 9."
)


@cache
def _tokenizer_json(vocab_size: int) -> str:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=SPECIALS, initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator([TEXT] * 4, trainer)
    return str(tokenizer.to_str())


def pico_tokenizer(folder: Path, vocab_size: int = 320, chat_template: str | None = CHATML) -> Path:
    """A byte-level BPE tokenizer with ChatML's special tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(_tokenizer_json(vocab_size), encoding="utf-8")
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|im_end|>",
        "add_bos_token": False,
    }
    if chat_template is not None:
        config["chat_template"] = chat_template
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    return folder


def pico_config(**overrides: Any) -> dict[str, Any]:
    """A two-layer Llama with grouped-query attention."""
    config: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": 320,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "hidden_act": "silu",
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
    }
    return {**config, **overrides}


def pico_model(folder: Path, seed: int = 0, dtype: str = "float32", **overrides: Any) -> Path:
    """A model folder with random weights, keyed by `seed`."""
    import torch

    from sagecraft.models.config import parse_config
    from sagecraft.models.decoder import Decoder
    from sagecraft.models.load import parameters_by_file_name
    from sagecraft.models.save import save_model

    config = pico_config(**overrides)
    model = Decoder(parse_config(config))
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, parameter in parameters_by_file_name(model).items():
        if name.endswith("norm.weight"):
            value = torch.ones(parameter.shape)
        elif name.endswith("bias"):
            value = torch.randn(parameter.shape, generator=generator) * 0.1
        else:
            value = torch.randn(parameter.shape, generator=generator) * 0.05
        tensors[name] = value.to(getattr(torch, dtype))
    tokenizer = pico_tokenizer(folder.with_name(folder.name + "-tokenizer"))
    save_model(folder, tensors, config, tokenizer)
    return folder


def transformers_model(folder: Path, kind: str, **changes: Any) -> Path:
    """A folder that transformers made: weights far from their initial values, so that every one of them counts."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    sizes = {
        "vocab_size": 320,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 512,
    }
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**sizes, **changes}))
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    model.save_pretrained(folder)
    return pico_tokenizer(folder)


def write_tokens(folder: Path, model: Path, lengths: list[int], row: int = 32) -> Path:
    """A tokens artifact of keyed random tokens, made as the pack stage makes it."""
    from sagecraft import artifact
    from sagecraft.models.tokenizer import Tokenizer
    from sagecraft.tokens.packed import TokenItem, write_packed
    from sagecraft.training.train import TrainConfig

    rng = random.Random(0)
    items = [
        TokenItem(f"d{n}", "domain" if n % 3 else "general", [rng.randrange(3, 320) for _ in range(k)], [True] * k)
        for n, k in enumerate(lengths)
    ]
    config = TrainConfig()
    with artifact.build(
        folder, kind="tokens", stage="pack", version=1, config=config, inputs={"model": model}
    ) as build:
        build.stats.update(write_packed(build.path, items, row, pad_id=0))
        build.stats["tokenizer_sha256"] = Tokenizer.from_folder(model).sha256
    return folder


def pico_watcher(folder: Path, num_steps: int) -> Any:
    """What a loop tells of its steps; its records stand in `folder/metrics.jsonl`."""
    from sagecraft.training.watch import WatchConfig, Watcher

    return Watcher(WatchConfig(), folder, "test", num_steps)


def other_vocabulary(source: Path, target: Path, seed: int | None = 0, extra: tuple[str, ...] = ()) -> Path:
    """A copy of a model whose token ids are shuffled (all but if `seed` is None) and that has `extra` special tokens more.

    The rows of its embedding and head move along, so that it computes the same; rows of extra tokens are random.
    """
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, target)
    tokenizer = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    old = {**vocabulary, **{row["content"]: row["id"] for row in tokenizer["added_tokens"]}}
    places = list(range(max(old.values()) + 1 + len(extra)))
    if seed is not None:
        random.Random(seed).shuffle(places)
    ids = {text: places[old[text]] for text in old}
    new = dict(zip(extra, places[max(old.values()) + 1 :], strict=True))
    like = tokenizer["added_tokens"][0]
    added = [{**row, "id": ids[row["content"]]} for row in tokenizer["added_tokens"]]
    added += [{**like, "content": text, "id": place} for text, place in new.items()]
    tokenizer["added_tokens"] = sorted(added, key=lambda row: row["id"])
    tokenizer["model"]["vocab"] = dict(sorted({**{t: ids[t] for t in vocabulary}, **new}.items(), key=lambda i: i[1]))
    (target / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    weights = load_file(source / "model.safetensors")
    for name, weight in weights.items():
        if name.endswith(("embed_tokens.weight", "lm_head.weight")):
            generator = torch.Generator().manual_seed(len(places))
            rows = torch.randn(len(places), weight.shape[1], generator=generator).mul(0.05).to(weight.dtype)
            for text, place in ids.items():
                rows[place] = weight[old[text]]
            weights[name] = rows
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    moved = {key: places[value] for key, value in config.items() if key.endswith("_token_id") and value is not None}
    (target / "config.json").write_text(
        json.dumps({**config, **moved, "vocab_size": len(places)}, indent=2), encoding="utf-8"
    )
    return target


def pico_taught(folder: Path, replies: list[tuple[str, str]], steps: int = 60) -> Path:
    """A model that was taught by heart what to reply to each prompt (nearly: about 3 s for ten prompts)."""
    import torch

    from sagecraft.chat.masks import encode_prompt
    from sagecraft.chat.messages import Message
    from sagecraft.chat.template import ChatTemplate
    from sagecraft.models.load import load_model, parameters_by_file_name
    from sagecraft.models.save import save_model

    untaught = pico_model(folder.with_name(folder.name + "-untaught"), vocab_size=330)
    tokenizer = untaught.with_name(untaught.name + "-tokenizer")
    for place in (untaught, tokenizer):
        _add_letters(place / "tokenizer.json")
    loaded, template = load_model(untaught), ChatTemplate.from_folder(untaught)
    model = loaded.model.requires_grad_(True)
    ends = loaded.tokenizer.encode("<|im_end|>", parse_special=True)
    asked = [
        (
            encode_prompt(loaded.tokenizer, template, [Message(role="user", content=prompt)], None),
            loaded.tokenizer.encode(reply) + ends,
        )
        for prompt, reply in replies
    ]
    ids = torch.zeros(len(asked), max(len(prompt) + len(reply) for prompt, reply in asked), dtype=torch.long)
    wanted = torch.full_like(ids, -100)
    for row, (prompt, reply) in enumerate(asked):
        ids[row, : len(prompt) + len(reply)] = torch.tensor(prompt + reply)
        wanted[row, len(prompt) - 1 : len(prompt) + len(reply) - 1] = torch.tensor(reply)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    for _ in range(steps):
        logits = model.logits(model(ids)[wanted >= 0])
        loss = torch.nn.functional.cross_entropy(logits, wanted[wanted >= 0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    tensors = {name: parameter.detach() for name, parameter in parameters_by_file_name(model).items()}
    save_model(folder, tensors, pico_config(vocab_size=330), tokenizer)
    return folder


def _add_letters(path: Path) -> None:
    """Makes " A" to " J" single tokens, as they are in every real vocabulary."""
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    for letter in "ABCDEFGHIJ":
        if f"Ġ{letter}" not in vocabulary:
            vocabulary[f"Ġ{letter}"] = len(vocabulary)
            tokenizer["model"]["merges"].append(["Ġ", letter])
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
