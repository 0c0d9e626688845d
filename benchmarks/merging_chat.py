"""What a merge keeps: a run's instruct model and its specialised versions, merged in several ways, measured side by side.

    python benchmarks/merging_chat.py RUN --own FILE --task FILE [--out DIR] [--max-items N] [--json FILE]

RUN is a finished run of a recipe (`runs/quickstart`): its `fetch` is the instruct model, `cpt` and `sft` are the specialised ones, its withheld
documents and its held-out general text give perplexities. `--own` holds questions of its field, `--task` general ones. Merges have the recipe's
weights, sft 0.7 and instruct 0.3; DARE-TIES and TIES are taken on cpt.

Chat ability has no score of its own, so it is measured against the instruct model, which has it: its greedy replies to the prompts below are
scored token by token under every model, within the chat template. `nats` is what a token of them costs, `same choice` the share of tokens that the
model would have written too, `ended` the share of the model's own replies that it ends itself.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import yaml

from sagecraft import artifact
from sagecraft.chat.masks import encode_prompt
from sagecraft.chat.messages import Message
from sagecraft.evaluation import evaluate
from sagecraft.evaluation.config import EvaluateConfig
from sagecraft.inference.local import LocalEngine
from sagecraft.inference.protocol import Sampling
from sagecraft.merging.merge import merge_from_yaml

PROMPTS = [
    "Write a short thank-you note to a neighbour who watered my plants.",
    "Give me three tips for a first job interview.",
    "What should I cook with rice, eggs and spinach?",
    "Explain to a child why the sky gets dark at night.",
    "Rewrite this politely: Send me the report now.",
    "List four things to pack for a weekend by the sea.",
    "What is the difference between a simile and a metaphor?",
    "My bicycle chain keeps falling off. What can I check?",
    "Summarise in one sentence: The library will close early on Friday because the heating is being repaired.",
    "Suggest a name for a small bakery and say why it fits.",
    "How do I calm down before giving a speech?",
    "Tell me a two-sentence story about a lost umbrella.",
]
REPLY_TOKENS = 96
SHOWN = (1, 4, 11)


def configurations(run: Path) -> dict[str, dict[str, Any]]:
    """The merges, as mergekit's YAML has them."""
    cpt, sft, instruct = (str(run / name) for name in ("cpt", "sft", "fetch"))
    common = {"dtype": "float32", "out_dtype": "bfloat16", "tokenizer_source": sft}
    weighted = [
        {"model": sft, "parameters": {"weight": 0.7}},
        {"model": instruct, "parameters": {"weight": 0.3}},
    ]
    thinned = [
        {"model": sft, "parameters": {"weight": 0.7, "density": 0.7}},
        {"model": instruct, "parameters": {"weight": 0.3, "density": 0.5}},
    ]
    return {
        "dare_ties": {"merge_method": "dare_ties", "base_model": cpt, "models": thinned, **common},
        "ties": {"merge_method": "ties", "base_model": cpt, "models": thinned, **common},
        "linear": {"merge_method": "linear", "models": weighted, **common},
        "slerp": {
            "merge_method": "slerp",
            "base_model": sft,
            "models": [{"model": instruct}],
            "parameters": {"t": 0.3},
            **common,
        },
    }


def merged(run: Path, out: Path) -> dict[str, Path]:
    """Makes the merges that are not there yet."""
    found = {}
    for name, value in configurations(run).items():
        found[name] = out / name
        if not artifact.is_artifact(found[name]):
            path = out / f"{name}.yml"
            path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
            merge_from_yaml(path, found[name])
    return found


def evaluated(run: Path, model: Path, own: Path, task: Path, max_items: int, out: Path) -> dict[str, Any]:
    """Perplexities of the two texts, and the two accuracies."""
    texts = {"domain": run / "withhold" / "withheld", "general": run / "ingest-held-out"}
    results = {}
    for name, questions, more in (("own", own, texts), ("general", task, {})):
        folder = out / f"{model.name}-{name}"
        if not artifact.is_artifact(folder):
            config = EvaluateConfig.model_validate({"max_items": max_items, "perplexity": {"tokens": 6000}})
            evaluate.run(config, {"model": model, "task": questions, **more}, folder, store=out / "store")
        results[name] = artifact.read_json(folder / "results.json")
    return {
        "own_questions": (results["own"]["accuracy"], results["own"]["ci95"]),
        "general_questions": (results["general"]["accuracy"], results["general"]["ci95"]),
        **{f"{name}_perplexity": results["own"]["perplexity"][name]["perplexity"] for name in texts},
    }


def chatted(engine: LocalEngine, reference: list[list[int]] | None) -> tuple[dict[str, Any], list[list[int]]]:
    """The model's own replies, and how it takes those of the instruct model."""
    prompts = [
        encode_prompt(engine.tokenizer, engine.template, [Message(role="user", content=text)], None) for text in PROMPTS
    ]
    replies, ended = [], 0
    for prompt in prompts:
        reply = list(engine.stream(prompt, Sampling(max_tokens=REPLY_TOKENS)))
        ended += len(reply) < REPLY_TOKENS
        replies.append(reply)
    nats, same, count = 0.0, 0, 0
    for prompt, reply in zip(prompts, reference or replies, strict=True):
        import torch

        with torch.inference_mode():
            ids = torch.tensor([[*prompt, *reply]])
            logits = engine.model.logits(engine.model(ids)[0, len(prompt) - 1 : -1]).float()
        target = torch.tensor(reply)
        nats -= float(logits.log_softmax(-1).gather(1, target[:, None]).sum())
        same += int((logits.argmax(-1) == target).sum())
        count += len(reply)
    facts = {"nats": nats / count, "same_choice": same / count, "ended": ended / len(prompts), "tokens": count}
    return {**facts, "replies": [engine.tokenizer.decode(replies[index]) for index in SHOWN]}, replies


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--own", type=Path, required=True, help="questions of the run's field")
    parser.add_argument("--task", type=Path, required=True, help="general questions")
    parser.add_argument("--out", type=Path, default=Path("merging-chat"))
    parser.add_argument("--max-items", type=int, default=300)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    models = {"instruct": given.run / "fetch", "cpt": given.run / "cpt", "sft": given.run / "sft"}
    models |= merged(given.run, given.out)
    table: dict[str, Any] = {}
    reference: list[list[int]] | None = None
    for name, folder in models.items():
        facts, replies = chatted(LocalEngine(folder, device="cpu"), reference)
        reference = reference or replies
        table[name] = facts | evaluated(given.run, folder, given.own, given.task, given.max_items, given.out)
        if given.json:
            given.json.write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    show(table)


def show(table: dict[str, Any]) -> None:
    """A Markdown table, then some replies."""
    print(
        "| model | domain perplexity | general perplexity | own questions | general questions | nats | same choice | ended |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, row in table.items():
        shares = [
            f"{100 * share:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
            for share, (low, high) in (row["own_questions"], row["general_questions"])
        ]
        print(
            f"| {name} | {row['domain_perplexity']:.2f} | {row['general_perplexity']:.2f} | {shares[0]} | {shares[1]} "
            f"| {row['nats']:.3f} | {100 * row['same_choice']:.1f} % | {100 * row['ended']:.0f} % |"
        )
    for position, index in enumerate(SHOWN):
        print(f"\n{PROMPTS[index]}")
        for name, row in table.items():
            print(f"- {name}: {' '.join(row['replies'][position].split())}")


if __name__ == "__main__":
    main()
