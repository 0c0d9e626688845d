"""What a model is shown, one form for each mode; nothing else in the project writes a question down for a model."""

from __future__ import annotations

from sagecraft.evaluation.tasks import Item


def continuation_prompt(item: Item) -> str:
    """The question alone; each option in turn is its continuation."""
    return f"Question: {item.question}\nAnswer:"


#: What an option stands behind where its likelihood without the question is asked for: the end of the prompt above.
NEUTRAL_PROMPT = "Answer:"


def lettered(item: Item) -> str:
    """The options, one a line, with their letters."""
    return "\n".join(f"{letter}. {option}" for letter, option in zip(item.letters, item.options, strict=True))


def letter_prompt(item: Item) -> str:
    """The question and its lettered options; the next token should be a letter."""
    return f"Question: {item.question}\n{lettered(item)}\nAnswer:"


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
        f"Question: {item.question}\n{lettered(item)}\n\n"
        f"Reply with one JSON object and nothing after it, in this form:\n"
        f'{{"answer": "<one letter of {", ".join(item.letters)}>", "explanation": "<one or two sentences>"}}'
    )


#: Sent where a thought outran its budget on an endpoint that cannot be told to go on with a closed one.
ANSWER_NOW = 'You have thought enough. Reply now with only the JSON object {"answer": …, "explanation": …}.'
