"""What a rule makes of a sentence, and the words it needs to know from the document around it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sagecraft.literature.names import Names
from sagecraft.literature.reading import Reading

#: Rule of candidates that a model wrote.
TEACHER = "teacher"


@dataclass(frozen=True)
class Candidate:
    """A question with its answer.

    Attributes:
        kind: the kind of question, one of `synth.KINDS`.
        question: ends with a question mark.
        focus: what it asks for, as a noun phrase for the thought ("the mass of X", "why X rises").
        answer: complete sentences, quoted or rewritten from the grounded sentence.
        key: the part of the sentence that decides the answer (a value, a date, a cause), or None.
        rule: name of the rule that made it.
        positions: running numbers of the sentences it is grounded in (`Sentence.position`); none of a question about the record.
        scope: questions of one scope are told from each other; `""` of those that name nothing but their subject, else
            the document's id.
        ground: what it is grounded in as it stands in the document, where that is no sentence (rows of a table, entries
            of a glossary).
        thought: the way to the answer where it has steps of its own (a worked example); None leaves it to `reasoning`.
        shows_steps: with the switch off, the thought stands before the answer: a result out of nowhere teaches guessing.
        recall: what a thought recalls where that is not the sentences as they stand ("we find" of an article told as "the
            authors find").
        drop: why the rule itself would not ask it ("not-alone"): it then stands among what was dropped, with this reason.
    """

    kind: str
    question: str
    focus: str
    answer: str
    key: str | None = None
    rule: str = ""
    positions: tuple[int, ...] = ()
    scope: str = ""
    ground: tuple[str, ...] = ()
    thought: str | None = None
    shows_steps: bool = False
    recall: str | None = None
    drop: str | None = None


#: Makes finished questions, which stand alone, of one document.
Rule = Callable[[Reading], Iterator[Candidate]]


@dataclass(frozen=True)
class Clause:
    """A sentence (or the part of one before a semicolon) that stands alone, with its formulas masked.

    Attributes:
        text: without its full stop.
        formulas: the masked formulas.
        names: tells names from words that only begin a sentence.
    """

    text: str
    formulas: list[str]
    names: Names

    @property
    def statement(self) -> str:
        """The clause as a sentence."""
        return self.text[0].upper() + self.text[1:] + "."


def quoted(text: str) -> str:
    """A title or heading inside a sentence: between quotation marks, its own ones turned into single ones."""
    text = re.sub(r"\s+", " ", text).strip().rstrip(".")
    inner = re.sub('“|``|(?<![^\\s(\\[–—-])"', "‘", text)
    inner = re.sub("”|''|\"", "’", inner)
    return f"“{inner}”" if inner else ""


def judged(question: str, is_right: bool, answer: str) -> str:
    """The answer to a claim with the “yes” or “no” that its question asks for: of a right one "No: …" if that asks for what is wrong.

    Args:
        question: a wording with `{slots}`; one that asks nothing ("Check …") gets neither.
        is_right: whether the claim is.
        answer: begins with a word that is no name.
    """
    asked = re.sub("“[^”]*”", "", question)
    if "?" not in asked:
        return answer
    is_yes = is_right != ("wrong" in asked)
    return f"{'Yes' if is_yes else 'No'}: {answer[0].lower()}{answer[1:]}"


def fill(wording: str, **slots: str) -> str:
    """A wording with its `{slots}` filled in; braces within the values (formulas) are text."""
    return re.sub(r"\{(\w+)\}", lambda slot: slots[slot.group(1)], wording)
