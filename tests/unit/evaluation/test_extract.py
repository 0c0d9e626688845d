from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagecraft.evaluation.extract import STAGES, extract

OPTIONS = ("ice", "fire", "about 37 seconds", "steam")

#: reply, letter, stage
REPLIES = [
    # JSON as asked for
    ('{"answer": "B", "explanation": "hot"}', "B", "json"),
    ('  {"explanation": "the answer is A", "answer": "B"}\n', "B", "json"),
    ('{"answer": "B. fire"}', "B", "json"),
    ('{"answer": "(C)"}', "C", "json"),
    ('{"answer": "About 37 Seconds"}', "C", "json"),
    ('{"answer": "the fire."}', "B", "json"),
    ('{"answer": ["D"]}', "D", "json"),
    ('[{"answer": "D"}]', "D", "json"),
    ('{"result": {"answer": "D"}}', "D", "json"),
    ('{"answer": {"letter": "D", "text": "steam"}}', "D", "json"),
    ('{"answer": "Option D", "distractors": [{"answer": "A"}]}', "D", "json"),
    ('{"final_answer": "D"}', "D", "json"),
    ('{"Answer": "The answer is B"}', "B", "json"),
    ('{"answer": "b) fire"}', "B", "json"),
    ('{"answer": "**B**"}', "B", "json"),
    ('{"answer": "\uff22"}', "B", "json"),
    ('{"answer": "B because fire burns"}', "B", "json"),
    # JSON that names no one option
    ('{"answer": "A star"}', None, "none"),
    ('{"answer": 1}', None, "none"),
    ('{"answer": "E"}', None, "none"),
    ('{"answer": null, "explanation": "fire"}', None, "none"),
    ('{"answer": "", "explanation": "B"}', None, "none"),
    ('{"answer": ["A", "B"]}', None, "none"),
    ('{"answer": "A, B"}', None, "none"),
    ('{"answer": "A or B"}', None, "none"),
    ('{"answer": "both A and B"}', None, "none"),
    ('{"answer": "A/D"}', None, "none"),
    ('{"answer": "neither A nor B"}', None, "none"),
    ('{"answer": "not B"}', None, "none"),
    ('{"answer": "B. ice"}', None, "none"),
    ('{"answer": "B (steam)"}', None, "none"),
    ('{"answer": "fire and ice"}', None, "none"),
    ('{"answer": "A", "answer": "B"}', None, "none"),
    ('{"answer": "<one letter of A, B, C, D>", "explanation": "<one or two sentences>"}', None, "none"),
    ('{"explanation": "fire and ice are both possible"}', None, "none"),
    ('[{"answer": "A"}, {"answer": "B"}]', None, "none"),
    ('[{"option": "A", "right": false}, {"option": "B", "right": true}]', None, "none"),
    ('{"choice": "B"}', "B", "json"),
    # JSON amid text
    ('Of {"option": "A"} and {"option": "B"} one is right.', None, "none"),
    ('```json\n{"Answer": "b"}\n```', "B", "json_in_text"),
    ('Sure! Here it is:\n```\n{"answer": "B"}\n```\nHope it helps.', "B", "json_in_text"),
    ('first {"answer": "A"} no, {"answer": "D"}', "D", "json_in_text"),
    ('The answer is A.\n{"answer": "B"}', "B", "json_in_text"),
    (r'With \frac{1}{2} of it {left} we get {"answer": "C"}', "C", "json_in_text"),
    ('{"answer": "B"} in the form {"answer": "<one letter of A, B, C, D>"}', "B", "json_in_text"),
    ('{"answer": "A"}\nWait, the correct answer is D.', "D", "stated"),
    ('{"answer": "E"} but the answer is B', "B", "stated"),
    ('{"answer": "B"} {"answer": "E"}', None, "none"),
    ('{"answer": "B"}\n\nQuestion: Which is cold?\n{"answer": "A"}', "B", "json"),
    # broken JSON
    ("{'answer': 'B'}", "B", "json_repaired"),
    ('{"answer": "B",}', "B", "json_repaired"),
    ('{answer: "B", explanation: "it\'s hot"}', "B", "json_repaired"),
    ("{answer: B}", "B", "json_repaired"),
    ('{"answer": "B", "explanation": "it is cut off he', "B", "json_repaired"),
    ('{"answer": "B", "explanation": "two\nlines"}', "B", "json_repaired"),
    ('{"answer": "B" "explanation": "no comma"}', "B", "json_repaired"),
    ('{"answer": "B", "explanation": "it says "hot" here"}', "B", "json_repaired"),
    ("{\u201canswer\u201d: \u201cB\u201d, \u201cexplanation\u201d: \u201chot\u201d}", "B", "json_repaired"),
    ('{"explanation": "not {\'answer\': \'A\'}, no", answer: "B"}', "B", "json_repaired"),
    ('"answer": "B", "explanation": "no braces"', "B", "json_repaired"),
    ("{'answer': 'A or B', 'explanation': 'fire'}", None, "none"),
    ("{'answer': ['A', 'B']}", None, "none"),
    ("{'answer': 'E'}", None, "none"),
    ('{"answer": "B}', "B", "json_repaired"),
    # statements
    ("The answer is B.", "B", "stated"),
    ("**Answer:** (C)", "C", "stated"),
    ("**Answer: B**", "B", "stated"),
    ("The answer is: **B**", "B", "stated"),
    ("## Answer\nB", "B", "stated"),
    ("Final answer: B. fire", "B", "stated"),
    (r"So we get $\boxed{B}$.", "B", "stated"),
    (r"\boxed{\text{(D)}}", "D", "stated"),
    (r"Hence \boxed{fire}", "B", "stated"),
    ("It burns.\n#### D", "D", "stated"),
    ("<answer>B</answer>", "B", "stated"),
    ('The answer is "fire"', "B", "stated"),
    ("The answer to the question is about 37 seconds.", "C", "stated"),
    ("The answer is A? No, the answer is D because it is hot", "D", "stated"),
    ("The answer is A. Wait. It melts, so the answer is D.", "D", "stated"),
    ("The correct answer is option A because ice melts", "A", "stated"),
    ("Answer: A\n\nExplanation: ice melts.", "A", "stated"),
    ("**Answer:** A\nIce it is", "A", "stated"),
    ("The answer is A ice, which melts", "A", "stated"),
    ("The correct option is B.", "B", "stated"),
    ("Ice (A) is cold and steam (D) is wet. I would choose B.", "B", "stated"),
    ("A is too cold. B is the correct answer.", "B", "stated"),
    ("Option B is correct, since A is not the answer.", "B", "stated"),
    ("If it burns, the answer is B.", "B", "stated"),
    ("That is why the answer is B", "B", "stated"),
    ("The answer is B, A is too cold.", "B", "stated"),
    ("Option B", "B", "stated"),
    ("I think it is (B) since it burns", "B", "stated"),
    ("The right choice is \u201cB\u201d", "B", "stated"),
    ("A) ice - cold\nB) fire - hot\nC) about 37 seconds - a time\nD) steam - wet\nSo B.", "B", "stated"),
    ("A. ice\nB. fire\nC. about 37 seconds\nD. steam\n\n**Correct Answer:** B) fire", "B", "stated"),
    ("Ice melts and steam is wet, therefore (B).", "B", "stated"),
    ("It's B!", "B", "stated"),
    ("The answer should therefore be B", "B", "stated"),
    ("The correct answer is therefore B.", "B", "stated"),
    ("Correct: B", "B", "stated"),
    ("My choice is B", "B", "stated"),
    ("Answer \u2014 B", "B", "stated"),
    ("**Final Answer**\n\n**B. fire**\n\nA) ice is cold, D) steam is wet", "B", "stated"),
    ('{"answer": "B"}\nNote that (A) is cold.', "B", "json_in_text"),
    ('{"name": "reply", "arguments": {"answer": "B"}}', "B", "json"),
    ('{{"answer": "B"}}', "B", "json_in_text"),
    # statements that name no one option
    ("I doubt it is B.", None, "none"),
    ("It is A, B or C.", None, "none"),
    ("It is not B.", None, "none"),
    ("So ice, which is cold, is out and fire is not", None, "none"),
    ("The answer is A or B.", None, "none"),
    ("Answer: A and D", None, "none"),
    ("The answer is (A) ice, (B) fire", None, "none"),
    ("The answer is (A) ice and B fire", None, "none"),
    ('{"answer": "B" or "C"}', None, "none"),
    ('{"answer": "B"/"C", "explanation": "hot"}', None, "none"),
    ("Answer: A, B, C, D", None, "none"),
    ("A and B are correct. Both A and B is the answer.", None, "none"),
    ("The answer is A, no wait, the answer is B", None, "none"),
    ("The answer is E.", None, "none"),
    ("The answer is B. But then the answer is A or C.", None, "none"),
    ("Answer: B. ice", None, "none"),
    ("The answer is fire or ice", None, "none"),
    ("The answer is A star of class G", None, "none"),
    ("The answer is T cells", None, "none"),
    ("the answer is a matter of taste", None, "none"),
    ("Is the answer B?", None, "none"),
    ("If the answer is B then it burns", None, "none"),
    ("If the answer is B, it burns.", None, "none"),
    ("The answer is B? I am at a loss.", None, "none"),
    ("I do not think the answer is B.", None, "none"),
    ("The answer is not B.", None, "none"),
    ("B is not the correct answer.", None, "none"),
    ("B is incorrect.", None, "none"),
    ("The wrong answer is B.", None, "none"),
    ("Option A is colder than option B", None, "none"),
    ("It is not option B", None, "none"),
    # an option's text
    ("The answer is ice tea", "A", "option_text"),  # looser than a statement, and counted as such
    ("It must have been fire.", "B", "option_text"),
    ("FIRE", "B", "option_text"),
    ("Waiting takes about 37 seconds in all", "C", "option_text"),
    ("It is not fire", None, "none"),
    ("fire rather than water", None, "none"),
    ("Is it fire?", None, "none"),
    ("fire or ice", None, "none"),
    ("firefly season", None, "none"),
    ("so many words that prove nothing " * 12 + "and fire too", None, "none"),
    # a letter
    ("B", "B", "letter"),
    ("**C**", "C", "letter"),
    ("(d)", "D", "letter"),
    ("B. fire\nsince it burns", "B", "letter"),
    ("Let me see.\nIt burns.\nC)", "C", "letter"),
    ("B\n\nQuestion: Which is cold?\nThe answer is A", "B", "letter"),
    ("A. ice\nB. fire\nC. about 37 seconds\nD. steam", None, "none"),
    ("A. ice\nB. fire", None, "none"),
    ("A\nB\nC\nD", None, "none"),
    ("A\nNo, it has to burn\nB", "B", "letter"),
    ("B. ice", None, "none"),
    ("a", None, "none"),
    ("E", None, "none"),
    # nothing
    ("I do not know", None, "none"),
    ("", None, "none"),
    ("\u0412", None, "none"),  # a Cyrillic letter that looks like B
]  # fmt: skip


