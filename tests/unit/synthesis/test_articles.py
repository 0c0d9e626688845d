"""What is asked of an article by name. Invented abstracts of no field."""

from __future__ import annotations

import re

import pytest

from sagecraft.corpus.documents import Document
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate
from sagecraft.synthesis.rules import abstracts, articles
from sagecraft.synthesis.rules.reported import article_of, tell

TITLE = "The ringing of cracked bells in winter air"
T = f"“{TITLE}”"
ABSTRACT = (
    "The pitch of cracked bells remains poorly understood. Old bronze is an alloy of copper and tin. "
    "In this paper, we present a survey of 40 cracked bells in old towers. "
    "Using a set of four microphones, we measure the decay of the lowest partial. "
    "We use a hammer of felt to excite the higher partials. "
    "To separate the two effects of cold and damp, we cool a small bell in a cellar. "
    "We find that the pitch of a cracked bell is lower by 3 per cent in frost. "
    "The lowest partial of a sound bell keeps its length in frost. "
    "Our results suggest that the width of cracks in bronze controls the loss. "
    "These results are of use to founders."
)


def reading(abstract: str = ABSTRACT, title: str = TITLE, year: int | None = 1931) -> Reading:
    return Reading(Document(id="bells", text=f"# {title}\n\n{abstract}", title=title, year=year), seed=0)


def asked(abstract: str = ABSTRACT, **more: str | None) -> list[Candidate]:
    read = reading(abstract, **more)  # type: ignore[arg-type]
    return [*articles.articles(read), *abstracts.abstracts(read)]


def by_rule(abstract: str = ABSTRACT) -> dict[str, list[Candidate]]:
    found: dict[str, list[Candidate]] = {}
    for candidate in asked(abstract):
        found.setdefault(candidate.rule, []).append(candidate)
    return found


@pytest.mark.parametrize(
    ("rule", "kind", "in_question", "answer"),
    [
        ("article-aim", "aim", "present", "The authors present a survey of 40 cracked bells in old towers."),
        ("article-finding", "finding", "the pitch of a cracked bell",
         "The authors find that the pitch of a cracked bell is lower by 3 per cent in frost."),
        ("article-method", "method", "measure the decay of the lowest partial",
         "Using a set of four microphones, the authors measure the decay of the lowest partial."),
        ("article-purpose", "purpose", "to excite the higher partials",
         "The authors use a hammer of felt to excite the higher partials."),
        ("article-implication", "finding", "the width of cracks in bronze",
         "The results suggest that the width of cracks in bronze controls the loss."),
        ("article-gap", "purpose", "", "The pitch of cracked bells remains poorly understood."),
        ("article-report", "finding", "the lowest partial of a sound bell",
         "The lowest partial of a sound bell keeps its length in frost."),
        ("article-background", "account", "old bronze", "Old bronze is an alloy of copper and tin."),
    ],
)  # fmt: skip
def test_what_is_asked(rule: str, kind: str, in_question: str, answer: str) -> None:
    made = by_rule().get(rule, [])
    found = [candidate for candidate in made if candidate.answer == answer]
    assert found, [(candidate.question, candidate.answer) for candidate in made]
    assert any(in_question.lower() in candidate.question.lower() for candidate in found)
    assert all(candidate.kind == kind and T in candidate.question for candidate in found)
    assert all(len(candidate.positions) == 1 and candidate.scope == "bells" for candidate in found)


def test_an_account_tells_what_was_done_found_and_follows() -> None:
    (account,) = by_rule()["article-account"]
    assert account.answer == (
        "The authors present a survey of 40 cracked bells in old towers. "
        "Using a set of four microphones, the authors measure the decay of the lowest partial. "
        "The authors find that the pitch of a cracked bell is lower by 3 per cent in frost. "
        "The results suggest that the width of cracks in bronze controls the loss."
    )
    assert len(account.positions) == 4


def test_a_rule_over_sentences_is_led_by_the_name() -> None:
    (made,) = by_rule(
        "We find that the hum of the bell is caused by slow beats. We discuss the towers of the old town."
    )["article-sentence"]
    assert made.kind == "cause"
    assert T in made.question
    assert made.question.endswith("what is the hum of the bell caused by?")


def test_two_sentences_that_answer_alike_answer_together_or_not_at_all() -> None:
    both = by_rule("We present a list of old bells. We also present a list of old towers in the town.")["article-aim"]
    assert [candidate.answer for candidate in both] == [
        "The authors present a list of old bells. They present a list of old towers in the town."
    ]
    # The second points back, so the first alone would be half an answer.
    assert "article-aim" not in by_rule("We present a list of old bells. For these, we present a list of old towers.")


