"""The thought splitter, whole and incremental."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagecraft.chat.thinking import ThoughtStream, join_thought, split_thought, switch_of


def test_split_thought() -> None:
    assert split_thought("<think>\na\n</think>\n\nb") == ("a", "b", True)
    assert split_thought("  <think>a") == ("a", "", False)
    assert split_thought("plain") == (None, "plain", True)
    assert split_thought("the tag <think> is text") == (None, "the tag <think> is text", True)
    assert split_thought("a</think>b", opened=True) == ("a", "b", True)
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
    st.sampled_from(["<", "think", ">", "</", "</think>", "<think>", " ", "\n", "a", "thi", "/"]), max_size=14
)


@given(pieces=PIECES, opened=st.booleans())
def test_stream_adds_up_to_split(pieces: list[str], opened: bool) -> None:
    stream = ThoughtStream(opened=opened)
    parts = [part for piece in pieces for part in stream.feed(piece)] + stream.finish()
    thought, answer, _ = split_thought("".join(pieces), opened=opened)
    assert "".join(text for kind, text in parts if kind == "thought") == (thought or "")
    assert "".join(text for kind, text in parts if kind == "answer") == answer
    assert all(text for _, text in parts)


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
