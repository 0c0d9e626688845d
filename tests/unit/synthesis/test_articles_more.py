"""What is asked of an article's causes, comparisons, figures and outlook. Invented abstracts of no field."""

from __future__ import annotations

import pytest

from sagecraft.corpus.documents import Document
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate
from sagecraft.synthesis.rules import abstracts, articles, compared, explained, grounds, measured, outlook
from sagecraft.synthesis.rules.reported import article_of

TITLE = "The ringing of cracked bells in winter air"
T = f"“{TITLE}”"
OPENING = (
    "We study the bells of old towers in frost. The copper bells ring, the bronze bells hang, and frost cools them."
)


def made(sentences: str, title: str = TITLE, opening: str = OPENING) -> list[Candidate]:
    """All that is asked of an abstract that opens with what its authors study."""
    text = f"# {title}\n\n{opening} {sentences}"
    reading = Reading(Document(id="bells", text=text, title=title, year=1931), seed=0)
    modules = (explained, grounds, compared, measured, outlook)
    return [candidate for module in modules for rule in module.RULES.values() for candidate in rule(reading)]


@pytest.mark.parametrize(
    ("rule", "kind", "sentence", "in_question"),
    [
        ("article-cause", "cause", "Cracked bells are dull in winter because of the cold air.", "cracked bells are dull in winter"),
        ("article-cause", "cause", "We find that bronze bells ring longer due to the lack of wind.", "bronze bells ring longer"),
        ("article-cause", "cause", "Because of the heavy frost, copper bells are silent in January.", "copper bells are silent in January"),
        ("article-origin", "cause", "The hum of bronze bells is caused by slow beats of the rim.", "the hum of bronze bells"),
        ("article-origin", "cause", "The rattle of copper bells results from loose clappers in the wind.", "the rattle of copper bells"),
        ("article-origin", "cause", "The pitch of bronze bells is mainly governed by the width of the rim.", "the pitch of bronze bells"),
        ("article-consequence", "consequence", "Bronze bells shrink in frost, leading to a higher pitch of the strike.", "bronze bells shrink in frost"),
        ("article-consequence", "consequence", "Copper bells are cast in sand, which allows founders to reuse old moulds.", "copper bells are cast in sand"),
        ("article-consequence", "consequence", "When frost cools copper rims, bronze bells ring at a higher pitch.", "frost cools copper rims"),
        ("article-inference", "derivation", "Bronze bells ring longer in frost, suggesting that cold air absorbs less sound.", "bronze bells ring longer in frost"),
        ("article-inference", "derivation", "We find that copper bells are silent in rain, indicating a loss of tension.", "copper bells are silent in rain"),
        ("article-inference", "derivation", "Old bells show cracks in winter, which implies that frost widens small flaws.", "old bells show cracks in winter"),
        ("article-effect", "consequence", "The width of bronze rims leads to cracks in the rims of old bells.", "the width of bronze rims"),
        ("article-effect", "consequence", "The weight of copper bells reduces the length of the ringing.", "the weight of copper bells"),
        ("article-effect", "consequence", "Bronze bells allow founders to hear the lowest partial.", "bronze bells"),
        ("article-what-if", "what-if", "If frost lasts for a week, bronze bells crack at the rim.", "frost lasts for a week"),
        ("article-what-if", "what-if", "Copper bells stay silent unless strong wind moves bronze bells.", "strong wind moves bronze bells"),
        ("article-what-if", "what-if", "We find that old bells ring true if their rims are made of wood. The old bells of towers ring if copper rims are made of wood.", "copper rims are made of wood"),
        ("article-change", "what-if", "The pitch of bronze bells increases with the width of their rims, and with the width of copper rims. The pitch of copper bells increases with the width of copper rims.", "the width of copper rims increases"),
        ("article-change", "what-if", "The loudness of copper bells decreases with increasing humidity.", "humidity increases"),
        ("article-change", "what-if", "We find that the decay of bronze bells grows with lower pressure.", "pressure is lower"),
        ("article-dependence", "relation", "The loudness of bronze bells depends on the wood of the frame and on who rings.", "the loudness of bronze bells"),
        ("article-dependence", "relation", "The decay of copper bells correlates strongly with what the founder put in.", "the decay of copper bells"),
        ("article-dependence", "relation", "Copper cracks are linked to how often the bell is rung.", "copper cracks"),
        ("article-basis", "derivation", "Using forty old microphones, we find that bronze bells ring longer in frost.", "that bronze bells ring longer in frost"),
        ("article-basis", "derivation", "By striking each rim twice, we show that copper bells have two hums.", "that copper bells have two hums"),
        ("article-basis", "derivation", "Based on old tower books, we conclude that frost reduces bronze bells to dust.", "that frost reduces bronze bells to dust"),
        ("article-comparison", "comparison", "Bronze bells are heavier than copper bells of old towers.", "copper bells"),
        ("article-comparison", "comparison", "The hum of bronze bells is lower than that of copper bells.", "the hum of copper bells"),
        ("article-comparison", "comparison", "The decay of bronze bells is similar to the decay of glass.", "the decay of glass"),
        ("article-agreement", "comparison", "The pitch of bronze bells agrees well with the theory of Sabine.", "the pitch of bronze bells"),
        ("article-agreement", "comparison", "The decay of copper bells is in tension with old tables.", "the decay of copper bells"),
        ("article-agreement", "comparison", "Bronze bells have a deep hum, consistent with the tables of old founders.", "bronze bells have a deep hum"),
        ("article-contrast", "comparison", "Bronze bells ring for a minute, whereas copper bells have no hum at all.", "copper bells"),
        ("article-contrast", "comparison", "While bronze bells have a deep hum, copper bells have a sharp strike.", "bronze bells"),
        ("article-contrast", "comparison", "Old bells are cast in sand, while new bells are cast in steel.", "new bells"),
        ("article-concession", "comparison", "Although bronze bells are heavy, they move in a light wind.", "bronze bells are heavy"),
        ("article-concession", "comparison", "Copper bells are cheap to cast, but they crack in heavy frost.", "copper bells are cheap to cast"),
        ("article-concession", "comparison", "Bronze bells ring for a minute, though few towers are built for them.", "bronze bells ring for a minute"),
        ("article-value", "number", "The mean weight of bronze bells is 340 kg in the towers.", "the mean weight of bronze bells"),
        ("article-value", "number", "Bronze bells have a mean pitch of 220 Hz in dry air.", "the pitch of bronze bells"),
        ("article-value", "number", "We measure a decay time of 12 s for the rims of bronze.", "decay time"),
        ("article-sample", "number", "We strike and record the rims. We analyze 31 bronze bells from four old towns.", "bronze bells"),
        ("article-sample", "number", "We present a sample of 159 copper rims with deep cracks.", "copper rims"),
        ("article-sample", "number", "We use a set of 12 felt hammers to strike the rims.", "felt hammers"),
        ("article-formula", "equation", "The bronze rims follow a simple scaling relation $f \\propto w / d^2$ in frost.", "scaling relation"),
        ("article-formula", "equation", "We derive that bronze rims ring as $f = w v / d$ in dry air.", ""),
        ("article-formula", "equation", "The hum of a bell is set by $h \\equiv f_1 / f_2$ in all towers.", ""),
        ("article-date", "event", "We use recordings and data taken in 1927 by the guild of ringers.", "data"),
        ("article-date", "event", "The great bell of Zell was recast in 1911 from molten coins.", ""),
        ("article-date", "event", "The ringers of Zell have kept a book of bells since March 1844.", ""),
        ("article-place", "place", "The bell of Zell is located on the northern tower of the abbey.", "the bell of Zell"),
        ("article-place", "place", "The foundry of Zell, located near the old river, casts bells of bronze.", "the foundry of Zell"),
        ("article-place", "place", "Bronze bells are mostly situated in the upper rooms of old towers.", "bronze bells"),
        ("article-outlook", "consequence", "Future recordings by the guild will show whether copper bells crack.", ""),
        ("article-outlook", "consequence", "Further observations of bronze bells are needed in the north.", ""),
        ("article-outlook", "consequence", "The tables will help founders to choose good bronze.", ""),
        ("article-first", "finding", "We record the hum of cracked bells for the first time.", ""),
        ("article-first", "finding", "We present the first survey of bronze rims in frost.", ""),
        ("article-first", "finding", "Bronze bells are shown for the first time to have three hums.", ""),
        ("article-material", "method", "We use recordings and data from the Zell archive of ringers.", ""),
        ("article-material", "method", "Using Zell tower data, we measure the hum of bronze bells.", ""),
        ("article-material", "method", "We analyze samples of the Abbey of Zell in the cold.", ""),
        ("article-use", "consequence", "Our results highlight the role of frost in the care of old bells.", ""),
        ("article-use", "consequence", "This work provides a basis for the repair of bronze bells.", ""),
        ("article-use", "consequence", "These findings open a way to tune bells in winter.", ""),
        ("article-goal", "purpose", "The aim of this work is to tell bronze bells from copper bells.", ""),
        ("article-goal", "purpose", "Our goal was to record the hum of bronze bells in frost.", ""),
        ("article-goal", "purpose", "The purpose of this study is therefore to find cracks in old rims.", ""),
        ("article-setting", "finding", "In dry towers, bronze bells ring for more than a minute.", "in dry towers"),
        ("article-setting", "what-if", "At low pressure, bronze bells ring for less than a minute.", "at low pressure"),
        ("article-setting", "finding", "During heavy storms, the copper bells of Zell stay silent.", "during heavy storms"),
        ("article-evidence", "derivation", "The width of old cracks suggests that frost reduces bronze rims.", "that frost reduces bronze rims"),
        ("article-evidence", "derivation", "The colour of copper rims indicates that rain reduces copper bells.", "that rain reduces copper bells"),
        ("article-evidence", "derivation", "Tests on 40 bronze rims show that frost reduces bronze bells.", "that frost reduces bronze bells"),
        ("article-own", "method", "The method takes an hour for each of the bronze bells.", "method"),
        ("article-own", "method", "The sample holds bells of four towns and two centuries.", "sample"),
        ("article-own", "method", "The code solves the motion of a rim in small steps.", "code"),
    ],
)  # fmt: skip
def test_what_is_asked(rule: str, kind: str, sentence: str, in_question: str) -> None:
    found = [candidate for candidate in made(sentence) if candidate.rule == rule]
    assert found, [(candidate.rule, candidate.question) for candidate in made(sentence)]
    assert any(in_question.lower() in candidate.question.lower() for candidate in found)
    for candidate in found:
        assert candidate.kind == kind
        assert T in candidate.question
        assert candidate.scope == "bells"
        assert candidate.positions


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("article-cause", "Bronze bells do not ring because of the frost."),  # which of the two is denied?
        ("article-cause", "The scatter due to frost is large for bronze bells."),  # no clause
        ("article-cause", "They ring longer because of the frost in old towers."),
        ("article-origin", "The evidence for two hums is explained by careful work."),
        ("article-origin", "It is caused by slow beats of the rim of bells."),
        ("article-origin", "The hum of bronze bells is caused by heating the rim."),
        ("article-consequence", "The most promising were struck in the tower, leading to a deep hum."),
        ("article-consequence", "It shrinks in heavy frost every year, leading to a higher pitch of the strike."),
        ("article-consequence", "When struck, bronze bells ring at a high pitch."),
        ("article-inference", "The deviation is large in old bells, suggesting that frost cracks the rim of it."),
        ("article-inference", "Bells of towers suggesting a hum are rare in the old towns."),
        ("article-inference", "Which of the bells ring longer in frost is open, suggesting hard work."),
        ("article-effect", "The results lead to a deeper view of bronze bells in towers."),
        ("article-effect", "It leads to cracks in the rims of old bells."),
        ("article-effect", "Bronze bells ring and lead to it in old towers."),
        ("article-what-if", "We ask whether bronze bells crack in frost or if they hum."),
        ("article-what-if", "Bronze bells ring even if strong wind moves the clapper."),
        ("article-what-if", "If it lasts for a week, bronze bells crack at the rim."),
        ("article-change", "The pitch of bronze bells increases with it in all towers."),
        ("article-change", "The pitch of bronze bells increases at night in the towers."),
        ("article-change", "It increases with the width of the rim of bronze bells."),
        ("article-dependence", "It depends on the wood of the frame in the towers."),
        ("article-dependence", "The loudness depends on 12 things in the towers of bells."),
        ("article-dependence", "Bronze bells depending on frost are rare in the towers."),
        ("article-basis", "We find that bronze bells ring longer in frost."),
        ("article-basis", "Using forty old microphones, we find that they ring longer in frost."),
        ("article-basis", "In old towers, we find that bronze bells ring longer."),
        ("article-comparison", "Bronze bells are heavier than expected in all of the towers."),
        ("article-comparison", "Bronze bells are used rather than iron in all of the towers."),
        ("article-comparison", "Bronze bells hang lower than 12 metres in all of the towers."),
        ("article-agreement", "It agrees well with the theory of Sabine on bells."),
        ("article-agreement", "Bronze bells that agree with tables are rare in the towers."),
        ("article-agreement", "Bronze bells ring, in line with the wall of the tower."),
        ("article-contrast", "Bronze bells ring while hanging in the wind of the towers."),
        ("article-contrast", "It rings for a minute, whereas copper bells have no hum at all."),
        ("article-contrast", "Bronze bells ring for a minute, while additional bells have no hum."),
        ("article-concession", "Bronze bells are not only heavy, but they move in a light wind."),
        ("article-concession", "Although it is heavy to move, bronze bells ring in a light wind."),
        ("article-concession", "Bronze bells ring for a minute in all of the old towers."),
        ("article-value", "The mean weight of bronze bells is large in the towers."),
        ("article-value", "The sample of bronze bells is 340 in the four towers."),
        ("article-value", "It is 340 kg in the four towers of the old town."),
        ("article-sample", "We analyze 31 bronze bells. We analyze 12 old bronze bells in frost."),
        ("article-sample", "We analyze 31 of the bronze bells from four old towns."),
        ("article-sample", "We find two ways to ring the bronze bells of a tower."),
        ("article-formula", "The pitch of bronze rims is $f = 12 \\pm 3$ in dry air."),
        ("article-formula", "We derive $f = w v / d$ for rims. We derive $h = w d / v$ for bells."),
        ("article-formula", "For these rims, we derive $f = w v / d$. We also derive $h = w d / v$ for bells."),
        ("article-date", "The great bell was recast in 1911. The small bell was recast in 1912."),
        ("article-date", "The bell of the year (Zell 1911) is made of molten coins."),
        ("article-date", "The great bell was recast with 1911 coins of copper."),
        ("article-place", "It is located on the northern tower of the old abbey."),
        ("article-place", "Bronze bells are located by ear in the dark of the towers."),
        ("article-place", "We located the bronze bells in the northern tower."),
        ("article-outlook", "Bronze bells ring longer in frost than in rain."),
        ("article-outlook", "Future work is told of. This will help with future recordings."),
        ("article-outlook", "The future of the bells is that of their towers."),
        ("article-first", "The first of the bells hangs in the northern tower."),
        ("article-first", "We record the hum of the first two bells of bronze."),
        ("article-first", "For these, we record the hum for the first time."),
        ("article-material", "We conclude that bronze bells ring longer in frost."),
        ("article-material", "Old data on bells are rare in all of the towns."),
        ("article-material", "Future data from the Zell archive are to be hoped for."),
        ("article-use", "The bells highlight the role of frost in old towers."),
        ("article-use", "This highlights the role of frost. Our results highlight the role of rain."),
        ("article-use", "Our results agree with the tables of old founders."),
        ("article-goal", "The aim of the great bell is to be heard in all towers."),
        ("article-goal", "Ringers have the aim to be heard in all of the towers."),
        ("article-goal", "The aim is to ring. For these, the aim is to be heard by all."),
        ("article-setting", "In addition, bronze bells ring for more than a minute."),
        ("article-setting", "In towers that are dry, bronze bells ring for more than a minute."),
        ("article-setting", "At small sizes the ringing stops, and copper bells hum instead of it."),
        ("article-evidence", "The results show that frost reduces bronze rims in winter."),
        ("article-evidence", "Observations indicate that frost reduces bronze rims in winter."),
        ("article-evidence", "The width of old cracks suggests that it reduces bronze rims."),
        ("article-own", "The method of old founders takes an hour for bells."),
        ("article-own", "The method takes an hour. This method takes both hands."),
        ("article-own", "The rope takes an hour to be hung in the tower."),
    ],
)
def test_what_is_not_asked(rule: str, sentence: str) -> None:
    found = [candidate.question for candidate in made(sentence) if candidate.rule == rule]
    if rule == "article-use" and "This highlights" in sentence:
        assert len(found) <= 1
        return
    assert found == []