def test_what_is_no_article_is_not_asked() -> None:
    assert asked(year=None) == []
    assert asked(title="Cracked bells") == []
    with_sections = f"{ABSTRACT}\n\n## Casting\n\n{ABSTRACT}"
    assert article_of(reading(with_sections)) is None
    assert (
        article_of(reading(f"## Abstract\n\n{ABSTRACT}\n\n## Casting\n\nWe cast bells of bronze in sand.")) is not None
    )


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("In this work, we study our sample of bells with our own hammer.",
         "The authors study their sample of bells with our own hammer."),
        ("However, our understanding of bells is poor in many towns.", "Our understanding of bells is poor in many towns."),
        ("This paper describes the casting of bells in sand.", "The article describes the casting of bells in sand."),
        ("We also find that bronze rings, and we measure how long bells ring.", "The authors find that bronze rings, and they measure how long bells ring."),
        ("Our results show that bells ring longer in frost.", "The results show that bells ring longer in frost."),
        ("Together, these findings show that bells ring longer.", "The findings show that bells ring longer."),
    ],
)  # fmt: skip
def test_told_in_the_third_person(sentence: str, told: str) -> None:
    assert tell(sentence) == told


@pytest.mark.parametrize(
    "sentence",
    [
        "We repeat this for the bells of another old town.",
        "It rings for more than an hour in every winter.",
        "We show the pitch of all the bells in Table 3 of the book.",
        "For the two towers, the pitch of the bells is lower.",
        "In contrast, the pitch of small bells is higher in frost.",
        "What is the pitch of a bell that rings in frost?",
        "The list is available at https://example.org for all bells.",
        "In both cases, the bells ring longer than an hour.",
        "We derive the size of that old bell and of all the others.",
        "We show that they can be rung by a single person.",
        "We find that it depends on the width of the rim of bells.",
    ],
)
def test_what_points_out_of_itself_is_not_told(sentence: str) -> None:
    assert tell(sentence) is None


def test_claims_are_right_or_wrong_in_one_place_and_asked_alike() -> None:
    from sagecraft.synthesis.rules.claims import claims

    text = (
        "We present a survey of 40 cracked bells in the towers of old towns. "
        "We measure a mean length of 310 metres for all ropes of the old towers. "
        "The pitch of old bells is higher than the pitch of new bells in frost."
    )
    made = [candidate for seed in range(40) for candidate in claims(Reading(reading(text).document, seed))]
    right = [candidate for candidate in made if candidate.rule == "article-claim-right"]
    wrong = [candidate for candidate in made if candidate.rule == "article-claim-wrong"]
    assert len(right) == len(wrong) == 60
    told = {sentence.text for sentence in article_of(reading(text)).told}  # type: ignore[union-attr]
    for candidate in right:
        assert any(f"“{sentence}”" in candidate.question and candidate.answer.endswith(sentence) for sentence in told)
    for candidate in wrong:
        assert not any(f"“{sentence}”" in candidate.question for sentence in told)
        assert any(candidate.answer.endswith(sentence) for sentence in told)
    assert any("is lower than" in candidate.question for candidate in wrong)

    def asks(candidates: list[Candidate]) -> set[str]:
        return {re.sub("“[^”]*”", "", candidate.question) for candidate in candidates}

    assert asks(right) == asks(wrong)
    for candidate in made:
        is_right = candidate.rule == "article-claim-right"
        bare = re.sub("“[^”]*”", "", candidate.question)
        first = "" if "?" not in bare else ("Yes: " if is_right != ("wrong" in bare) else "No: ")
        assert candidate.answer.startswith(first + "t" if first else "T"), candidate


def test_numbers_in_names_are_no_claims() -> None:
    from sagecraft.synthesis.rules.claims import claims

    named = (
        "We argue in favor of bell #3 based on the tones of old towers. We ring the old bells of 14 Her b in the north."
    )
    assert list(claims(reading(named))) == []


