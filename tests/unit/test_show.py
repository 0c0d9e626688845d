"""What `show` makes of the figures of a manifest, and of tokens."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pico import pico_model, write_tokens
from sagecraft import artifact, console
from sagecraft.errors import UserError
from sagecraft.models.tokenizer import Tokenizer
from sagecraft.reporting.token_view import PieceView, RowView, TokenView, bounded, render, visible
from sagecraft.show import Choice, said, show
from sagecraft.show.tokens import texts, view_row
from sagecraft.tokens.loader import Loader
from sagecraft.tokens.packed import Packed, TokenItem, write_packed
from sagecraft.training.train import TrainConfig


def test_counts_begin_with_the_largest_and_end_with_how_many_are_left() -> None:
    assert said({"a": 1, "b": 12345}) == "b 12,345, a 1"
    many = said({f"reason-{n}": n for n in range(10)})
    assert many.startswith("reason-9 9, reason-8 8")
    assert many.endswith("reason-2 2, and 2 more (--json)")
    assert said({}) == "none"


def test_names_with_figures_of_their_own_take_a_line_each() -> None:
    years = {"1999": {"documents": 2, "words": 5000}, "2001": {"documents": 7, "words": 10}}
    assert said(years) == "2001: documents 7, words 10\n1999: documents 2, words 5,000"
    models = {"base": {"accuracy": 0.25, "ci95": [0.1, 0.5], "n": 8, "modes": {"letter": {"n": 8}}}, "cpt": {}}
    assert said(models) == "base: accuracy 0.25, ci95 [0.1, 0.5], n 8\ncpt: none"


def test_plain_values_stand_as_they_are_and_long_texts_are_folded() -> None:
    assert [said(value) for value in ("x y", True, None, 0.123456, 4096)] == ["x y", "true", "null", "0.1235", "4,096"]
    assert max(len(line) for line in said("word " * 100).splitlines()) <= 110


TALK = "<|im_start|>user\nÄ star 天文 🌟?<|im_end|>\n"


def tokens_of(folder: Path, model: Path) -> Path:
    """Two conversations and a long document with characters that no token of the pico vocabulary holds whole."""
    tokenizer = Tokenizer.from_folder(model)
    talk = tokenizer.encode(TALK, parse_special=True)
    half = len(talk) // 2
    items = [
        TokenItem("talk <b>", "chat/on", talk, [False] * half + [True] * (len(talk) - half), ("paper-1", "paper-2")),
        TokenItem("long", "domain", tokenizer.encode("A star shines.  天文\n" * 9), [True] * 1000, ("long",)),
    ]
    items[1] = TokenItem("long", "domain", items[1].ids, [True] * len(items[1].ids), ("long",))
    with artifact.build(
        folder, kind="tokens", stage="render", version=1, config=TrainConfig(), inputs={"model": model}
    ) as build:
        build.stats.update(write_packed(build.path, items, 64, pad_id=0))
        build.stats["tokenizer_sha256"] = tokenizer.sha256
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return pico_model(tmp_path / "base")


def test_tokens_add_up_to_the_text_and_characters_stay_whole(model: Path) -> None:
    tokenizer = Tokenizer.from_folder(model)
    ids = tokenizer.encode(TALK, parse_special=True)
    shown = texts(ids, tokenizer)
    assert len(shown) == len(ids)
    assert "".join(text for text, _ in shown) == TALK
    assert "\ufffd" not in "".join(text for text, _ in shown)
    kinds = [kind for _, kind in shown]
    assert kinds.count("special") == 2
    star = [text for text, _ in shown].index(" 🌟") if " 🌟" in dict(shown) else [t for t, _ in shown].index("🌟")
    assert kinds[star + 1 : star + 4].count("part") >= 2, "a character of four bytes is several tokens"


def test_a_row_that_begins_within_a_character_shows_the_vocabularys_form(model: Path) -> None:
    tokenizer = Tokenizer.from_folder(model)
    ids = tokenizer.encode("天")
    assert len(ids) == 3
    cut = texts(ids[1:] + tokenizer.encode("A star"), tokenizer)
    assert "".join(text for text, _ in cut).endswith("A star")
    assert "\ufffd" not in "".join(text for text, _ in cut)
    assert texts([5, 6], None) == [("5 ", "text"), ("6 ", "text")]


def test_a_real_replacement_character_is_text(model: Path) -> None:
    tokenizer = Tokenizer.from_folder(model)
    shown = texts(tokenizer.encode("a\ufffdb"), tokenizer)
    assert shown[0] == ("a", "text")
    assert shown[-1] == ("b", "text")


def test_what_cannot_be_seen_is_shown() -> None:
    assert visible(" star") == " star"
    assert visible("  star \n\t") == "··star ↵\n⇥"
    assert visible(" ") == "·"
    assert visible("a\u200bb\u202ec\x1b[31m") == "a⟨U+200B⟩b⟨U+202E⟩c⟨U+001B⟩[31m"
    assert visible("\u00a0") == "⟨U+00A0⟩"


def out(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> Console:
    made = Console(record=True, force_terminal=terminal, width=400, soft_wrap=True, highlight=False, quiet=False)
    monkeypatch.setattr(console, "out", made)
    return made


def test_the_terminal_shows_documents_by_colour_and_the_mask(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tokens_of(tmp_path / "tokens", model)
    packed = Packed.open(folder)
    row = int(packed.pieces[[piece[3] == 0 for piece in packed.pieces].index(True), 0])
    coloured = out(monkeypatch, terminal=True)
    show(folder, 3, False, Choice(row=row))
    text = coloured.export_text(styles=True, clear=False)
    assert "\x1b[1;" in text, "learned tokens are bold"
    assert "\x1b[2;" in text, "context is dim"
    assert "<|im_start|>" in text
    piped = out(monkeypatch, terminal=False)
    show(folder, 3, False, Choice(row=row))
    plain = piped.export_text()
    learned = plain.split("⟦")[2].split("⟧")[0]
    assert learned.endswith("<|im_end|>↵\n")
    assert "⟨talk <b> · chat/on⟩" in plain
    assert "天‥‥" in plain


def test_programs_get_the_rows_as_values(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tokens_of(tmp_path / "tokens", model)
    show(folder, 3, True, Choice(row=0))
    (row,) = json.loads(capsys.readouterr().out)
    packed = Packed.open(folder)
    ids = [token["id"] for piece in row["pieces"] for token in piece["tokens"]]
    assert ids == packed.tokens[0, : len(ids)].tolist()
    assert len(ids) + row["num_padding"] == packed.row_length
    assert [token["learned"] for piece in row["pieces"] for token in piece["tokens"]] == packed.mask[
        0, : len(ids)
    ].astype(bool).tolist()


def test_rows_and_steps_that_are_not_there_are_said(tmp_path: Path, model: Path) -> None:
    folder = tokens_of(tmp_path / "tokens", model)
    last = Packed.open(folder).num_rows - 1
    with pytest.raises(UserError, match=rf"--row 99: .* has rows 0 to {last}"):
        show(folder, 3, False, Choice(row=99))
    with pytest.raises(UserError, match=r"--step 99: this training has steps 0 to"):
        show(folder, 3, False, Choice(step=99))
    with pytest.raises(UserError, match="choose one"):
        show(folder, 3, False, Choice(row=0, step=0))
    with pytest.raises(UserError, match="no such folder"):
        show(tmp_path / "none", 3, False, Choice(step=0))


@pytest.mark.parametrize("ask", ["tokens", "trained", "running"])
def test_a_step_has_the_rows_that_training_took(
    ask: str, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tokens(tmp_path / "tokens", model, [20, 45, 31, 7, 64, 22, 50, 13, 40])
    config = TrainConfig(rows_per_step=3, epochs=2, seed=5)
    expected = Loader(Packed.open(folder), 3, 2, 5).rows(2)
    place = folder
    if ask == "running":
        place = tmp_path / "cpt"
        written = {"config": config.model_dump(mode="json"), "tokens": str(folder)}
        artifact.write_json(tmp_path / "cpt.work" / "scratch" / "watch" / "run.json", written)
    else:
        inputs = {"model": model, "tokens": folder}
        with artifact.build(tmp_path / "cpt", kind="model", stage="cpt", version=1, config=config, inputs=inputs):
            pass
        place = tmp_path / "cpt" if ask == "trained" else folder
    made = out(monkeypatch, terminal=False)
    show(place, 3, False, Choice(step=2))
    shown = [int(line.split()[1]) for line in made.export_text().splitlines() if line.startswith("row ")]
    assert shown == expected


def test_a_tokenizer_elsewhere_is_named(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tokens_of(tmp_path / "far" / "tokens", model)
    show(folder, 1, False, Choice(row=0))
    assert "name its folder by --model" in capsys.readouterr().err
    show(folder, 1, False, Choice(row=0, model=model))
    assert "star" in capsys.readouterr().out
    other = pico_model(tmp_path / "other")
    (tmp_path / "other" / "tokenizer.json").write_text((other / "tokenizer.json").read_text() + "\n")
    with pytest.raises(UserError, match="another tokenizer"):
        show(folder, 1, False, Choice(row=0, model=other))


class Spans(HTMLParser):
    """Classes and texts of the tokens of a page; scripts and outside references are counted."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tokens: list[tuple[str, str, str]] = []
        self.tags: list[str] = []
        self.outside: list[str] = []
        self._open: dict[str, Any] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.outside += [str(v) for k, v in attrs if k in ("src", "href") and not str(v).startswith(("#", "data:,"))]
        if tag == "b" and "data-t" in values:
            self._open = values
            self.tokens.append((values.get("class") or "", str(values["data-t"]), ""))

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.tokens[-1] = (*self.tokens[-1][:2], self.tokens[-1][2] + data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "b":
            self._open = None


def test_the_page_holds_every_token_with_its_place_and_nothing_from_outside(tmp_path: Path, model: Path) -> None:
    folder, page = tokens_of(tmp_path / "tokens", model), tmp_path / "out.html"
    show(folder, 10, False, Choice(html=page))
    text = page.read_text()
    found = Spans(text)
    packed = Packed.open(folder)
    assert len(found.tokens) == int(packed.pieces[:, 2].sum())
    assert sum("l" in css.split() for css, _, _ in found.tokens) == int(packed.mask.sum())
    assert "script" not in found.tags
    assert found.outside == []
    assert "talk &lt;b&gt;" in text
    assert "paper-1, paper-2" in text
    views = [view_row(packed, number, Tokenizer.from_folder(model)) for number in range(packed.num_rows)]
    first = views[0].pieces[0].tokens[0]
    assert found.tokens[0][1].startswith(f"{first.id} · ")
    assert "#source-1:checked" in text, "two sources can be looked at one by one"


def test_a_page_is_bounded() -> None:
    tokens = tuple(TokenView(7, "star", True, "text", n) for n in range(1000))
    rows = [RowView(n, (PieceView(f"d{n}", "domain", (), 0, 1000, tokens),), 24) for n in range(100)]
    assert len(bounded(rows, 2500)) == 2
    assert len(bounded(rows, 10)) == 1, "one row is always shown"
    page = render("Tokens", "", rows, [])
    assert "of 100 that were asked for" in page
    assert len(page) < 4_000_000
