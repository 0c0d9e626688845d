"""Talking to a model in the terminal: replies arrive token by token, the thought stands apart from the answer.

With a pipe instead of a keyboard every line is a question and standard output holds nothing but replies.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.text import Text

from sagecraft import artifact, console
from sagecraft.assistant.reply import Reply, fit_prompt, suggested_sampling
from sagecraft.chat.messages import MAX_CONTENT_CHARS, Conversation, Message
from sagecraft.chat.thinking import Kind, Switch
from sagecraft.errors import SagecraftError, UserError, from_os_error

if TYPE_CHECKING:
    from sagecraft.inference.protocol import Engine

#: A command is one word behind a slash; `/etc/hosts` is not one and goes to the model.
_COMMAND = re.compile(r"^/([A-Za-z]+)(?:\s+(.*))?$", re.DOTALL)
_HELP = """\
/think on|off   think before answering, or answer at once
/system TEXT    set the system prompt (without TEXT: remove it); the conversation starts anew
/reset          forget the conversation
/save FILE      write the conversation: Markdown, or a training row if FILE ends with .jsonl
/help           this list
/quit           leave (as Ctrl-D does); Ctrl-C stops a reply"""
_HEADINGS: dict[Kind, str] = {"thought": "Thought", "answer": "Answer"}


def chat(
    model: Path,
    *,
    thinking: Switch = "off",
    system: str | None = None,
    max_tokens: int = 512,
    temperature: float | None = None,
    seed: int = 0,
) -> None:
    """Reads questions from standard input and streams the replies to standard output.

    Args:
        model: a Hugging Face folder, `folder+adapter`, or a GGUF file.
        thinking: state of the switch at the start.
        system: system prompt, besides the switch.
        max_tokens: tokens of one reply at most, thought included.
        temperature: 0 takes the likeliest token; None is 0 without thought and 0.6 with it.
        seed: keys the draws; the n-th reply of two equal conversations is the same.
    """
    from sagecraft.inference.engine import open_engine

    if max_tokens < 1:
        raise UserError(f"--max-tokens {max_tokens}: must be at least 1")
    with open_engine(model) as engine:
        _converse(Talk(engine, thinking, system, max_tokens, temperature, seed))


def _converse(talk: Talk) -> None:
    interactive = sys.stdin.isatty()
    if interactive:
        head = f"{talk.engine.name}, thinking {talk.thinking}. /help lists the commands."
        console.out.print(Text(head, style="dim"))
    for line in _lines(sys.stdin, interactive):
        try:
            if not handle(talk, line, console.out):
                break
        except SagecraftError as error:
            if not interactive:
                raise
            console.warn(str(error))
        except OSError as error:
            if not interactive or isinstance(error, BrokenPipeError):
                raise
            console.warn(str(from_os_error(error)))


@dataclass
class Talk:
    """The state of one conversation. Earlier thoughts are kept for `/save` and not shown to the model again."""

    engine: Engine
    thinking: Switch = "off"
    system: str | None = None
    max_tokens: int = 512
    temperature: float | None = None
    seed: int = 0
    messages: list[Message] = field(default_factory=list)
    num_replies: int = 0

    @property
    def prompt(self) -> list[Message]:
        """The messages with the system prompt in front."""
        head = [Message(role="system", content=self.system)] if self.system else []
        return [*head, *self.messages]


def handle(talk: Talk, line: str, screen: Console) -> bool:
    """Does what one line asks for; False if it asks to leave."""
    line = line.strip()
    if not line:
        return True
    command = _COMMAND.match(line)
    if command is None:
        answer(talk, line, screen)
        return True
    name, argument = command.group(1).lower(), (command.group(2) or "").strip()
    if name in ("quit", "exit"):
        return False
    _obey(talk, name, argument)
    return True


def _obey(talk: Talk, name: str, argument: str) -> None:
    if name == "help":
        console.say(_HELP)
    elif name == "think":
        if argument.lower() not in ("on", "off"):
            raise UserError(f"/think {argument}: say /think on or /think off (it is {talk.thinking})")
        talk.thinking = "on" if argument.lower() == "on" else "off"
        console.say(f"thinking {talk.thinking}", style="dim")
    elif name == "system":
        talk.system = argument or None
        talk.messages.clear()
        console.say("system prompt set" if argument else "system prompt removed", style="dim")
    elif name == "reset":
        talk.messages.clear()
        console.say("the conversation is forgotten", style="dim")
    elif name == "save":
        console.say(f"written to {save(talk, argument)}", style="dim")
    else:
        raise UserError(f"/{name}: no such command; /help lists them")


def answer(talk: Talk, question: str, screen: Console) -> None:
    """Asks the model and shows its reply while it comes. Ctrl-C stops the reply; what was said so far is kept."""
    if len(question) > MAX_CONTENT_CHARS:
        raise UserError(f"the question has {len(question):,} characters, {MAX_CONTENT_CHARS:,} are allowed; shorten it")
    asked = [*talk.prompt, Message(role="user", content=question)]
    ids, num_dropped = fit_prompt(talk.engine, asked, talk.thinking, talk.max_tokens)
    if num_dropped:
        console.say(f"(the context is full: the {num_dropped} oldest messages are left out)", style="dim")
        # what no longer fits never will: the conversation goes on without it
        del talk.messages[:num_dropped]
    sampling = suggested_sampling(
        talk.thinking,
        max_tokens=talk.max_tokens,
        temperature=talk.temperature,
        top_p=None,
        seed=artifact.keyed_hash(talk.seed, "reply", talk.num_replies),
    )
    talk.num_replies += 1
    reply = Reply(talk.engine, ids, sampling)
    stopped = False
    try:
        show(reply, screen)
    except KeyboardInterrupt:
        stopped = True
    screen.print()
    if stopped:
        console.say("(stopped)", style="dim")
    elif reply.finish_reason == "length":
        console.say(f"(cut after {reply.num_tokens:,} tokens)", style="dim")
    elif not reply.answer.strip():
        console.say("(the model gave no answer)", style="dim")
    if reply.answer.strip():
        talk.messages += [
            Message(role="user", content=question),
            Message(role="assistant", content=reply.answer.strip(), thinking=reply.thought),
        ]


def show(reply: Reply, screen: Console) -> None:
    """Prints the parts of a reply as they come; headings appear only if there is a thought."""
    last: Kind | None = None
    for kind, text in reply:
        if kind != last and (kind == "thought" or last is not None):
            gap = "\n\n" if last is not None else ""
            screen.print(Text(f"{gap}{_HEADINGS[kind]}", style="bold dim" if kind == "thought" else "bold"))
        last = kind
        screen.print(Text(console.plain_text(text), style="dim" if kind == "thought" else ""), end="")
        screen.file.flush()


def save(talk: Talk, name: str) -> Path:
    """Writes the conversation; a file that exists is not overwritten.

    Raises:
        UserError: no name, nothing to save, or the file exists.
    """
    if not name:
        raise UserError("/save: name a file, for instance /save talk.md")
    path = Path(name).expanduser()
    if not talk.messages:
        raise UserError("/save: nothing was said yet")
    if path.exists():
        raise UserError(f"{path}: exists; choose another name")
    if path.suffix == ".jsonl":
        thinks = talk.messages[-1].thinking is not None
        row = Conversation(
            id=path.stem or "talk",
            messages=tuple(talk.prompt),
            thinking="on" if thinks else "off",
            source=talk.engine.name,
        )
        artifact.write_jsonl(path, [row.as_row()])
    else:
        artifact.write_text(path, _markdown(talk))
    return path


def _markdown(talk: Talk) -> str:
    blocks = [f"# Talk with {talk.engine.name}"]
    for message in talk.prompt:
        blocks.append(f"**{message.role}**")
        if message.thinking:
            blocks.append("\n".join(f"> {line}".rstrip() for line in message.thinking.splitlines()))
        blocks.append(message.content)
    return "\n\n".join(blocks) + "\n"


def _lines(source: TextIO, interactive: bool) -> Iterator[str]:
    """Lines as they are typed or piped; Ctrl-C while typing drops the line."""
    if not interactive:
        if isinstance(source, io.TextIOWrapper):
            source.reconfigure(errors="replace")  # a byte that is no UTF-8 spoils a character, not the run
        for line in source:
            yield _whole(line)
        return
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  gives input() its history and editing
    while True:
        try:
            yield _whole(input("\n> "))
        except KeyboardInterrupt:
            console.out.print()
            console.say("(Ctrl-D or /quit leaves)", style="dim")
        except EOFError:
            console.out.print()
            return


def _whole(line: str) -> str:
    """A line that can be encoded: bytes that were no text become the replacement character."""
    return line.encode("utf-8", "replace").decode("utf-8")
