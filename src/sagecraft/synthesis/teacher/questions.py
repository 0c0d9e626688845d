"""A passage as a request for questions, and an object of the reply as a question."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sagecraft.artifact import keyed_hash
from sagecraft.evaluation.claims import is_placeholder
from sagecraft.literature.passages import Passage
from sagecraft.synthesis.candidate import TEACHER, Candidate
from sagecraft.synthesis.teacher.config import TeacherConfig
from sagecraft.teaching.asking import Ask
from sagecraft.teaching.fields import Line, Numbers, said

_HERE = Path(__file__).parent / "prompts"
_NO_FOCUS = "what is asked here"
#: How models also call the kinds.
_KINDS_AS_WRITTEN = {
    "compare": "comparison", "contrast": "comparison", "difference": "comparison",
    "why": "cause", "reason": "cause", "explanation": "cause", "causal": "cause", "cause-and-effect": "cause",
    "quantity": "number", "numerical": "number", "numeric": "number", "value": "number", "quantitative": "number",
    "effect": "consequence", "implication": "consequence", "result": "consequence",
    "procedure": "method", "technique": "method", "how": "method", "process": "method",
    "function": "purpose", "goal": "purpose", "dependence": "relation", "relationship": "relation",
    "correction": "critique", "criticism": "critique", "hypothetical": "what-if", "counterfactual": "what-if",
    "what-would-change-if": "what-if", "define": "definition", "term": "definition", "derive": "derivation",
}  # fmt: skip
_TEXT = (
    r"(?:sentences? \[?\d{1,3}\]?(?:,? and \[?\d{1,3}\]?)?|(?:the|this) (?:(?:given|provided|above|source|numbered|following|supplied) ){0,2}"
    r"(?:passage|text|source|sentences?|excerpt|article|paper|document|section|abstract|material)s?"
    r"(?: (?:above|provided|given))?(?: \[?\d{1,3}\]?)?)"
)
_SAID = r"(?:according to|based on|as (?:stated|described|mentioned|noted|explained|given|discussed|reported) (?:in|by)|in|from|per)"
_LEAD = re.compile(rf"^{_SAID} {_TEXT}, ", re.IGNORECASE)
_TRAIL = re.compile(rf",? (?:{_SAID.replace('|in|from|per', '')}) {_TEXT}(?=[?.]\Z)", re.IGNORECASE)
#: Words by which only who was given numbered sentences speaks of them, beside those of `pointing`.
_POINTS_AT_TEXT = re.compile(
    r"\b(?:the|this) (?:text\b|source (?:text|material|passage))|\b(?:numbered|supplied) (?:sentence|text|passage)|"
    r"\b(?:given|provided|supplied) information\b|\bsentences? \[?\d|\bthe sentences (?:say|state|give|tell)\b",
    re.IGNORECASE,
)
#: A list that would run on in one line.
_BULLETS = re.compile(r"^\s*[-*•] ", re.MULTILINE)
#: Characters of a quotation that stands for one sentence only.
_MIN_QUOTED_CHARS = 20
_MARK = re.compile(r"\s?\[\d{1,3}(?:\s?[,–-]\s?\d{1,3}){0,9}\](?!\()")
_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")


class _Written(BaseModel):
    """A question as a model writes it."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    kind: Line = ""
    question: Line = Field(min_length=10, max_length=600)
    focus: Line = ""
    answer: Line = Field(min_length=10, max_length=4000)
    sentences: Numbers = Field(min_length=1, max_length=20)


#: Schema of a whole reply, for endpoints that take one: every key required and no other, as the strict form wants it.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "questions": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    **{key: {"type": "string"} for key in ("kind", "question", "focus", "answer")},
                    "sentences": {"type": "array", "items": {"type": "integer"}},
                },
                "required": ["kind", "question", "focus", "answer", "sentences"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["questions"],
    "additionalProperties": False,
}


