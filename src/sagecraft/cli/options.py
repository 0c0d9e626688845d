"""What the verbs share: the application they belong to, options of one meaning, and how an artifact is announced."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sagecraft import console

app = typer.Typer(
    name="sagecraft",
    help="Turns a general language model into a specialist of one field, and measures that it did.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Out = Annotated[Path, typer.Option("--out", help="folder to write; appears only when it is whole")]
Json = Annotated[bool, typer.Option("--json", help="print the result as JSON on standard output")]
Seed = Annotated[int, typer.Option(help="keys every random choice")]
ModelPath = Annotated[
    str, typer.Argument(metavar="MODEL", help="Hugging Face folder, folder+adapter, GGUF file, or provider:model")
]


def finish(manifest: Any, out: Path, json: bool, told: bool = False) -> None:
    """Says what was made and where, and why anything was left out; `told`: the stage has said its figures itself."""
    from sagecraft.show import said

    if json:
        console.emit({"out": str(out), "kind": manifest.kind, "stats": manifest.stats})
        return
    for key, value in ({} if told else manifest.stats).items():
        if isinstance(value, str | int | float | bool):
            console.say(f"  {key}: {value}")
        elif key in ("dropped", "dropped_by_reason") and value:
            console.say(f"    {said(value)}")
    page = next((out / name for name in ("report.html", "merge.html") if (out / name).is_file()), None)
    console.say(f"{manifest.kind} in {out}{f', report in {page}' if page else ''}", style="bold")
