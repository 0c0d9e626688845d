"""Rows of tokens, or those of one optimizer step: in the terminal, or as a page."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from sagecraft import artifact, console
from sagecraft.errors import UserError
from sagecraft.reporting.token_view import PieceView, RowView, TokenView, render

if TYPE_CHECKING:
    from sagecraft.artifact import Manifest
    from sagecraft.models.tokenizer import Tokenizer
    from sagecraft.show import Choice
    from sagecraft.tokens.packed import Packed

#: Background colours of neighbouring documents in a row.
_COLOURS = ("on grey15", "on dark_blue", "on dark_green", "on purple4", "on deep_pink4", "on grey27")
#: A character of UTF-8 has four bytes at most, and a token one byte at least.
_MAX_PARTS = 4


def show_chosen(path: Path, count: int, choice: Choice, as_json: bool = False) -> None:
    """Shows the first rows, one row, or the rows of a step.

    Args:
        path: an artifact of tokens, or one that was trained on them.
        count: rows, if neither a row nor a step is chosen.
        choice: which, and where.
        as_json: as values, for programs.

    Raises:
        UserError: no such row or step, or the tokens are not found.
    """
    from sagecraft.tokens.packed import Packed

    if choice.row is not None and choice.step is not None:
        raise UserError("--row and --step: choose one of them")
    folder, training = _tokens_and_training(path)
    manifest = artifact.load(folder, "tokens")
    packed = Packed.open(folder)
    numbers, chosen = _choose(packed, count, choice, training, folder)
    tokenizer = _tokenizer_of(folder, manifest, choice.model)
    rows = [view_row(packed, number, tokenizer) for number in numbers]
    if choice.html is not None:
        subtitle = f"{chosen} of {packed.num_rows:,}, {packed.row_length:,} tokens each"
        page = render(f"Tokens of {folder.resolve().name}", subtitle, rows, _facts(folder, manifest))
        artifact.write_text(choice.html, page)
        console.say(f"{chosen} of {folder} in {choice.html}", style="bold")
        return
    if as_json:
        console.emit([dataclasses.asdict(row) for row in rows])
        return
    _legend()
    for row in rows:
        _print_row(row, marks=not console.out.is_terminal)


def _choose(
    packed: Packed, count: int, choice: Choice, training: dict[str, Any] | None, folder: Path
) -> tuple[Sequence[int], str]:
    """Numbers of the rows, and what they are called."""
    from sagecraft.tokens.loader import Loader
    from sagecraft.training.train import TrainConfig

    if choice.row is not None:
        if not 0 <= choice.row < packed.num_rows:
            raise UserError(f"--row {choice.row}: {folder} has rows 0 to {packed.num_rows - 1:,}")
        return [choice.row], f"row {choice.row:,}"
    if choice.step is None:
        first = range(min(count, packed.num_rows))
        return first, f"the first {len(first):,} rows"
    if training is None:
        console.warn(f"no training on {folder} stands beside it: the order is the one of the default settings")
    config = TrainConfig.model_validate(training or {})
    loader = Loader(packed, config.rows_per_step, config.epochs, config.seed)
    if not 0 <= choice.step < loader.num_steps:
        raise UserError(f"--step {choice.step}: this training has steps 0 to {loader.num_steps - 1:,}")
    numbers = loader.rows(choice.step)
    return numbers, f"step {choice.step:,}: {len(numbers):,} rows"


def _tokens_and_training(path: Path) -> tuple[Path, dict[str, Any] | None]:
    """The folder of the tokens, and the settings of the training on them if there is one."""
    work = path if path.suffix == ".work" else path.with_name(f"{path.name}.work")
    running = work / "scratch" / "watch" / "run.json"
    if not (path / artifact.MANIFEST).is_file() and running.is_file():
        value = artifact.read_json(running)
        return Path(value["tokens"]), value["config"]
    manifest = artifact.load(path)
    if manifest.kind == "tokens":
        digest = manifest.digest
        trained = (other for _, other in _beside(path) if other.inputs.get("tokens") == digest)
        return path, next((other.config for other in trained if other.kind == "model"), None)
    wanted = manifest.inputs.get("tokens")
    for folder, other in _beside(path):
        if wanted is not None and other.digest == wanted:
            return folder, manifest.config
    raise UserError(f"{path}: holds {manifest.kind} without tokens beside it; give the folder that pack or render made")


def _beside(path: Path) -> Iterator[tuple[Path, Manifest]]:
    """The artifacts that stand in the same folder."""
    for folder in sorted(path.resolve().parent.iterdir()):
        if artifact.is_artifact(folder):
            yield folder, artifact.load(folder)


def _tokenizer_of(folder: Path, manifest: Manifest, model: Path | None) -> Tokenizer | None:
    """The tokenizer that made the rows: of a given folder, or looked for among those beside the artifact."""
    from sagecraft.models.tokenizer import Tokenizer

    wanted = manifest.stats.get("tokenizer_sha256")
    if model is not None:
        given = Tokenizer.from_folder(model)
        if given.sha256 != wanted:
            raise UserError(f"--model {model}: another tokenizer than the one that made {folder}")
        return given
    for place in sorted(folder.resolve().parent.iterdir()):
        if (place / "tokenizer.json").is_file():
            try:
                tokenizer = Tokenizer.from_folder(place)
            except UserError:
                continue
            if tokenizer.sha256 == wanted:
                return tokenizer
    console.warn(
        "the tokenizer does not stand beside these tokens, so their numbers are shown; name its folder by --model"
    )
    return None


def view_row(packed: Packed, number: int, tokenizer: Tokenizer | None) -> RowView:
    """One row as a reader sees it."""
    from sagecraft.tokens.packed import ITEM, LENGTH, OFFSET, START

    pieces, end = [], 0
    for piece in packed.pieces_of(number):
        start, length, offset = int(piece[START]), int(piece[LENGTH]), int(piece[OFFSET])
        ids = packed.tokens[number, start : start + length].tolist()
        mask = packed.mask[number, start : start + length].tolist()
        item = packed.items[int(piece[ITEM])]
        tokens = tuple(
            TokenView(token, text, bool(learned), kind, offset + place)
            for place, (token, learned, (text, kind)) in enumerate(zip(ids, mask, texts(ids, tokenizer), strict=True))
        )
        lineage = tuple(map(str, item.get("lineage", ())))
        pieces.append(PieceView(str(item["id"]), str(item["source"]), lineage, offset, int(item["num_tokens"]), tokens))
        end = max(end, start + length)
    return RowView(number, tuple(pieces), packed.row_length - end)


def texts(ids: Sequence[int], tokenizer: Tokenizer | None) -> list[tuple[str, Any]]:
    """Text and kind of each token, by what it adds to those before it.

    A token on its own loses its leading space in some vocabularies, and is half a character in others: characters whose
    bytes are spread over tokens stand with the first of them, and the others are `part`s.
    """
    if tokenizer is None:
        return [(f"{token} ", "text") for token in ids]
    special = set(tokenizer.special_tokens.values())
    found: list[tuple[str, Any]] = []
    begin = 0  # of the tokens that are decoded along, so that a space is kept
    while len(found) < len(ids):
        at = len(found)
        if ids[at] in special:
            found.append((tokenizer.token_text(ids[at]), "special"))
            begin = at + 1
            continue
        before = tokenizer.decode(list(ids[begin:at]), skip_special=False)
        for size in range(1, 1 + min(_MAX_PARTS, len(ids) - at)):
            after = tokenizer.decode(list(ids[begin : at + size]), skip_special=False)
            added = after[len(before) :]
            if after.startswith(before) and "\ufffd" not in added:
                found += [(added, "text"), *[("", "part")] * (size - 1)]
                begin = at
                break
        else:  # a row that begins or ends within a character: the vocabulary's own form of its bytes
            found.append((tokenizer.token_text(ids[at]), "text"))
            begin = at + 1
    return found


def _legend() -> None:
    line = Text("\n")
    if console.out.is_terminal:
        line.append(" learned ", style=f"bold {_COLOURS[1]}")
        line.append(" context only ", style=f"dim {_COLOURS[1]}")
        line.append(" <special> ", style=f"bold yellow {_COLOURS[1]}")
        line.append(" a colour a document, ")
    else:
        line.append("⟦learned⟧, context only, ")
    line.append("↵ end of line, ⇥ tab, ·· spaces, ‥ rest of a character")
    console.out.print(line)


def _print_row(row: RowView, marks: bool) -> None:
    """A row of the terminal; where there are no colours, marks stand around what is learned."""
    line = Text()
    for number, piece in enumerate(row.pieces):
        colour = _COLOURS[number % len(_COLOURS)]
        line.append(f"⟨{console.plain_text(piece.name)} · {console.plain_text(piece.source)}⟩", style="italic cyan")
        before = False
        for token in piece.tokens:
            if marks and token.learned != before:
                line.append("⟦" if token.learned else "⟧")
                before = token.learned
            style = "bold" if token.learned else "dim"
            style += " yellow" if token.kind == "special" else ""
            line.append(token.shown, style=f"{style} {colour}")
        line.append("⟧" if before else "")
    if row.num_padding:
        line.append(f"⟨padding: {row.num_padding:,} places⟩", style="italic dim")
    console.out.print(Text(f"\nrow {row.number:,}", style="bold"))
    console.out.print(line)


def _facts(folder: Path, manifest: Manifest) -> list[tuple[str, str]]:
    from sagecraft.show import said

    facts = [("made by", manifest.stage), ("digest", manifest.digest)]
    facts += [(f"from {name}", digest) for name, digest in manifest.inputs.items()]
    origins = {other.digest: place.name for place, other in _beside(folder)}
    facts = [(name, f"{origins[value]} ({value[:12]})" if value in origins else value) for name, value in facts]
    return facts + [(key, said(value)) for key, value in manifest.stats.items()]