def test_all_that_answers_a_question_is_given() -> None:
    text = "Bronze bells depend on frost and on rain. Heavy rain fills the towers. Bronze bells depend on wind and on ropes."
    (dependence,) = [one for one in made(text) if one.rule == "article-dependence"]
    assert dependence.answer == "Bronze bells depend on frost and on rain. Bronze bells depend on wind and on ropes."
    assert len(dependence.positions) == 2


def all_of(sentences: str, title: str = TITLE) -> list[Candidate]:
    text = f"# {title}\n\n{OPENING} {sentences}"
    reading = Reading(Document(id="bells", text=text, title=title, year=1931), seed=0)
    return [*articles.articles(reading), *abstracts.abstracts(reading), *made(sentences, title)]


def test_what_the_next_sentence_takes_back_is_told_with_it_or_not_at_all() -> None:
    claim = "We find that bronze bells ring longer in frost."
    (alone,) = [one for one in all_of(claim) if one.rule == "article-finding"]
    assert alone.answer == "The authors find that bronze bells ring longer in frost."
    (both,) = [one for one in all_of(f"{claim} However, the gain is below a second.") if one.rule == "article-finding"]
    assert both.answer == f"{alone.answer} However, the gain is below a second."
    assert len(both.positions) == 2
    for untold in ("However, this is below a second.", "But for these bells, it is below a second."):
        assert [one for one in all_of(f"{claim} {untold}") if one.rule == "article-finding"] == []