@cache
def _prompt() -> tuple[str, dict[str, str], list[str]]:
    def read(name: str) -> str:
        return (_HERE / name).read_text(encoding="utf-8")

    return read("questions.md").strip(), yaml.safe_load(read("kinds.yaml")), yaml.safe_load(read("styles.yaml"))


def ask_about(
    config: TeacherConfig, seed: int, passage: Passage, summary: str, attempt: int, is_graded: bool = False
) -> Ask[Candidate]:
    """The request for the questions of a passage.

    Args:
        config: of the teacher.
        seed: draws kinds and style.
        passage: what is asked about.
        summary: of its document, in its own sentences.
        attempt: counts how often it was asked before in vain; each time it is worded in another style.
        is_graded: a model will judge whether the sentences say what the answer does.
    """
    drawn = sorted(config.kinds, key=lambda kind: keyed_hash(seed, "teach-kind", passage.id, kind))
    kinds = tuple(drawn[: max(2, config.questions_per_passage)])
    style = keyed_hash(seed, "teach-style", passage.id) + attempt
    told = "" if summary in passage.text else f"What it is about: {summary}\n"
    sentences = [sentence.text for sentence in passage.sentences]
    text = _text(passage.title, passage.section, told, sentences, kinds, config.questions_per_passage, style)
    turns = [*_example()[0], {"role": "user", "content": text}]
    return Ask(passage.id, turns, "question", partial(read_question, passage, config.kinds, is_graded))


def _text(
    title: str, section: str, summary: str, sentences: Sequence[str], kinds: Sequence[str], count: int, style: int
) -> str:
    prompt, told, styles = _prompt()
    return prompt.format_map(
        {
            "title": title or "(untitled)",
            "section": f", section “{section}”" if section else "",
            "summary": summary,
            "sentences": "\n".join(f"[{n}] {sentence}" for n, sentence in enumerate(sentences, start=1)),
            "count": count,
            "s": "" if count == 1 else "s",
            "kinds": "Kinds to choose from: " + "; ".join(f'"{kind}" ({told[kind]})' for kind in kinds) + ".",
            "style": styles[style % len(styles)],
        }
    )


@cache
def _descriptions() -> frozenset[str]:
    return frozenset(told.lower().rstrip(" ?.") for told in _prompt()[1].values())


@cache
def _example() -> tuple[list[dict[str, str]], frozenset[str], frozenset[str]]:
    """A finished request that stands before each, its questions, and the names in its sentences."""
    made = yaml.safe_load((_HERE / "example.yaml").read_text(encoding="utf-8"))
    questions = made["reply"]["questions"]
    text = _text(made["title"], "", "", made["sentences"], made["kinds"], len(questions), 0)
    reply = json.dumps(made["reply"], ensure_ascii=False)
    turns = [{"role": "user", "content": text}, {"role": "assistant", "content": reply}]
    names = re.findall(r"(?<=[a-z] )[A-Z]\w+", " ".join(made["sentences"]))
    return turns, frozenset(question["question"] for question in questions), frozenset(names)