@pytest.mark.parametrize(("text", "letter", "stage"), REPLIES)
def test_replies(text: str, letter: str | None, stage: str) -> None:
    found = extract(text, OPTIONS)
    assert (found.letter, found.stage) == (letter, stage)


def test_every_stage_is_met() -> None:
    assert {stage for _, _, stage in REPLIES} == set(STAGES)


@pytest.mark.parametrize(
    ("text", "options", "letter"),
    [
        ('{"answer": 4}', ("3", "4", "5"), "B"),
        ('{"answer": true}', ("True", "False"), "A"),
        ("The answer is 3.5", ("3", "5", "35", "3.5"), "D"),
        ("The answer is 3.5", ("3", "4"), None),
        ("The answer is -3", ("3", "4"), None),
        ("There are 3 of them high in the sky above us all", ("3", "4"), None),
        ("13", ("3", "13"), "B"),
        ("There are 3 reasons why I would rather not say anything at all", ("3", "4"), None),
        ("The answer is B cells", ("T cells", "NK cells", "B cells"), "C"),
        ("B cells", ("T cells", "B cells of the blood"), None),
        ("red giant star", ("giant star", "red giant star"), "B"),
        ("The answer is planet", ("a planet", "a moon"), "A"),
        ('{"answer": "same"}', ("same", "same", "other"), None),
        ('{"answer": "B"}', ("B", "A"), "B"),  # a letter was asked for
        ("The answer is B", ("B", "A"), None),
        ("The answer is no.", ("Yes", "No"), "B"),
        ("The answer is both A and B.", ("ice", "fire", "steam", "both A and B"), "D"),
        ("Answer: A and B", ("ice", "fire", "steam", "A and B"), "D"),
        ("D. Both A and B", ("ice", "fire", "steam", "Both A and B"), "D"),
        ("The answer is all of the above.", ("ice", "fire", "All of the above"), "C"),
        ("None of the above", ("ice", "fire", "None of the above"), "C"),
        ("The answer is A fire", ("ice", "fire"), None),
        ("The answer is ice which melts", ("ice", "fire"), "A"),
        ("The answer is 5", ("4", "5"), "B"),
        ("The answer is 5 kg", ("4", "5"), "B"),
        ("The answer is a fire", ("ice", "fire"), "B"),
        ("A planet", ("a star", "a planet"), "B"),
        ("A. release of oxygen", ("release of oxygen", "oxygen"), "A"),
        ("The answer is (J)", tuple("klmnopqrst"), "J"),
        ("The answer is (C)", ("x", "y"), None),
        ("The answer is I think B", tuple("klmnopqrst"), None),
        ("The answer is H2O", ("H2O", "CO2"), "A"),
        ("The answer is CO2 (carbon dioxide)", ("H2O", "CO2"), "B"),
        ("The answer is C++", ("x", "y", "z"), None),
        ("x" * 400, ("x" * 400, "y"), None),
    ],
)  # fmt: skip
def test_options_that_look_like_something_else(text: str, options: tuple[str, ...], letter: str | None) -> None:
    assert extract(text, options).letter == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("First I look at\nA", None),
        ("The answer is B", None),  # or Boron
        ('{"answer": "B', None),
        ("{answer: B", None),
        ("It may be fire", None),
        ('{"answer": "B", "expl', "B"),
        ("The answer is B, since", "B"),
    ],
)
def test_what_reaches_the_end_of_a_cut_reply_is_no_answer(text: str, letter: str | None) -> None:
    assert extract(text, OPTIONS, cut=True).letter == letter


