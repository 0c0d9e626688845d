from sagecraft.corpus.documents import Document
from sagecraft.corpus.overlap import Leaks, ShingleIndex, ngrams, words_of


def leak_report(items, documents, n=8):
    leaks = Leaks(items, n)
    return [hit for document in documents for hit in leaks.find(document.text, document.id)]


WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon"


def test_words_and_ngrams():
    assert words_of("The Star's mass: 3.5 M_sun, É!") == ["the", "star", "s", "mass", "3", "5", "m", "sun", "é"]
    assert list(ngrams("a b c d", 3)) == ["a b c", "b c d"]
    assert list(ngrams("a b", 3)) == []


def test_shingles_share_of_the_smaller_text():
    index = ShingleIndex(n=3)
    index.add("short", "a b c d e")
    index.add("other", "x y z")
    assert index.nearest("q q q a b c d e q q q q q") == ("short", 1.0)
    assert index.nearest("a b c q q") == ("short", 1 / 3)
    assert index.nearest("nothing in common here") == ("", 0.0)


def test_texts_may_be_added_after_a_search():
    index = ShingleIndex(n=3)
    index.add("one", "a b c d e")
    assert index.nearest("v w x y z")[1] == 0.0
    index.add("two", "v w x y z")
    assert index.nearest("v w x y z") == ("two", 1.0)
    assert index.nearest("a b c d e") == ("one", 1.0)
    index.add("none", "")
    assert index.nearest("") == ("", 0.0)


ITEMS = [
    {
        "id": "w",
        "kind": "withheld",
        "question": "How long does an undisturbed oxygen ion remain in the upper level?",
        "A": "one hour",
        "B": "37 seconds",
        "answer": "B",
        "support": "An undisturbed ion stays in this level for about 37 seconds before it emits.",
    },
    {
        "id": "t",
        "kind": "taught",
        "question": "At what distance from the centre of the Galaxy does the Sun orbit?",
        "A": "8.2 kpc",
        "answer": "A",
        "support": "The Sun orbits the centre of the Galaxy at a distance of 8.2 kiloparsecs.",
    },
]


def test_leaks_are_found_with_both_texts():
    document = Document(id="d", text=f"Before it. {ITEMS[0]['support'].upper()} After it. {ITEMS[1]['support']}")
    (hit,) = leak_report(ITEMS, [document, Document(id="e", text="clean")])
    assert (hit.item, hit.kind, hit.part, hit.document) == ("w", "withheld", "support", "d")
    assert hit.num_ngrams == 14 - 8 + 1
    assert hit.item_text == ITEMS[0]["support"]
    assert hit.document_text.startswith("before it an undisturbed ion")


def test_a_question_in_training_is_a_leak_of_any_item():
    document = Document(id="d", text="At what distance from the centre of the Galaxy does the Sun orbit? 8.2 kpc")
    assert [(hit.item, hit.part) for hit in leak_report(ITEMS, [document])] == [("t", "question")]


def test_words_that_a_taught_question_takes_from_its_support_are_no_leak():
    item = dict(ITEMS[1], question="The Sun orbits the centre of the Galaxy at a distance of what?", A="8.2")
    assert leak_report([item], [Document(id="d", text=item["support"])]) == []
    assert [
        hit.part for hit in leak_report([item | {"kind": "withheld"}], [Document(id="d", text=item["support"])])
    ] == [
        "question",
        "support",
    ]


def test_short_questions_must_agree_whole():
    item = {"id": "s", "question": "Who found the Crab pulsar?", "A": "Staelin", "answer": "A", "kind": "taught"}
    assert leak_report([item], [Document(id="d", text="who found the crab pulsar staelin")])[0].num_ngrams == 1
    assert leak_report([item], [Document(id="d", text="who found the crab pulsar first")])[0].num_ngrams == 1
    assert leak_report([item], [Document(id="d", text="who found the vela pulsar first")]) == []
    tiny = {"id": "t", "question": "Who found Vela?", "A": "Large and Vaughan", "answer": "A", "kind": "taught"}
    assert leak_report([tiny], [Document(id="d", text="who found vela is not known")]) == []
    assert leak_report([tiny], [Document(id="d", text="Who found Vela? Large and Vaughan.")])


