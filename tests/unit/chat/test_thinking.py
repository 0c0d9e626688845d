"""The thought splitter, whole and incremental."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagecraft.chat.thinking import (
    TAGS,
    Tags,
    ThoughtStream,
    is_closed,
    join_thought,
    opened_by,
    split_thought,
    switch_of,
    tags_of,
)


def test_split_thought() -> None:
    assert split_thought("<think>\na\n</think>\n\nb") == ("a", "b", True)
    assert split_thought("  <think>a") == ("a", "", False)
    assert split_thought("plain") == (None, "plain", True)
    assert split_thought("the tag <think> is text") == (None, "the tag <think> is text", True)
    assert split_thought("a</think>b", opened=TAGS[0]) == ("a", "b", True)
    assert split_thought(join_thought("x\n\ny", "z <think>")) == ("x\n\ny", "z <think>", True)


def test_stream_gives_text_as_soon_as_it_can() -> None:
    stream = ThoughtStream()
    assert stream.feed("<thi") == []
    assert stream.feed("nk>\nI see") == [("thought", "I see")]
    assert stream.thinking
    assert stream.feed(" it </thi") == [("thought", " it")]
    assert stream.feed("s</think>\n\nYes") == [("thought", " </this"), ("answer", "Yes")]
    assert not stream.thinking
    assert stream.feed(" <think>") == [("answer", " <think>")]


PIECES = st.lists(
    st.sampled_from(
        [
            "<",
            "think",
            ">",
            "</",
            "</think>",
            "<think>",
            " ",
            "\n",
            "a",
            "thi",
            "/",
            "[THINK]",
            "[/TH",
            "INK]",
            "<|begin_of_thought|>",
            "<|end_of_thought|>",
            "<|begin_of_",
            "solution|>",
            "<|end_of_solution|>",
            "<|end_of_",
        ]
    ),
    max_size=14,
)


@given(pieces=PIECES, opened=st.sampled_from([None, *TAGS]), known=st.sampled_from([TAGS, TAGS[:1], ()]))
def test_stream_adds_up_to_split(pieces: list[str], opened: Tags | None, known: tuple[Tags, ...]) -> None:
    stream = ThoughtStream(opened, known)
    parts = [part for piece in pieces for part in stream.feed(piece)] + stream.finish()
    thought, answer, _ = split_thought("".join(pieces), opened, known)
    assert "".join(text for kind, text in parts if kind == "thought") == (thought or "")
    assert "".join(text for kind, text in parts if kind == "answer") == answer
    assert all(text for _, text in parts)


@pytest.mark.parametrize("tags", TAGS, ids=lambda tags: tags.open)
def test_every_models_tags(tags: Tags) -> None:
    """Split whole, and letter by letter as the terminal and the server do."""
    text = join_thought("I see\nit", "B. fire", tags)
    assert split_thought(text) == ("I see\nit", "B. fire", True)
    stream = ThoughtStream()
    parts = [part for letter in text for part in stream.feed(letter)] + stream.finish()
    assert "".join(piece for kind, piece in parts if kind == "thought") == "I see\nit"
    assert "".join(piece for kind, piece in parts if kind == "answer") == "B. fire"
    assert opened_by(f"assistant: {tags.open}\n") == tags
    assert is_closed(f"{tags.open} hm{tags.closing}")
    assert not is_closed(f"{tags.open} hm")
    assert not any(other.open.startswith(tags.open) for other in TAGS if other is not tags)


def test_a_model_has_its_own_tags_and_ours() -> None:
    assert [tags.open for tags in tags_of("{{ '[THINK]' }} and <|end|>")] == ["[THINK]", "<think>"]
    assert [tags.open for tags in tags_of("", {"<|START_THINKING|>", "<|end|>"})] == ["<|START_THINKING|>", "<think>"]
    assert tags_of("plain") == TAGS[:1]


def test_thoughts_in_unknown_tags_stay_in_the_answer() -> None:
    """An answer that a user asked to begin with <reasoning> is one, to a model that thinks in other tags."""
    text = "<reasoning>it burns</reasoning>B"
    assert split_thought(text, known=TAGS[:1]) == (None, text, True)
    assert split_thought("[MUSE]hm[/MUSE]B") == (None, "[MUSE]hm[/MUSE]B", True)


def test_an_answer_in_tags_of_its_own() -> None:
    tags = next(tags for tags in TAGS if tags.open == "<|begin_of_thought|>")
    whole = f"{tags.open}hm{tags.close}\n\n{tags.answer_open}\n\nB\n\n{tags.answer_close} and more"
    assert split_thought(whole) == ("hm", "B\n\n", True)
    assert split_thought(f"{tags.open}hm{tags.close}\nB") == ("hm", "B", True)  # not every reply marks it
    assert split_thought(f"{tags.open}hm{tags.close}\n<|begin_of_s") == ("hm", "<|begin_of_s", True)


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("detailed thinking on", ("on", "")),
        ("Detailed thinking off.\nBe kind.", ("off", "Be kind.")),
        ("Be kind.", (None, "Be kind.")),
        ("no detailed thinking on", (None, "no detailed thinking on")),
    ],
)
def test_switch_of(system: str, expected: tuple[str | None, str]) -> None:
    assert switch_of(system) == expected
