"""Which engine runs a MODEL: torch for folders, llama.cpp for GGUF files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sagecraft.errors import UserError
from sagecraft.models.adapter import split_name

if TYPE_CHECKING:
    from sagecraft.inference.protocol import Engine
    from sagecraft.models.load import Dtype


def is_gguf(path: Path) -> bool:
    """Whether a MODEL is a GGUF file, by its name; it may not exist."""
    return path.suffix.lower() == ".gguf" and not path.is_dir()


@contextmanager
def open_engine(
    path: Path, dtype: Dtype = "bfloat16", adapter: Path | None = None, device: str | None = None
) -> Iterator[Engine]:
    """Makes a model ready, and puts it away at the end.

    Args:
        path: a Hugging Face folder, `folder+adapter`, or a GGUF file.
        dtype: arithmetic of a folder's model; a GGUF file brings its own.
        adapter: LoRA in peft's format, added to a folder's weights.
        device: of a folder's model, as torch calls it; None takes a card if there is one.

    Raises:
        UserError: neither, damaged, or more than its engine can do.
    """
    if is_gguf(path):
        if adapter is not None:
            raise UserError(f"{adapter}: an adapter is added to a model folder; {path.name} is a GGUF file")
        from sagecraft.inference.llama_cpp import LlamaCppEngine

        with closing(LlamaCppEngine(path)) as engine:
            yield engine
        return
    if adapter is None:
        path, adapter = split_name(str(path))
    if ":" in path.name and not path.exists():
        raise UserError(f"{path}: an endpoint is asked by eval alone; name a model folder or a GGUF file")
    from sagecraft.inference.local import LocalEngine

    yield LocalEngine(path, dtype, adapter, device)
