"""Each rule on a sentence it must ask about, and on sentences it must leave alone. No field: the rules know none."""

from __future__ import annotations

import pytest

from sagecraft.literature import english
from sagecraft.literature.names import Names
from sagecraft.synthesis.ask import ask
from sagecraft.synthesis.candidate import Candidate, judged, quoted

TEXT = "The bridges, rivers and a bell stand near the mill. Water and iron cool. In winter the Rhine froze. glass lamps of bronze or basalt"


def asked(sentence: str, text: str = TEXT) -> dict[str, Candidate]:
    return {made.question: made for made in ask(sentence, Names(f"{text}. {sentence}"))}


@pytest.mark.parametrize(
    ("sentence", "kind", "question"),
    [
        ("A lathe is a machine that turns wood against a blade.", "definition", "What is a lathe?"),
        ("Bells are vessels of bronze that ring when they are struck.", "definition", "What are bells?"),
        ("Heat leaves the roof at night, a loss called radiative cooling, and frost forms.", "term",
         "What is meant by “radiative cooling”?"),
        ("The mass of the great bell is about 13.5 tonnes.", "number", "What is the mass of the great bell?"),
        ("The Humber Bridge has a span of 1410 metres.", "number", "What is the span of the Humber Bridge?"),
        ("The Gotthard tunnel is 57 kilometres long.", "number", "How long is the Gotthard tunnel?"),
        ("The old mill contains 24 grinding stones.", "number", "How many grinding stones does the old mill contain?"),
        ("The festival of lamps lasts five days and 12 hours.", "number", ""),
        ("Bronze is harder than copper because tin atoms hinder its layers.", "cause", "Why is bronze harder than copper?"),
        ("Because ice floats, the Rhine freezes from above.", "cause", "Why does the Rhine freeze from above?"),
        ("The hum of the bell is caused by slow beats.", "cause", "What is the hum of the bell caused by?"),
        ("Basalt is denser than granite.", "comparison", "Is basalt denser or less dense than granite?"),
        ("The Humber Bridge was opened on 24 June 1981.", "event", "When was the Humber Bridge opened?"),
        ("The Rhine ferry, launched in May 1926, still runs.", "event", "When was the Rhine ferry launched?"),
        ("In 1856 Henry Bessemer invented a way to blow air through molten iron.", "person",
         "Who, in 1856, invented a way to blow air through molten iron?"),
        ("Robert Hooke showed in 1660 that a spring stretches with the load.", "person",
         "What did Robert Hooke show in 1660?"),
        ("The spiral spring was invented by Robert Hooke.", "person", "Who invented the spiral spring?"),
        ("The depth of the river is measured by lowering a weighted line.", "method",
         "How is the depth of the river measured?"),
        ("Glass lamps are used to mark the channel at night.", "purpose", "What are glass lamps used for?"),
        ("The period of a pendulum is given by $T = 2\\pi\\sqrt{l/g}$.", "equation",
         "Which equation gives the period of a pendulum?"),
        ("The pitch of a bell depends on its thickness and its width.", "relation",
         "What does the pitch of a bell depend on?"),
        ("The crack in the casting implies that it cooled too fast.", "relation", "What does the crack in the casting imply?"),
        ("Loch Ness is the largest lake by volume in Great Britain.", "superlative",
         "What is the largest lake by volume in Great Britain?"),
        ("The melting point is 1085 degrees for copper in air.", "number", "What is the melting point for copper in air?"),
        ("The height of the towers is 12 metres for the oldest bridges.", "number",
         "What is the height of the towers for the oldest bridges?"),
        ("When molten glass cools slowly, its stresses vanish.", "consequence",
         "What happens when molten glass cools slowly?"),
        ("If the dam failed, the valley would be flooded.", "what-if", "What would happen if the dam failed?"),
    ],
)  # fmt: skip
def test_rule_asks(sentence: str, kind: str, question: str) -> None:
    made = asked(sentence)
    if not question:
        assert all("How long" not in one or made[one].key for one in made)
        return
    assert question in made, list(made)
    assert made[question].kind == kind
    assert made[question].answer.rstrip(".").split()[-1] in sentence


@pytest.mark.parametrize(
    "sentence",
    [
        "It is a machine that turns wood against a blade.",
        "This lathe is a machine that turns wood against a blade.",
        "The former is a machine that turns wood against a blade.",
        "As Table 3 shows, the span of the bridge is 12 metres.",
        "The span of the bridge is 12 metres (Figure 11).",
        "In that case the mass of the bell is 3 tonnes.",
        "The value given above is 3 tonnes.",
        "Here the mass of the bell is 3 tonnes.",
        "Curve 4 represents a bell that rings for an hour.",
    ],
)
def test_sentences_that_lean_on_neighbours_are_tied(sentence: str) -> None:
    assert english.tie(sentence) is not None


