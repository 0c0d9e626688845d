from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from sagecraft import console
from sagecraft.assistant import terminal
from sagecraft.assistant.terminal import Talk, handle, save
from sagecraft.chat.messages import read_conversations
from sagecraft.errors import UserError


@pytest.fixture
def screen() -> Console:
    return Console(file=io.StringIO(), soft_wrap=True, highlight=False)


def shown(screen: Console) -> str:
    return screen.file.getvalue()  # type: ignore[attr-defined]


def test_a_question_is_answered_and_remembered(scripted, screen: Console) -> None:
    engine = scripted("It is hot.", "Very.")
    talk = Talk(engine)
    assert handle(talk, "What is a star?\n", screen)
    assert shown(screen) == "It is hot.\n"
    handle(talk, "How hot?", screen)
    assert "What is a star?" in engine.prompts[1]
    assert "It is hot." in engine.prompts[1]


def test_the_thought_stands_apart_under_a_heading(scripted, screen: Console) -> None:
    talk = Talk(scripted("<think>\nhm\n</think>\n\nHot."))
    handle(talk, "/think on", screen)
    handle(talk, "What is a star?", screen)
    assert shown(screen) == "Thought\nhm\n\nAnswer\nHot.\n"
    assert talk.messages[-1].thinking == "hm"
    assert "detailed thinking on" in talk.engine.prompts[0]


def test_the_thought_is_dimmed_on_a_terminal(scripted) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, color_system="standard", soft_wrap=True)
    handle(Talk(scripted("<think>\nhm\n</think>\n\nHot."), thinking="on"), "q", screen)
    assert "\x1b[2mh\x1b[0m\x1b[2mm\x1b[0m" in shown(screen)
    assert shown(screen).endswith("\x1b[0m\nHot.\n")


def test_a_model_cannot_steer_the_terminal(scripted, screen: Console) -> None:
    handle(Talk(scripted("ok \x1b[2J\x1b]0;owned\x07[bold]x[/bold]")), "q", screen)
    assert shown(screen) == "ok [2J]0;owned[bold]x[/bold]\n"


def test_ctrl_c_stops_the_reply_and_keeps_what_was_said(scripted, screen: Console) -> None:
    engine = scripted("one two three four five six")
    whole = engine.stream

    def interrupted(*arguments):
        for number, token in enumerate(whole(*arguments)):
            if number == 5:
                raise KeyboardInterrupt
            yield token

    engine.stream = interrupted
    talk = Talk(engine)
    assert handle(talk, "count", screen)
    assert talk.messages[0].content == "count"
    assert "one two three four five six".startswith(talk.messages[1].content)
    assert talk.messages[1].content


def test_a_command_in_capitals_is_a_command(scripted, screen: Console) -> None:
    talk = Talk(scripted("Yes."))
    handle(talk, "/Think ON", screen)
    assert talk.thinking == "on"
    assert not talk.engine.prompts
    handle(talk, "/etc/Hosts is a file", screen)
    assert len(talk.engine.prompts) == 1


def test_commands(scripted, screen: Console, tmp_path: Path) -> None:
    talk = Talk(scripted("Yes."))
    handle(talk, "/system Be brief.", screen)
    handle(talk, "Is it?", screen)
    assert "Be brief." in talk.engine.prompts[0]
    handle(talk, f"/save {tmp_path / 'talk.md'}", screen)
    assert (tmp_path / "talk.md").read_text() == (
        "# Talk with scripted\n\n**system**\n\nBe brief.\n\n**user**\n\nIs it?\n\n**assistant**\n\nYes.\n"
    )
    handle(talk, "/reset", screen)
    assert talk.messages == []
    assert talk.system == "Be brief."
    handle(talk, "/system", screen)
    assert talk.system is None
    assert not handle(talk, "/quit", screen)
    for bad in ("/think maybe", "/nonsense", "/save", "/save x.md"):
        with pytest.raises(UserError):
            handle(talk, bad, screen)
    assert len(talk.engine.prompts) == 1


def test_a_path_is_a_question_and_an_empty_line_is_nothing(scripted, screen: Console) -> None:
    talk = Talk(scripted("A file."))
    handle(talk, "/etc/hosts is what?", screen)
    handle(talk, "   ", screen)
    assert len(talk.engine.prompts) == 1


def test_a_saved_row_is_a_conversation_and_nothing_is_overwritten(scripted, screen: Console, tmp_path: Path) -> None:
    talk = Talk(scripted("<think>\nhm\n</think>\n\nHot."), thinking="on", system="Be brief.")
    handle(talk, "q", screen)
    path = save(talk, str(tmp_path / "talk.jsonl"))
    (row,) = read_conversations(path)
    assert row.thinking == "on"
    assert [message.role for message in row.messages] == ["system", "user", "assistant"]
    assert row.messages[2].thinking == "hm"
    with pytest.raises(UserError, match="exists"):
        save(talk, str(path))


def test_a_full_context_drops_the_oldest_turns_with_a_note(scripted, screen: Console, monkeypatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(console, "say", lambda text, style=None: notes.append(text))
    talk = Talk(scripted("a" * 30, max_positions=128), max_tokens=40)
    for question in ("first question", "second question", "third question"):
        handle(talk, question, screen)
    assert any("oldest" in note for note in notes)
    assert "first" not in talk.engine.prompts[-1]
    assert "third" in talk.engine.prompts[-1]


def test_each_reply_draws_its_own_numbers_and_the_same_ones_again(scripted, screen: Console) -> None:
    def seeds(seed: int) -> list[int]:
        talk = Talk(scripted("x"), thinking="on", seed=seed)
        for _ in range(2):
            handle(talk, "q", screen)
        return [sampling.seed for sampling in talk.engine.samplings]

    first = seeds(0)
    assert first[0] != first[1]
    assert first == seeds(0) != seeds(1)


def test_piped_lines_are_answered_without_prompts(scripted, monkeypatch, capsys) -> None:
    engine = scripted("One.", "Two.")
    monkeypatch.setattr("sagecraft.inference.local.LocalEngine", lambda *_: engine)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"What is a star?\n\xff bad\n/quit\nnever\n")))
    terminal.chat(Path("anywhere"), max_tokens=80)
    assert capsys.readouterr().out == "One.\nTwo.\n"
    assert "\ufffd bad" in engine.prompts[1]
    assert len(engine.prompts) == 2


def test_a_fault_in_a_pipe_ends_the_run(pico: Path, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("/nonsense\n"))
    with pytest.raises(UserError, match="/nonsense"):
        terminal.chat(pico)
    with pytest.raises(UserError, match="max-tokens"):
        terminal.chat(pico, max_tokens=0)


def test_rows_are_json(scripted, screen: Console, tmp_path: Path) -> None:
    talk = Talk(scripted("No thought."))
    handle(talk, "q", screen)
    row = json.loads(save(talk, str(tmp_path / "a.jsonl")).read_text())
    assert row["thinking"] == "off"
    assert row["source"] == "scripted"