LONG = {
    "id": "l",
    "kind": "withheld",
    "question": "A telescope of two metres stands on a mountain in Chile at night. What is the magnitude of the faintest "
    "star that it can see in one hour?",
    "A": "25",
    "answer": "A",
}


def test_one_phrase_of_a_long_question_is_no_leak_and_thirteen_words_are():
    assert Leaks([LONG]).find("Tell me what is the magnitude of the faintest star in this field.") == []
    assert Leaks([LONG], min_share=0.1).find("Tell me what is the magnitude of the faintest star in this field.")
    thirteen = "stands on a mountain in chile at night what is the magnitude of"
    assert len(words_of(thirteen)) == 13
    assert Leaks([LONG]).find(f"It {thirteen} nothing")
    assert Leaks([LONG]).find(f"It {thirteen.removeprefix('stands ')} nothing") == []


def test_pieces_of_a_question_count_where_they_stand_together():
    first, last = "A telescope of two metres stands on a mountain", "the faintest star that it can see in one hour"
    assert Leaks([LONG]).find(f"{first}, as we said; and {last}.")
    assert Leaks([LONG]).find(f"{first}. {WORDS * 4}. {last}.") == []


def test_what_many_questions_ask_is_a_phrase():
    whole = "Which of the following statements is true?"
    items = [{"id": str(n), "question": whole, "A": f"answer {n} of them", "answer": "A"} for n in range(3)]
    items += [{"id": f"x{n}", "question": f"{whole} Think of {n} stars.", "A": "one", "answer": "A"} for n in range(3)]
    assert Leaks(items).find("which of the following statements is true") == []
    assert [hit.item for hit in Leaks(items).find(f"{whole} Answer 1 of them.")] == ["1"]
    twice = [LONG, LONG | {"id": "l2"}, LONG | {"id": "l3"}]
    assert len(Leaks(twice).find(LONG["question"])) == 3


def test_questions_of_all_lengths_are_looked_for_in_one_text():
    short = {"id": "s", "question": "Who found the Crab pulsar?", "A": "Staelin", "answer": "A", "kind": "taught"}
    text = f"{WORDS} who found the crab pulsar {WORDS}"
    assert [hit.item for hit in Leaks([*ITEMS, short]).find(text)] == ["s"]
    assert [hit.item for hit in Leaks([*ITEMS, short]).find(f"{text} {ITEMS[0]['question']}")] == ["w", "s"]


GAPS = {
    "id": "gap", "kind": "withheld", "answer": "A", "A": "(1) 117, (2) longer",
    "question": "What stands in the gaps (1) and (2) of the statement from the text “Rivers of the north” (section “Of their lengths and falls”): "
    "“The Brill is ____ (1) miles long and therefore ____ (2) than the Esk.”?",
}  # fmt: skip


def test_a_statement_with_gaps_is_looked_for_as_it_stands_in_its_document():
    told = "People say: the Brill is 117 miles long and therefore longer than the Esk. So it is."
    hits = Leaks([GAPS]).find(told)
    assert [hit.item_text for hit in hits] == ["The Brill is 117 miles long and therefore longer than the Esk."]
    assert not Leaks([GAPS]).find("People say that the Brill is long and therefore feared by all who cross it.")


def test_without_a_key_what_stands_beside_the_gap_is_looked_for():
    asked = (
        "“Since ____, hundreds of boats have gone down the whole river in the spring of the year.” Which year is it?"
    )
    leaks = Leaks([{"id": "1", "question": asked, "A": "1812", "B": "1912"}])
    assert leaks.find("Since 1812, hundreds of boats have gone down the whole river in the spring of the year.")
    assert not leaks.find("Since 1812, hundreds of boats have come, and many have gone.")
