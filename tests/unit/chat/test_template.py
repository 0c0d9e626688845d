"""Which template is taken, what it renders, and what a hostile one cannot do."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from sagecraft.chat.messages import Message
from sagecraft.chat.template import ChatTemplate, built_in
from sagecraft.chat.thinking import TAGS, Tags, join_thought, split_thought
from sagecraft.errors import UserError
from sagecraft.models.tokenizer import TOOL_TEMPLATE, copy_tokenizer

USER = Message(role="user", content=" Hi ")
TALK = [Message(role="system", content="Be kind."), USER, Message(role="assistant", content="Ho", thinking="Hm")]
GOLDEN = Path(__file__).parent.parent.parent / "golden" / "chat"


def test_choice_of_template(folder_with: Any) -> None:
    own = ChatTemplate.from_folder(folder_with("{{ messages[0].content }}"))
    assert (own.name, own.text) == ("checkpoint", "{{ messages[0].content }}")
    assert own.sha256 == hashlib.sha256(own.text.encode()).hexdigest()
    assert ChatTemplate.from_folder(folder_with(None)).name == "chatml"


def test_template_is_written_where_transformers_finds_it(folder_with: Any, tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    folder, target = folder_with("old"), tmp_path / "new"
    (folder / TOOL_TEMPLATE).parent.mkdir()
    (folder / TOOL_TEMPLATE).write_text("older")
    copy_tokenizer(folder, target)
    assert (target / TOOL_TEMPLATE).read_text() == "older"
    assert ChatTemplate.from_folder(target).with_tools.text == "older"
    copy_tokenizer(folder, target, built_in("chatml"))
    config = json.loads((target / "tokenizer_config.json").read_text())
    assert config["chat_template"] == (target / "chat_template.jinja").read_text() == built_in("chatml")
    assert not (target / TOOL_TEMPLATE).exists()
    assert PreTrainedTokenizerFast.from_pretrained(str(target)).chat_template == built_in("chatml")
    (target / "chat_template.jinja").unlink()
    assert PreTrainedTokenizerFast.from_pretrained(str(target)).chat_template == built_in("chatml")
    assert ChatTemplate.from_folder(target).text == built_in("chatml")


@pytest.mark.parametrize("name", ["chatml", "llama-3", "plain"])
@pytest.mark.parametrize("thinking", [None, "on", "off"])
def test_built_in_templates(name: str, thinking: Any) -> None:
    template = ChatTemplate(text=built_in(name), variables={"bos_token": "<|begin_of_text|>", "eos_token": "</s>"})
    text = template.render(TALK, thinking=thinking, add_generation_prompt=True)
    assert text == (GOLDEN / f"{name}-{thinking}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("tags", TAGS, ids=lambda tags: tags.open)
def test_a_thought_that_a_template_opens_is_closed_where_the_switch_is_off(folder_with: Any, tags: Tags) -> None:
    text = (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + ' ' + m.content + '<|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant OPEN' }}{% endif %}"
    )
    template = ChatTemplate.from_folder(folder_with(text.replace("OPEN", tags.open)))
    assert template.thoughts[0] == tags
    prompts = {state: template.render([USER], thinking=state, add_generation_prompt=True) for state in ("on", "off")}
    assert prompts["on"].endswith(tags.open)
    assert split_thought(prompts["off"].partition("assistant ")[2] + "Ho") == ("", "Ho", True)
    # a thought that the template has no field for is pasted in the model's own tags
    said = template.render([USER, TALK[2]], thinking="on", add_generation_prompt=False)
    assert join_thought("Hm", "Ho", tags) in said


def test_switch_replaces_a_switch_that_is_there() -> None:
    template = ChatTemplate(text=built_in("chatml"))
    system = Message(role="system", content="detailed thinking on\nBe kind.")
    text = template.render([system, USER], thinking="off", add_generation_prompt=False)
    assert "detailed thinking on" not in text
    assert "detailed thinking off\nBe kind." in text
    assert "detailed thinking on\nBe kind." in template.render([system], thinking=None, add_generation_prompt=False)


def test_template_without_system_turn() -> None:
    text = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
        "{% for m in messages %}[{{ m.content }}]{% endfor %}"
    )
    rendered = ChatTemplate(text=text).render(TALK[:2], thinking="off", add_generation_prompt=False)
    assert rendered == "[detailed thinking off\nBe kind.\n\n Hi ]"


def test_the_calendar_does_not_leak() -> None:
    template = ChatTemplate(text="{{ strftime_now('%d %b %Y') }}")
    assert template.render([USER], thinking=None, add_generation_prompt=False) == "26 Jul 2024"


def test_tojson_is_plain() -> None:
    rendered = ChatTemplate(text="{{ messages[0].content | tojson }}").render(
        [Message(role="user", content="<é'>")], thinking=None, add_generation_prompt=False
    )
    assert rendered == '"<é\'>"'


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{% for i in range(100000000) %}{% endfor %}",
        "{{ 'a' * 1000000000 }}",
        "{{ ['a'] * 1000000000 }}",
        "{{ '%1000000000d' % 3 }}",
        "{{ 'a'.center(1000000000) }}",
        "{{ '{:>1000000000}'.format(1) }}",
        "{{ 'a' | center(1000000000) }}",
        "{{ 9 ** 9 ** 9 }}",
        "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}{% endfor %}",
        "{% set ns = namespace(x='aaaa') %}{% for i in range(60) %}{% set ns.x = ns.x.replace('a', 'aa') %}{% endfor %}",
        "{% set ns = namespace(x='aaaa') %}{% for i in range(60) %}{% set ns.x = ns.x | replace('a', 'aa') %}{% endfor %}",
        "{% set ns = namespace(x='aaaa') %}{% for i in range(60) %}{% set ns.x = ns.x.join(['b','b','b']) %}{% endfor %}",
        "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% for a in messages %}" * 6 + "{% endfor %}" * 6,
        "{% for m in messages %}",
        "{{ messages[7].content }}",
        "{% include '/etc/passwd' %}",
        "x" * 200_000,
    ],
)
def test_hostile_templates_end_as_one_line(text: str) -> None:
    with pytest.raises(UserError) as caught:
        ChatTemplate(text=text, where="model").render([USER], thinking=None, add_generation_prompt=False)
    assert str(caught.value).startswith("model: the chat template")