HOSTILE = [
    "[" * 1_000_000,
    '{"a":' * 200_000,
    "{" * 1_000_000,
    "{a:" * 330_000,
    "{'a':'" * 160_000,
    '{"answer":"' + "x" * 1_000_000,
    '{"answer": [' * 80_000,
    "answer " + " " * 1_000_000,
    "answer: " * 130_000,
    "answer to " * 100_000,
    '"answer"' * 130_000,
    '"answer":"' * 100_000,
    '{"answer": ' + "9" * 1_000_000 + "}",
    "\x00\u202e<script>alert(1)</script>" * 30_000,
    "(" * 1_000_000,
    "answer is " + "(*_" * 300_000,
    "answer is " * 100_000,
    "\\boxed{" * 140_000,
    "\n" * 1_000_000,
    "A is the " * 110_000,
    "the " * 250_000,
    "Option " * 140_000,
    "\ufdfa" * 300_000,
    "ice fire " * 110_000,
    "A.\nB.\n" * 150_000,
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_text_takes_bounded_time(number: int) -> None:
    start = time.process_time()
    assert extract(HOSTILE[number], OPTIONS).letter is None
    assert time.process_time() - start < 2.0


@given(st.text(max_size=400), st.booleans())
def test_any_text_gives_a_letter_of_the_options_or_none(text: str, cut: bool) -> None:
    found = extract(text, OPTIONS, cut)
    assert found.letter in (None, "A", "B", "C", "D")
    assert (found.letter is None) == (found.stage == "none")


PIECES = st.lists(
    st.sampled_from(
        [
            "{",
            "}",
            '"',
            "'",
            ":",
            ",",
            "answer",
            "A",
            "B",
            " ",
            "\n",
            "is",
            "fire",
            "ice",
            "[",
            "]",
            "\\",
            "Option",
            "not",
            ".",
        ]
    ),
    max_size=24,
)


@given(PIECES, st.booleans())
def test_any_broken_reply_is_read_or_not(pieces: list[str], cut: bool) -> None:
    found = extract("".join(pieces), OPTIONS, cut)
    assert (found.letter is None) == (found.stage == "none")


@pytest.mark.parametrize(
    "form",
    ["Answer: {}\n\nExplanation: so it is", "The answer is {}\nIt is hot", "answer: {} since", '{{"answer": "{}"}}', "({})"],
)  # fmt: skip
def test_no_letter_is_harder_to_read_than_another(form: str) -> None:
    assert [extract(form.format(letter), OPTIONS).letter for letter in "ABCD"] == list("ABCD")
