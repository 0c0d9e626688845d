"""Who has a say, and what goes for it: pure functions of answers and words."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sagecraft.benchmark.config import JUDGE_RULES, JudgingConfig
from sagecraft.benchmark.drafts import RULES, WRITTEN, Draft
from sagecraft.benchmark.guesses import Option
from sagecraft.benchmark.judging.answers import Answers, Said
from sagecraft.benchmark.judging.grading import Graded, messages, read_word
from sagecraft.benchmark.judging.verdicts import Bench, Judge, figures, has_vote, measured_on, seat, verdict
from sagecraft.corpus.documents import Document

COUNT = 40


def draft(number: int, written_by: str = RULES) -> Draft:
    options = tuple(Option(f"{number + step} km") for step in (0, 100, 200, 300))
    form = WRITTEN if written_by != RULES else "figure"
    document = Document(id=f"d{number}", text="", title="Roads")
    return Draft(
        document,
        form,
        f"How long is road {number}?",
        options,
        ((0, "A road."),),
        "",
        "p",
        "A road.",
        written_by=written_by,
    )


DRAFTS = [draft(number) for number in range(COUNT)]


def judge(
    name: str, with_passage: set[int], closed: Sequence[int] = (), alone: Sequence[int] = (), **kw: object
) -> Judge:
    """A judge that is right about these drafts; `bad` are those it grades as not one-right, `tied` as not alone."""

    def said(right: Sequence[int] | set[int]) -> dict[str, Said]:
        return {each.id: Said(each.key.text, n in right, (10, 2)) for n, each in enumerate(DRAFTS)}

    bad, tied = kw.get("bad"), kw.get("tied", ())
    words = {}
    if bad is not None:
        for n, each in enumerate(DRAFTS):
            right = tuple(option.text for option in each.options[: 2 if n in bad else 1])  # type: ignore[operator]
            words[each.id] = Graded(right, n not in bad, n not in tied, "so it is", (5, 5))  # type: ignore[operator]
    views = {"with_passage": said(with_passage), "closed_book": said(closed), "options_only": said(alone)}
    return Judge(Answers(name, name, "generate", views), words, str(kw.get("writes_as", "")))  # type: ignore[arg-type]


ALL = set(range(COUNT))


def reasons(bench: Bench, config: JudgingConfig | None = None) -> dict[int, str]:
    config = config or JudgingConfig()
    found = ((n, verdict(config, bench, each)) for n, each in enumerate(DRAFTS))
    return {n: reason[0] for n, reason in found if reason}


def seated(*judges: Judge, config: JudgingConfig | None = None) -> Bench:
    return seat(config or JudgingConfig(), judges, DRAFTS)


@pytest.mark.parametrize(("num_right", "votes"), [(10, False), (15, False), (17, True), (40, True)])
def test_a_vote_takes_more_than_chance(num_right: int, votes: bool) -> None:
    """Of 40, 16 are 40 % (26.3 to 55.4) and the first that are surely above 25 %."""
    answers = judge("j", set(range(num_right))).answers.views["with_passage"]
    assert has_vote(DRAFTS, answers) is votes


def test_what_no_judge_answers_with_the_passage_goes() -> None:
    bench = seated(judge("a", ALL - {1, 2, 3}), judge("b", ALL - {2, 3, 4}))
    assert reasons(bench) == {2: "unanswerable", 3: "unanswerable"}


def test_a_weak_judge_does_not_empty_the_benchmark() -> None:
    weak = judge("weak", set(range(25)))
    bench = seated(weak)
    assert (bench.voting, bench.answered) == ((weak,), 25 / 40)
    assert reasons(bench) == {}
    loose = JudgingConfig(min_answered=0.5)
    assert len(reasons(seated(weak, config=loose), loose)) == 15
    assert reasons(seated(judge("random", set(range(10)), closed=ALL, alone=ALL))) == {}


def test_easy_and_guessable_take_two_judges() -> None:
    one = judge("a", ALL, closed=[0, 1, 2], alone=[5, 6])
    assert reasons(seated(one)) == {}
    two = judge("b", ALL, closed=[1, 2, 3], alone=[6, 7])
    assert reasons(seated(one, two)) == {1: "too-easy", 2: "too-easy", 6: "guessable-by-models"}
    by_chance = judge("random", set(range(10)), closed=[], alone=[])
    assert reasons(seated(one, two, by_chance)) == reasons(seated(one, two)), (
        "a judge without a vote does not save them"
    )
    only = JudgingConfig(rules=("guessable-by-models",))
    assert reasons(seated(one, two, config=only), only) == {6: "guessable-by-models"}


def test_two_right_options_and_what_points_outside_go_with_the_reason() -> None:
    grader = judge("g", ALL, bad={3}, tied={4})
    bench = seated(grader)
    assert reasons(bench) == {3: "not-one-right", 4: "points-outside"}
    found = verdict(JudgingConfig(), bench, DRAFTS[3])
    assert found == ("not-one-right", "g: right are: 3 km; 103 km (so it is)")


def test_the_word_of_a_grader_that_objects_to_most_counts_for_nothing() -> None:
    objector = judge("o", ALL, bad=ALL, tied=ALL)
    assert reasons(seated(objector)) == {}
    assert figures(seated(objector), DRAFTS)[0]["grades_count"] == {"one_right": False, "stands_alone": False}


def test_graders_that_disagree_are_counted() -> None:
    lenient = [judge(name, ALL, bad=set[int]()) for name in "ab"]
    strict = judge("c", ALL, bad={7})
    assert reasons(seated(strict)) == {7: "not-one-right"}
    assert reasons(seated(strict, lenient[0])) == {7: "not-one-right"}
    assert reasons(seated(strict, *lenient)) == {}


def test_who_wrote_an_item_has_no_vote_on_it() -> None:
    own = draft(0, written_by="wise")
    teacher = judge("wise", ALL - {0}, writes_as="wise", bad={0})
    teacher.answers.views["with_passage"][own.id] = Said(None, False, (0, 0))
    bench = seat(JudgingConfig(), [teacher], DRAFTS)
    assert verdict(JudgingConfig(), bench, DRAFTS[0]) is not None
    assert verdict(JudgingConfig(), bench, own) is None


def test_judges_are_measured_on_what_documents_state() -> None:
    written = [draft(number, written_by="wise") for number in range(COUNT, 2 * COUNT)]
    assert measured_on([*DRAFTS, *written]) == DRAFTS
    assert measured_on([*DRAFTS[:5], *written]) == [*DRAFTS[:5], *written]


def test_figures_have_intervals() -> None:
    row = figures(seated(judge("a", set(range(30)), closed=range(10))), DRAFTS)[0]
    assert (row["has_vote"], row["with_passage"]["rate"], row["closed_book"]["right"]) == (True, 0.75, 10)
    low, high = row["with_passage"]["ci95"]
    assert low < 0.75 < high
    assert set(JudgingConfig().rules) == set(JUDGE_RULES)


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("A", ("A",)),
        (["b"], ("B",)),
        ("A, C", ("A", "C")),
        (["C. 5 km", "A"], ("A", "C")),
        ([], ()),
        ("none", ()),
        (["D", "D"], ("D",)),
    ],
)
def test_letters_are_read_as_models_write_them(said: object, right: tuple[str, ...]) -> None:
    word = read_word({"right": said, "stands_alone": "yes", "reason": " it \n is "})
    assert not isinstance(word, str)
    assert (word.right, word.stands_alone, word.reason) == (right, True, "it is")


def test_what_is_no_word_is_said() -> None:
    assert "none of the letters" in str(read_word({"right": ["E"], "stands_alone": True}))
    assert "stands_alone" in str(read_word({"right": ["A"]}))


def test_a_grader_sees_passage_and_options_and_two_examples() -> None:
    turns = messages("The bell weighs 5 tonnes.", "What does the bell weigh?", ["1 t", "2 t", "5 t", "9 t"])
    assert [turn["role"] for turn in turns] == ["system", *["user", "assistant"] * 2, "user"]
    assert turns[-1]["content"] == (
        "Passage: The bell weighs 5 tonnes.\n\nQuestion: What does the bell weigh?\nA. 1 t\nB. 2 t\nC. 5 t\nD. 9 t"
    )