@pytest.mark.parametrize(
    ("clause", "subject"),
    [
        ("The pitch of old bells is higher in frost", "the pitch of old bells"),
        ("In cold winters, bronze bells are louder than in summer", "bronze bells"),
        ("Bronze bells (BB) are wound once a year", "bronze bells"),
        ("Measuring the pitch of bells is an art", "measuring the pitch of bells"),
        ("Bells with fast transport mechanisms are loud", "bells with fast transport mechanisms"),
        ("The bell signals have a low pitch", None),
        ("It rings for more than an hour", None),
        ("The results are good in all of the towers", None),
        ("Additional bells are needed in the towers of the town", None),
        ("Bells that ring are loud", None),
        ("A number of bells are louder in frost than in rain", None),
        ("A variety of old bells can crack the frame", None),
        ("Old bell population studies of towers have to include the frost", "old bell population studies of towers"),
        ("Combining bells, ropes and old clappers confirms the age of towers", None),
        ("Old tests with Oak and Elm show bells drop from the frames", None),
        ("Among old bells, the ropes of hemp have knots", "the ropes of hemp"),
        ("The bronze of bells consists of copper and tin", "the bronze of bells"),
    ],
)
def test_subjects(clause: str, subject: str | None) -> None:
    read = reading(f"{ABSTRACT} bells ring and bells hang. {clause}.")
    article = article_of(read)
    assert article is not None
    asker = articles.Asker(read, article)
    assert asker.subject(clause) == subject


def test_a_thought_recalls_what_is_told_and_not_what_the_authors_wrote() -> None:
    from sagecraft.synthesis.reasoning import thought

    for candidate in asked():
        text = thought(candidate, "In this paper, we find bells.", seed=0, name="x")
        assert "we find" not in text
        assert candidate.answer in text


@pytest.mark.parametrize(
    ("sentence", "is_told"),
    [
        ("In our first paper, we measured the pitch of old bells by ear.", False),
        ("In our previous work, we measured the pitch of old bells by ear.", False),
        ("We extend our earlier study of old bells to the towers of the north.", False),
        ("Following our companion paper, we measure the pitch of old bells.", False),
        ("In our work, we measured the pitch of old bells by ear.", True),
        ("In this short paper, we measured the pitch of old bells by ear.", True),
        ("Our first results show that the pitch of old bells falls in frost.", True),
    ],
)
def test_earlier_work_is_not_told_as_that_of_the_article(sentence: str, is_told: bool) -> None:
    assert (tell(sentence) is not None) == is_told


def test_what_the_authors_only_suggest_is_no_plain_fact() -> None:
    claim = "bronze bells are dull in winter because cold air absorbs sound"
    for verb, plain in (("suggest", False), ("find", True)):
        made = [
            one
            for one in asked(f"We study old bells. The bronze bells ring. We {verb} that {claim}.")
            if one.rule == "article-sentence"
        ]
        assert made
        assert all(one.answer.startswith("The authors suggest that ") != plain for one in made)


def test_a_verb_that_needs_more_than_its_object_is_not_asked_about() -> None:
    for verb, is_asked in (("interpret", False), ("classify", False), ("describe", True)):
        made = asked(f"We {verb} the hum of old bells as the beat of two partials.")
        assert any(f"{verb}?" in one.question or f"{verb}." in one.question for one in made) == is_asked


def test_one_thing_of_many_is_asked_about_only_if_the_title_names_it() -> None:
    sentence = "We study old bells. The host star rings the bells of its towers in winter. "
    for title, is_asked in ((TITLE, False), ("The ringing of a star in winter air", True)):
        made = asked(sentence, title=title)
        assert any("the host star" in one.question for one in made) == is_asked


def test_using_something_as_a_way_to_doing_is_no_purpose() -> None:
    made = asked("We employ a new approach to casting the bells of the towers.")
    assert not any("to casting" in one.question for one in made)
    made = asked("We employ a new approach to cast the bells of the towers.")
    assert any("to cast" in one.question for one in made)


@pytest.mark.parametrize(
    ("sentence", "as_told"),
    [
        ("Founders should therefore measure the pitch of old bells.", "Founders should measure the pitch of old bells."),
        ("Old bells can thus ring longer in cold towers.", "Old bells can ring longer in cold towers."),
        ("Although the winter is short, it enables tests of old bells.", None),
        ("Although the winter is short, it is not known how old bells crack.",
         "Although the winter is short, it is not known how old bells crack."),
        ("Although old bells are heavy, they ring longer in frost.", "Although old bells are heavy, they ring longer in frost."),
    ],
)  # fmt: skip
def test_what_leans_within_a_sentence_goes(sentence: str, as_told: str | None) -> None:
    assert tell(sentence) == as_told


def test_a_way_through_a_thing_is_no_means() -> None:
    for how, is_asked in (("through the old tower", False), ("through a set of microphones", True)):
        made = asked(f"We measure the decay of the lowest partial {how} in winter.")
        assert any("the decay of the lowest partial" in one.question for one in made) == is_asked
