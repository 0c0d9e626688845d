from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pico import pico_tokenizer
from sagecraft.assistant.reply import (
    Detokenizer,
    Reply,
    StopSearch,
    fit_prompt,
    suggested_sampling,
)
from sagecraft.chat.messages import Message
from sagecraft.chat.thinking import TAGS, Tags, join_thought, tags_of
from sagecraft.console import plain_text
from sagecraft.errors import UserError
from sagecraft.inference.protocol import Sampling
from sagecraft.models.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.from_folder(pico_tokenizer(tmp_path_factory.mktemp("tokenizer")))


def read(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    stream = Detokenizer(tokenizer)
    return [*(stream.feed(token) for token in ids), stream.finish()]


@settings(deadline=None)
@given(ids=st.lists(st.integers(0, 319), max_size=40))
def test_pieces_add_up_to_the_text_even_of_random_bytes(tokenizer: Tokenizer, ids: list[int]) -> None:
    assert "".join(read(tokenizer, ids)) == tokenizer.decode(ids)


@settings(deadline=None)
@given(text=st.text(max_size=30))
def test_no_half_character_is_shown(tokenizer: Tokenizer, text: str) -> None:
    pieces = read(tokenizer, tokenizer.encode(text))
    assert "".join(pieces) == text
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in pieces)


