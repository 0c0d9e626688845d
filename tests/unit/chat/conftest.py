"""Tokenizers and templates in the styles that public checkpoints use (written here, in their manner)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pico import pico_tokenizer

EXTRA = [
    "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|begin_of_text|>", "<s>", "</s>", "[INST]", "[/INST]",
    "<start_of_turn>", "<end_of_turn>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>",
]  # fmt: skip

THINK_STRIPPER = (
    "{% for m in messages %}{% set content = m.content %}"
    "{% if m.role == 'assistant' and not loop.last and '</think>' in content %}"
    "{% set content = content.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "{{ '<|im_start|>' + m.role + '\n' + content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

STYLES = {
    "chatml-default-system": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nYou are kind.<|im_end|>\n' }}{% endif %}"
        "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "llama-3": (
        "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
        " + message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
        "{% endif %}{{ content }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
    ),
    "zephyr": (
        "{% for m in messages %}\n{{ '<|' + m.role + '|>\n' + m.content + eos_token }}\n{% endfor %}\n"
        "{% if add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}"
    ),
    "mistral": (
        "{{ '<s>' }}{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}{% if m.role == 'user' %}"
        "{{ '[INST] ' + m.content + ' [/INST]' }}{% elif m.role == 'assistant' %}{{ ' ' + m.content + '</s>' }}"
        "{% else %}{{ raise_exception('only user and assistant') }}{% endif %}{% endfor %}"
    ),
    "gemma": (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{% for m in messages %}{% set role = 'model' if m.role == 'assistant' else m.role %}"
        "{{ '<start_of_turn>' + role + '\n' + m.content | trim + '<end_of_turn>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
    ),
    "phi": (
        "{% for m in messages %}{{ '<|' + m.role + '|>' + '\n' + m.content + '<|end|>' + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
    ),
    "generation-tags": (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}"
        "{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}{% else %}{{ m.content + '<|im_end|>' }}"
        "{% endif %}{{ '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "whitespace-control": (
        "{%- for message in messages -%}\n  {%- if message.role == 'system' -%}\n    <|system|>{{ message.content }}\n"
        "  {%- else -%}\n    <|{{ message.role }}|> {{ message.content }}<|end|>\n  {%- endif -%}\n{%- endfor -%}\n"
        "{%- if add_generation_prompt -%}<|assistant|>{{ ' ' }}{%- endif -%}\n"
    ),
    "namespace-system": (
        "{% set ns = namespace(system='') %}{% for m in messages %}{% if m.role == 'system' %}"
        "{% set ns.system = m.content %}{% endif %}{% endfor %}"
        "{% if ns.system %}{{ '<|system|>\n' ~ ns.system ~ '<|end|>\n' }}{% endif %}"
        "{% for m in messages if m.role != 'system' %}{{ '<|' ~ m.role ~ '|>\n' ~ m.content ~ '<|end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
    ),
    "think-stripper": THINK_STRIPPER,
}


def write_folder(folder: Path, template: str | None, extra: list[str] = EXTRA) -> Path:
    """A tokenizer folder with more special tokens and this chat template."""
    from tokenizers import AddedToken, Tokenizer

    pico_tokenizer(folder, chat_template=template)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in extra])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    if "<|begin_of_text|>" in extra:
        config |= {"bos_token": "<|begin_of_text|>", "eos_token": "<|im_end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def folder_with(tmp_path: Path):
    """Makes a tokenizer folder with a template."""

    def make(template: str | None, extra: list[str] = EXTRA) -> Path:
        return write_folder(tmp_path / "tokenizer", template, extra)

    return make


@pytest.fixture(params=sorted(STYLES))
def styled(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """Each style in turn: its name and a folder."""
    return request.param, write_folder(tmp_path / "styled", STYLES[request.param])


@pytest.fixture
def styles() -> dict[str, str]:
    """Name → template."""
    return STYLES