@pytest.mark.parametrize(
    "sentence",
    [
        "Is the lathe a machine that turns wood?",
        "What Darwin calculated in 1879 was that the Moon recedes.",
        "The lamp is on.",
        "The Pleiades cluster is about 400 miles from the coast.",
        "If two boats are moored, explain why they drift.",
        "The river increases greatly in spring.",
        "The casting of a bell is a very complicated business of which little is known.",
        "In addition, he set it on an axis near the wall, called the swing point.",
        "The twin ferries built in Erfurt in 1926 carried no freight.",
        "The bridge of Erfurt used 46 wooden piles and a single arch.",
        "The ship was seen since 1990.",
        "An analogy is a bell that rings when somebody strikes it.",
        "As the old book on bells shows, a crack in the bronze lowers the pitch.",
        "Large bells form later and ring for more than an hour.",
    ],
)
def test_silence(sentence: str) -> None:
    assert asked(sentence) == {}


@pytest.mark.parametrize(
    ("question", "need"),
    [
        ("What is the mass of Jupiter?", "none"),
        ("What does the sample contain?", "drop"),
        ("What is the mass of the sample?", "drop"),
        ("What is the scale height?", "topic"),
        ("What is the lathe?", "topic"),
        ("What is the anvil?", "drop"),
        ("What is the corresponding pressure?", "drop"),
        ("How heavy are both bells?", "drop"),
        ("How far is the Moon?", "none"),
        ("Why is the sky dark?", "none"),
        ("What is the present temperature?", "drop"),
        ("What is the efficiency \ue0000\ue001 fixed by?", "topic"),
        ("What is the field of view set by?", "topic"),
        ("What does the excess of bells require?", "topic"),
        ("What does the pitch of a bell depend on?", "none"),
        ("What do the X-ray images show?", "drop"),
        ("When did a much larger flood take place?", "drop"),
        ("Why is bronze much harder than copper?", "none"),
    ],
)
def test_what_a_question_needs(question: str, need: str) -> None:
    assert english.context_need(question, frozenset({"lathe"}))[0] == need


def test_names_keep_their_capitals() -> None:
    names = Names(
        "The planet and the stars. It met Juno and the Parker probe. see parker1958 for discs. In Discs we trust discs"
    )
    assert names.lower_first("The planet Mars") == "the planet Mars"
    assert names.lower_first("Discs of gas") == "discs of gas"
    assert names.lower_first("Juno") == "Juno"
    assert names.lower_first("Parker Solar Probe") == "Parker Solar Probe"
    assert names.lower_first("NGC 1300") == "NGC 1300"
    assert names.lower_first("Unseen") is None


def test_formulas_survive() -> None:
    made = asked("The speed of a wave is given by $$ v = \\sqrt{T/\\mu} . $$")
    (candidate,) = made.values()
    assert candidate.answer == "The speed of a wave is given by $$ v = \\sqrt{T/\\mu} $$."
    assert candidate.key == "$$ v = \\sqrt{T/\\mu} . $$"


def test_a_date_is_told_without_its_preposition() -> None:
    for sentence in (
        "The Humber Bridge was opened on 24 June 1981.",
        "The Rhine ferry, launched in May 1926, still runs.",
        "The old ferry sank in 1926 near the mill.",
    ):
        keys = [made.key for made in asked(sentence).values() if made.kind == "event"]
        assert keys, sentence
        assert all(key and not key.startswith(("in ", "on ")) for key in keys)


def test_a_lead_that_points_back_is_no_lead() -> None:
    assert not any(
        "extreme" in question for question in asked("At the opposite extreme, the Rhine has a depth of 3 m.")
    )


@pytest.mark.parametrize(
    ("title", "within"),
    [
        ('The "Cracked" Bells', "“The ‘Cracked’ Bells”"),
        ("The “Cracked” Bells", "“The ‘Cracked’ Bells”"),
        ('"Cracked": bells ("old" ones)', "“‘Cracked’: bells (‘old’ ones)”"),
        ("The ``Cracked'' Bells", "“The ‘Cracked’ Bells”"),
        ("The founder’s bells", "“The founder’s bells”"),
    ],
)
def test_a_title_keeps_its_own_quotation_marks_as_single_ones(title: str, within: str) -> None:
    assert quoted(title) == within


@pytest.mark.parametrize(
    ("question", "is_right", "answer"),
    [
        ("Somebody claims: “{C}” Is anything wrong with that?", True, "No: that is right."),
        ("Somebody claims: “{C}” Is anything wrong with that?", False, "Yes: that is right."),
        ("“{C}” Is that correct?", True, "Yes: that is right."),
        ("“{C} or wrong?” Is that correct?", False, "No: that is right."),
        ("Check this: “{C}”", True, "That is right."),
        ("Check this: “{C}”", False, "That is right."),
    ],
)
def test_the_answer_to_a_claim_says_yes_or_no_as_the_question_asks(question: str, is_right: bool, answer: str) -> None:
    assert judged(question, is_right, "That is right.") == answer


def test_a_later_part_of_what_somebody_says_is_not_taken_for_a_fact() -> None:
    said = "Old tests suggest that bells crack in frost; ropes come from the hemp of the valley."
    assert not any("come from" in question for question in asked(said))
    assert any("come from" in question for question in asked(said.replace("Old tests suggest that b", "B")))


def test_a_noun_that_looks_like_a_verb_is_left_to_its_phrase() -> None:
    assert not any("roof test" in question for question in asked("Roof tests reveal the cracks of the old bells."))
    assert any("contain" in question for question in asked("The old mill contains the cracks of the old bells."))