def test_a_phrase_that_means_what_was_told_before_is_not_asked_about() -> None:
    def about(sentences: str) -> list[str]:
        return [one.question for one in all_of(sentences) if one.rule == "article-report"]

    assert about("The loudness of bronze bells is large in the old towers.") != []
    noted = "Old bells show a bronze loudness in rain. The bronze loudness is large in the old towers."
    assert not any("the bronze loudness" in question for question in about(noted))
    assert any("the bronze loudness" in question for question in about(noted.partition(". ")[2]))
    assert not any("loudness" in question for question in about("The enhanced loudness is large in the old towers."))


def test_a_title_in_braces_is_a_title() -> None:
    title = "The {Q} of bells and the {C} of {T} in frost"
    found = all_of("The hum of bronze bells is caused by slow beats. We find that copper bells hum in frost.", title)
    assert found
    assert all(f"“{title}”" in one.question for one in found)


def test_a_single_author_is_not_told_of_in_the_first_person() -> None:
    text = f"# {TITLE}\n\n{OPENING} I present a list of bronze bells in towers. Type I bells hang in the tower."
    article = article_of(Reading(Document(id="bells", text=text, title=TITLE, year=1931), seed=0))
    assert article is not None
    told = [one.text for one in article.told]
    assert "Type I bells hang in the tower." in told
    assert not any(one.startswith("I present") for one in told)


