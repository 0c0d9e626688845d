"""What a model is shown, one form for each mode; nothing else in the project writes a question down for a model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from sagecraft.evaluation.numeric import numbers
from sagecraft.evaluation.tasks import Item

#: `role` and `content` of a turn.
Turn = dict[str, str]

#: Columns that explain the right answer, in the order they are looked for; `chain` is what stood before a number.
_EXPLAINED = ("explanation", "chain", "rationale", "support")
#: Results of a calculator that stand in chains of GSM8K: "48/2 = <<48/2=24>>24".
_CALCULATOR = re.compile(r"<<[^<>]{0,200}>>")
#: Characters of an explanation in an example.
_MAX_EXPLANATION = 2000


def user(content: str) -> Turn:
    """A turn of the user."""
    return {"role": "user", "content": content}


def continuation_turns(item: Item) -> list[Turn]:
    """The examples of an item with the text of their right options, and its question."""
    return _turns(item, _asked, lambda shot: shot.options[shot.answer or 0])


def letter_turns(item: Item) -> list[Turn]:
    """The examples of an item with their letters, and its question with its options."""
    return _turns(item, _asked_by_letter, lambda shot: shot.key or "")


def generate_turns(item: Item) -> list[Turn]:
    """The examples of an item with their replies in JSON, and what it is asked."""
    return _turns(item, generate_prompt, _example_reply)


def _turns(item: Item, asked: Callable[[Item], str], answered: Callable[[Item], str]) -> list[Turn]:
    turns = [
        turn for shot in item.shots for turn in (user(asked(shot)), {"role": "assistant", "content": answered(shot)})
    ]
    return [*turns, user(asked(item))]


def as_text(turns: Sequence[Turn]) -> str:
    """Turns for a model without a chat: each answer on the line of its "Answer:", an empty line behind it."""
    between = {"user": "", "assistant": "\n\n"}
    lead = {"user": "", "assistant": " "}
    return "".join(f"{lead[turn['role']]}{turn['content']}{between[turn['role']]}" for turn in turns)


def continuation_prompt(item: Item) -> str:
    """The question alone, behind its examples if it has some; each option in turn is its continuation."""
    return as_text(continuation_turns(item))


def _asked(item: Item) -> str:
    return f"{_above(item)}Question: {item.question}\nAnswer:"


def _above(item: Item) -> str:
    """The text to be read for the answer, where there is one."""
    return f"Passage: {item.passage}\n\n" if item.passage else ""


#: What an option stands behind where its likelihood without the question is asked for: the end of the prompt above.
NEUTRAL_PROMPT = "Answer:"


def lettered(item: Item) -> str:
    """The options, one a line, with their letters."""
    return "\n".join(f"{letter}. {option}" for letter, option in zip(item.letters, item.options, strict=True))


def letter_prompt(item: Item) -> str:
    """The question and its lettered options, behind its examples if it has some; the next token should be a letter."""
    return as_text(letter_turns(item))


def _asked_by_letter(item: Item) -> str:
    return f"{_above(item)}Question: {item.question}\n{lettered(item)}\nAnswer:"


def generate_prompt(item: Item) -> str:
    """Asks for a reply in JSON that a program can read."""
    if item.target:
        return (
            f"Solve the following problem step by step.\n\nProblem: {item.question}\n\n"
            f"Reply with one JSON object and nothing after it, in this form:\n"
            f'{{"explanation": "<the steps>", "answer": <the resulting number, without its unit>}}'
        )
    return (
        f"Answer the following multiple-choice question. Exactly one option is correct.\n\n"
        f"{_above(item)}Question: {item.question}\n{lettered(item)}\n\n"
        f"Reply with one JSON object and nothing after it, in this form:\n"
        f'{{"answer": "<one letter of {", ".join(item.letters)}>", "explanation": "<one or two sentences>"}}'
    )


def _example_reply(shot: Item) -> str:
    """The reply to an example, in the form asked for, with the explanation that its set gives."""
    given = next((text for name in _EXPLAINED if isinstance(text := shot.extra.get(name), str) and text.strip()), "")
    explanation = _CALCULATOR.sub("", given).strip()[:_MAX_EXPLANATION]
    if shot.target:
        value = numbers(shot.target)[0]
        answer = value.numerator if value.denominator == 1 else shot.target
        return json.dumps({"explanation": explanation, "answer": answer}, ensure_ascii=False)
    explanation = explanation or f"The right option is: {shot.options[shot.answer or 0]}"
    return json.dumps({"answer": shot.key, "explanation": explanation}, ensure_ascii=False)


#: Sent where a thought outran its budget on an endpoint that cannot be told to go on with a closed one.
ANSWER_NOW = 'You have thought enough. Reply now with only the JSON object {"answer": …, "explanation": …}.'