def read_question(
    passage: Passage, kinds: tuple[str, ...], finds_numbers: bool, value: Mapping[str, Any]
) -> Candidate | str:
    """The candidate in an object of a reply, or what is wrong with it.

    Args:
        passage: what was asked about.
        kinds: that it may be of.
        finds_numbers: a figure of the answer may stand in a sentence that the reply forgot to name.
        value: the object.
    """
    try:
        written = _Written.model_validate({**value, "sentences": _unquoted(passage, value.get("sentences"))})
    except ValidationError as error:
        return said(error)
    if is_placeholder(written.question) or is_placeholder(written.answer):
        return "it repeats the form instead of filling it in"
    if written.question.lower().rstrip(" ?.") in _descriptions():
        return "it repeats what a kind asks instead of asking it of the sentences"
    if written.question in _example()[1]:
        return "it repeats the example instead of asking about the sentences"
    names = set(re.findall(r"\w+", f"{written.question} {written.answer}")) & _example()[2]
    if names - set(re.findall(r"\w+", f"{passage.title} {passage.text}")):  # a small model went on about its bell
        return "it speaks of the example instead of the sentences"
    kind = _kind(written.kind, kinds)
    if kind is None:
        return f"kind: {written.kind[:40]!r} is none of {', '.join(kinds)}"
    numbers = sorted(set(written.sentences))
    if not 1 <= numbers[0] <= numbers[-1] <= len(passage.sentences):
        return f"sentences: there are only the numbers 1 to {len(passage.sentences)}"
    question, answer = (_without_lead(_without_marks(text, passage)) for text in (written.question, written.answer))
    if finds_numbers:
        numbers = _with_figures(passage, numbers, question, answer)
    return Candidate(
        kind=kind,
        question=question,
        focus=_without_lead(written.focus).strip(" .?") or _NO_FOCUS,
        answer=answer,
        rule=TEACHER,
        positions=tuple(passage.sentences[number - 1].position for number in numbers),
        scope=passage.document if passage.title and passage.title in question else "",
        drop="leak"
        if any(_POINTS_AT_TEXT.search(text) for text in (question, answer))
        else "markup"
        if _BULLETS.search(str(value["answer"]))
        else None,
    )


def _kind(written: str, kinds: tuple[str, ...]) -> str | None:
    """The kind that is meant; where there is one only it need not be named."""
    name = re.sub(r"[\s_]+", "-", written.lower().strip(" .\"'<>[]"))
    for one in (name, _KINDS_AS_WRITTEN.get(name, ""), *re.split(r"[/|,(]-?|-or-|-and-", name)):
        if one in kinds:
            return one
    return kinds[0] if len(kinds) == 1 else None


def _unquoted(passage: Passage, value: Any) -> Any:
    """Sentences that are quoted instead of numbered as their numbers; all else as it is."""
    numbers = {" ".join(sentence.text.split()): n for n, sentence in enumerate(passage.sentences, start=1)}

    def number(part: Any) -> Any:
        if isinstance(part, dict):
            part = next((part[name] for name in ("number", "id", "index", "n") if name in part), None)
        quoted = re.sub(r"^\[?\d{1,6}[\].:]\s", "", " ".join(part.split())) if isinstance(part, str) else ""
        holding = [
            n for text, n in numbers.items() if len(quoted) >= _MIN_QUOTED_CHARS and quoted.rstrip(" .…") in text
        ]
        return numbers.get(quoted, holding[0] if len(holding) == 1 else part)

    return [number(part) for part in value] if isinstance(value, list) else number(value)


def _without_marks(text: str, passage: Passage) -> str:
    """A text without "[2]" behind what it took from a sentence; such brackets of the source itself stay."""
    marks = {mark for mark in _MARK.findall(text) if mark.strip() not in passage.text}
    return _MARK.sub(lambda found: "" if found[0] in marks else found[0], text)


def _without_lead(text: str) -> str:
    """A text without "According to the passage, " before or behind what it says."""
    rest = _TRAIL.sub("", _LEAD.sub("", text))
    return rest[:1].upper() + rest[1:] if rest != text and not text.startswith(rest) else rest


def _with_figures(passage: Passage, numbers: Iterable[int], question: str, answer: str) -> list[int]:
    """The numbers of sentences, with the first of those that hold figures of the answer which none of the named ones does."""
    named = list(numbers)
    known = {figure for n in named for figure in _FIGURE.findall(passage.sentences[n - 1].text)}
    for figure in dict.fromkeys(_FIGURE.findall(answer)):
        if figure in known or figure in _FIGURE.findall(question):
            continue
        for n, sentence in enumerate(passage.sentences, start=1):
            if figure in (stand := _FIGURE.findall(sentence.text)):
                named.append(n)
                known.update(stand)
                break
    return sorted(set(named))
