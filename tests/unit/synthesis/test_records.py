"""What is asked of abbreviations and of records."""

from __future__ import annotations

from sagecraft.corpus.documents import Document
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.rules.abbreviations import abbreviations
from sagecraft.synthesis.rules.metadata import listed, metadata

TITLE = "The ringing of cracked bells in winter air"
T = f"“{TITLE}”"


def document(**more: object) -> Document:
    values = {
        "id": "1931.00042",
        "text": "Bells ring.",
        "title": TITLE,
        "authors": ["Ann Ash", "Bo Birch", "Cy Cedar"],
        "year": 1931,
    }
    return Document(**{**values, "categories": ["acoustics"], **more})  # type: ignore[arg-type]


def test_abbreviations_with_two_meanings_are_not_asked() -> None:
    text = "We cast cracked old bells (COB) in sand. The carillon of Brugge (COB) rang all day. The tower at Brugge (TAB) is old."
    made = list(abbreviations(Reading(document(text=text), 0)))
    assert [candidate.key in {"TAB", "tower at Brugge"} for candidate in made] == [True]
    assert T in made[0].question
    assert "TAB" in made[0].answer + made[0].question


def test_a_plural_is_asked_as_one() -> None:
    made = [
        one
        for seed in range(20)
        for one in abbreviations(Reading(document(text="We cast cracked old bells (COBs) in sand."), seed))
    ]
    assert {candidate.kind for candidate in made} == {"definition", "term"}
    assert all("“COBs”" in candidate.question + candidate.answer for candidate in made)
    assert all("“cracked old bells”" in candidate.question + candidate.answer for candidate in made)


def test_some_facts_of_a_record_in_many_wordings() -> None:
    made = [candidate for seed in range(60) for candidate in metadata(Reading(document(), seed))]
    assert {len(list(metadata(Reading(document(), seed)))) for seed in range(9)} == {4}
    focuses = {candidate.focus for candidate in made}
    assert len(focuses) >= 12
    assert len({candidate.question for candidate in made}) >= 20
    answers = {candidate.focus: candidate.answer for candidate in made}
    assert answers[f"the first author of {T}"] == f"The first author of {T} is Ann Ash."
    assert answers[f"the number of authors of {T}"] == f"{T} has 3 authors."
    assert answers["the co-authors of Ann Ash"] == f"Ann Ash wrote {T} with Bo Birch and Cy Cedar."
    assert answers[f"the arXiv identifier of {T}"] == f"The arXiv identifier of {T} is 1931.00042."
    assert answers[f"a reference to {T}"] == f"It can be cited as: Ann Ash, Bo Birch and Cy Cedar (1931), {T}."
    assert all(candidate.kind == "metadata" and candidate.positions == () for candidate in made)


def test_what_is_not_on_record_is_not_asked() -> None:
    bare = Document(id="x", text="Bells ring.", title=TITLE)
    assert list(metadata(Reading(bare, 0))) == []
    assert list(metadata(Reading(document(title="Bells"), 0))) == []
    group = Document(id="x", text="Bells ring.", title=TITLE, authors=["The bell authors"], year=1931)
    assert {candidate.key for candidate in metadata(Reading(group, 0))} == {"1931"}


def test_long_lists_are_cut() -> None:
    assert listed(["A"]) == "A"
    assert listed(["A", "B"]) == "A and B"
    assert listed(list("ABCDEFG")) == "A, B, C and 4 others"


def test_identifiers_are_asked_for_by_the_name_of_their_scheme() -> None:
    for name, scheme in (("1931.00042", "arXiv identifier"), ("10.1234/bells.7", "DOI")):
        made = [one for seed in range(60) for one in metadata(Reading(document(id=name), seed))]
        about = [one for one in made if name in one.question + one.answer]
        assert len({one.question for one in about}) == 4
        assert all(scheme in one.question and scheme in one.answer for one in about)
    none = [one for seed in range(60) for one in metadata(Reading(document(id="bells-7"), seed))]
    assert not any("bells-7" in one.question + one.answer or "identifier" in one.question for one in none)


def test_several_categories_are_asked_for_in_the_plural() -> None:
    def asked(*categories: str) -> str:
        made = [one for seed in range(60) for one in metadata(Reading(document(categories=list(categories)), seed))]
        return " ".join(one.question for one in made if "categor" in one.focus)

    one, both = asked("acoustics"), asked("acoustics", "metals")
    assert "subjects is" in both
    assert "subject is" not in both
    assert "subject is" in one
    assert "categories" not in one
