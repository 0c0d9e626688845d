"""Families that our decoder does not cover, through transformers: slower, but the same interface."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sagecraft.errors import UserError


class ForeignCache:
    """transformers' cache of past keys and values behind our `Cache`'s interface."""

    def __init__(self) -> None:
        from transformers import DynamicCache

        self.inner = DynamicCache()

    @property
    def length(self) -> int:
        """Number of tokens held."""
        return int(self.inner.get_seq_length())

    def fork(self) -> ForeignCache:
        """A cache that starts with the same tokens and grows on its own (a copy: transformers changes it in place)."""
        other = ForeignCache()
        other.inner = copy.deepcopy(self.inner)
        return other


def load_with_transformers(path: Path, dtype: torch.dtype) -> Any:
    """Loads safetensors with transformers; code that travels with a model is never run.

    Raises:
        UserError: transformers cannot load it, or tensors are missing.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        inner, found = AutoModelForCausalLM.from_pretrained(
            str(path),
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except (ValueError, KeyError, RuntimeError, OSError) as error:
        reason = next(iter(str(error).split("\n")), "") or type(error).__name__
        raise UserError(f"{path}: neither sagecraft nor transformers can load this model ({reason})") from error
    missing = sorted(found["missing_keys"])
    if missing:  # transformers would go on with random values
        raise UserError(f"{path}: tensor {missing[0]} (and {len(missing) - 1} more) is missing; fetch the model again")
    return inner.eval()


class ForeignDecoder(nn.Module):
    """A model of transformers that answers like `Decoder`. Its parameters are named `inner.` + their file names."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner
        text = inner.config.get_text_config()
        self.max_positions = int(getattr(text, "max_position_embeddings", 0) or 2048)

    @classmethod
    def load(cls, path: Path, dtype: torch.dtype) -> ForeignDecoder:
        """Loads a folder; refuses families whose logits are more than the head's product."""
        model = cls(load_with_transformers(path, dtype))
        model._check_head(path)
        return model

    @torch.no_grad()
    def _check_head(self, path: Path) -> None:
        """Our loss and our engine take logits to be head times state; some families cap, scale or shift them."""
        ids = torch.arange(4)[None]
        ours, theirs = self.logits(self(ids)), self.inner(ids).logits.to(torch.float32)
        if getattr(self.lm_head, "bias", None) is not None or not torch.allclose(ours.float(), theirs, 1e-2, 1e-4):
            raise UserError(
                f"{path}: model_type {self.inner.config.model_type!r} caps, scales or shifts its logits, which is not "
                "supported yet"
            )

    @property
    def lm_head(self) -> nn.Linear:
        """The output head."""
        head: nn.Linear = self.inner.get_output_embeddings()
        return head

    def new_cache(self) -> ForeignCache:
        """An empty cache."""
        return ForeignCache()

    def forward(
        self, input_ids: Tensor, boundaries: Sequence[int] | None = None, cache: ForeignCache | None = None
    ) -> Tensor:
        """Hidden states after the last norm; see `Decoder.forward`. Packed pieces run one after the other."""
        if boundaries is not None:
            pieces = [self._run(input_ids[None, a:b], None)[0] for a, b in itertools.pairwise(boundaries)]
            return torch.cat(pieces)
        return self._run(input_ids, cache)

    def _run(self, input_ids: Tensor, cache: ForeignCache | None) -> Tensor:
        if cache is not None and cache.length and input_ids.shape[0] > 1:
            cache.inner.batch_repeat_interleave(input_ids.shape[0])
        settings: Mapping[str, Any] = {"past_key_values": cache.inner} if cache is not None else {}
        hidden: Tensor = self.inner.get_decoder()(
            input_ids=input_ids, use_cache=cache is not None, **settings
        ).last_hidden_state
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """[…, D] → […, V], at least float32."""
        scores: Tensor = self.lm_head(hidden)
        return scores if scores.dtype == torch.float64 else scores.float()