@pytest.mark.parametrize("module", [explained, grounds, compared, measured, outlook])
def test_every_rule_has_six_wordings(module: object) -> None:
    """Tuples of wordings are the module's own; each names the article and has its own first words."""
    forms = [
        value for name, value in vars(module).items()
        if name.startswith("_") and isinstance(value, tuple) and value and all(isinstance(one, str) for one in value)
        and any("{T}" in one for one in value)
    ]  # fmt: skip
    assert len(forms) >= 4
    for wordings in forms:
        assert len(set(wordings)) >= 6
        assert all("{T}" in one for one in wordings)


@pytest.mark.parametrize(
    ("licence", "is_asked"), [("CC-BY-4.0", True), ("unknown", False), (" Unknown", False), ("n/a", False)]
)
def test_a_licence_that_is_none_is_not_asked_for(licence: str, is_asked: bool) -> None:
    from sagecraft.synthesis.rules.metadata import metadata

    asked = [
        candidate.question
        for seed in range(12)
        for candidate in metadata(
            Reading(Document(id="2401.01234", text=OPENING, title=TITLE, year=1931, license=licence), seed)
        )
    ]
    assert asked
    assert any("licence" in question for question in asked) == is_asked


def test_two_readings_in_turn_are_two_articles() -> None:
    """The last article is kept for the next rule, and for no other reading."""
    first, second = (
        Reading(Document(id=name, text=f"# {TITLE}\n\n{OPENING}", title=TITLE, year=1931), 0) for name in ("one", "two")
    )
    found = [article_of(read) for read in (first, second, first, second)]
    assert [one.document.id for one in found if one is not None] == ["one", "two", "one", "two"]


def test_a_time_is_no_setting_of_which_somebody_would_ask() -> None:
    for lead, is_asked in (("In the early 1970s", False), ("In recent decades", False), ("In cold towers", True)):
        made_of = made(f"{lead}, bronze bells ring longer than the copper bells of the valley.")
        assert any(one.rule == "article-setting" for one in made_of) == is_asked, lead


def test_what_mediates_something_is_asked_for() -> None:
    found = made("The hum of bronze bells is mediated by slow beats of the rim.")
    assert any("mediates" in one.question for one in found)