def test_text_comes_as_soon_as_its_character_is_whole(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("a天b")
    pieces = read(tokenizer, ids)
    assert pieces[0] == "a"
    assert pieces[-2:] == ["b", ""]
    assert pieces[3] == "天"  # three bytes, three tokens: shown with the last of them


@given(text=st.text("abc", max_size=20), cuts=st.lists(st.integers(0, 20)), stops=st.lists(st.text("abc", min_size=1)))
def test_the_stop_does_not_depend_on_where_the_pieces_end(text: str, cuts: list[int], stops: list[str]) -> None:
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    search = StopSearch(stops)
    shown = "".join(search.feed(text[a:b]) for a, b in itertools.pairwise(edges))
    shown += search.finish()
    # the earliest place at which some stop is complete decides, as for a client that reads token by token
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    if not found:
        assert shown == text
    else:
        assert search.found
        assert text.startswith(shown)
        assert not any(stop in shown for stop in stops)


def test_control_characters_are_taken_out() -> None:
    hostile = "a\x1b[31mred\x1b]0;title\x07\x9b2J\r\x00\u202eb\n\tc"
    assert plain_text(hostile) == "a[31mred]0;title2Jb\n\tc"


def reply(engine, text_limit: int = 100, stops: tuple[str, ...] = ()) -> tuple[Reply, list[tuple[str, str]]]:
    ids = engine.tokenizer.encode("question")
    made = Reply(engine, ids, Sampling(max_tokens=text_limit), stops)
    return made, list(made)


def test_a_reply_is_split_into_thought_and_answer(scripted) -> None:
    made, parts = reply(scripted("<think>\nfirst this\n</think>\n\nthen that"))
    assert (made.thought, made.answer, made.finish_reason) == ("first this", "then that", "stop")
    assert {kind for kind, _ in parts} == {"thought", "answer"}
    assert 0 < made.num_thought_tokens < made.num_tokens


def test_a_reply_ends_at_its_limit_or_its_stop_text(scripted) -> None:
    made, _ = reply(scripted("one two three"), text_limit=3)
    assert made.finish_reason == "length"
    assert made.num_tokens == 3
    made, parts = reply(scripted("one two three"), stops=("two",))
    assert made.answer == "one " == "".join(text for _, text in parts)
    assert made.finish_reason == "stop"


def test_an_abandoned_reply_makes_no_more_tokens(scripted) -> None:
    engine = scripted("a long reply that nobody waits for")
    made = Reply(engine, engine.tokenizer.encode("question"), Sampling())
    pieces = iter(made)
    next(pieces)
    made.abandon()
    assert list(pieces) == []
    assert engine.num_made <= 2
    assert made.finish_reason is None


def test_a_template_that_opens_the_thought_is_noticed(scripted) -> None:
    engine = scripted("why</think>because")
    made = Reply(engine, engine.tokenizer.encode("<|im_start|>assistant\n<think>\n"), Sampling())
    list(made)
    assert (made.thought, made.answer) == ("why", "because")


@pytest.mark.parametrize("tags", TAGS, ids=lambda tags: tags.open)
def test_thoughts_in_the_tags_of_other_models(scripted, tags: Tags) -> None:
    engine = scripted(join_thought("why", "because", tags))
    engine.template = replace(engine.template, thoughts=tags_of(tags.open))
    made, _ = reply(engine, text_limit=400)
    assert (made.thought, made.answer) == ("why", "because")
    engine.script = [f"why{tags.closing}because"]
    made = Reply(engine, engine.tokenizer.encode(f"<|im_start|>assistant {tags.open}"), Sampling())
    list(made)
    assert (made.thought, made.answer) == ("why", "because")


def test_tags_that_are_special_tokens_are_seen(tmp_path: Path, scripted) -> None:
    """Special tokens are left out of what is shown, and with them the tags of Magistral's thoughts would be."""
    folder = pico_tokenizer(tmp_path)
    data = json.loads((folder / "tokenizer.json").read_text())
    size = Tokenizer.from_folder(folder).vocab_size
    for number, text in enumerate(("[THINK]", "[/THINK]", "[OTHER]")):
        data["added_tokens"].append({**data["added_tokens"][0], "id": size + number, "content": text, "special": True})
    (folder / "tokenizer.json").write_text(json.dumps(data))
    engine = scripted("x")
    engine.tokenizer = Tokenizer.from_folder(folder)
    engine.template = replace(engine.template, thoughts=tags_of("", engine.tokenizer.added_tokens))
    ids = engine.tokenizer.encode("[THINK]why[/THINK][OTHER]because", parse_special=True)
    assert {size, size + 1, size + 2} <= set(ids)
    engine.stream = lambda prompt, sampling: iter(ids)
    made, _ = reply(engine)
    assert (made.thought, made.answer) == ("why", "because")


def talk(*texts: str) -> list[Message]:
    roles = ("user", "assistant")
    return [Message(role=roles[n % 2], content=text) for n, text in enumerate(texts)]


def test_the_oldest_turns_are_dropped_and_the_system_prompt_stays(scripted) -> None:
    engine = scripted("x", max_positions=160)
    messages = [Message(role="system", content="be brief"), *talk("q1" * 10, "a1" * 10, "q2" * 10, "a2" * 10, "q3")]
    ids, dropped = fit_prompt(engine, messages, None, reserve=60)
    text = engine.tokenizer.decode(ids)
    assert dropped in (2, 4)
    assert "be brief" in text
    assert "q3" in text
    assert "q1" not in text
    assert len(ids) + 60 <= 160
    assert fit_prompt(scripted("x"), messages, None, reserve=60)[1] == 0


def test_a_question_that_can_never_fit_is_refused(scripted) -> None:
    with pytest.raises(UserError, match="takes 64"):
        fit_prompt(scripted("x", max_positions=64), talk("zyxw" * 40), None, reserve=10)


def test_earlier_thoughts_are_not_shown_to_the_model_again(scripted) -> None:
    engine = scripted("x")
    past = [*talk("q1"), Message(role="assistant", content="a1", thinking="secret"), *talk("q2")]
    assert "secret" not in engine.tokenizer.decode(fit_prompt(engine, past, "on", reserve=1)[0])


def test_sampling_follows_the_switch_unless_told_otherwise() -> None:
    settings = {"max_tokens": 5, "top_p": None, "seed": 1}
    assert suggested_sampling("off", temperature=None, **settings).temperature == 0
    thinking = suggested_sampling("on", temperature=None, **settings)
    assert (thinking.temperature, thinking.top_p) == (0.6, 0.95)
    assert suggested_sampling("on", temperature=0.0, **settings).temperature == 0


def test_the_real_engine_streams_what_it_decodes(pico: Path) -> None:
    from sagecraft.inference.local import LocalEngine

    engine = LocalEngine(pico, "float32")
    ids = engine.tokenizer.encode("A star")
    sampling = Sampling(max_tokens=40, temperature=1.5, seed=3)
    made = Reply(engine, ids, sampling)
    text = "".join(text for _, text in made)
    assert text == engine.tokenizer.decode(list(engine.stream(ids, sampling)))
