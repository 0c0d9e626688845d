"""What an option is worth without its question: the denominator of the unconditional normalisation.

A model finds some texts likelier than others whatever was asked. log P(option | question) − log P(option | "Answer:") leaves that out:
it ranks options by how much the question speaks for them, pointwise mutual information (Holtzman et al., arXiv:2104.08315, who call the
neutral beginning a domain premise; Brown et al., arXiv:2005.14165, section 2.4, use just this one). lm-evaluation-harness's `acc_mutual_info`
has the start-of-text token alone there, which asks for the beginning of a document instead of an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sagecraft.evaluation import prompts
from sagecraft.evaluation.score import Request, encode_prefix

if TYPE_CHECKING:
    from sagecraft.evaluation.config import EvaluateConfig
    from sagecraft.inference.local import LocalEngine


def with_unconditional(
    engine: LocalEngine,
    requests: Sequence[Request],
    values: Sequence[Any],
    config: EvaluateConfig,
    ask: Callable[[Sequence[Request]], Sequence[Any]],
) -> list[Any]:
    """Values of the continuation mode with `alone`, the log-likelihood of each option behind the neutral prompt.

    The tokens of an option are those that were scored behind the question. All options of a run stand behind one prompt, which
    runs once, and share their own beginnings; an option that many questions have is asked once.

    Args:
        engine: is asked.
        requests: of the questions.
        values: what they brought, None where nothing was asked.
        config: whether prompts stand in the chat template.
        ask: brings the values of further requests.
    """
    _, prefix = encode_prefix(engine, [prompts.user(prompts.NEUTRAL_PROMPT)], config)
    asked = [
        Request(prompts.NEUTRAL_PROMPT, {"mode": "continuation", "prefix": prefix, "continuations": [ids]})
        for request, value in zip(requests, values, strict=True)
        if value is not None
        for ids in request.body["continuations"]
    ]
    found = iter(ask(asked))
    return [
        None if value is None else {**value, "alone": [next(found)["sums"][0] for _ in request.body["continuations"]]}
        for request, value in zip(requests, values, strict=True)
    ]
