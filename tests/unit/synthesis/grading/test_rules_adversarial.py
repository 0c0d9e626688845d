"""Pairs that must go and pairs like them that must stay: signs, languages, markup, loops, pointers, what is not in the source."""

from __future__ import annotations

from typing import Any

import pytest

from sagecraft.synthesis.candidate import Candidate
from sagecraft.synthesis.grading.rules import grade

PLAIN = {
    "kind": "number", "focus": "it", "question": "What is the mass of the great bell?",
    "answer": "The mass of the great bell is about 13.5 tonnes.",
    "ground": "The mass of the great bell is about 13.5 tonnes, and it hangs in the north tower.",
}  # fmt: skip
#: What is wrong, how it differs from the plain pair, the reason that is given.
GOES: list[tuple[str, dict[str, str], str]] = [
    ("sign lost", {"question": "What is the temperature of the frozen bell?", "answer": "The temperature of the frozen bell is 200 degrees.", "ground": "The temperature of the frozen bell is −200 degrees."}, "number-not-in-source"),
    ("sign lost hyphen", {"question": "What is the temperature of the frozen bell?", "answer": "The temperature of the frozen bell is 200 degrees.", "ground": "The temperature of the frozen bell is -200 degrees."}, "number-not-in-source"),
    ("sign lost in math", {"question": "What is the slope of the frozen bell?", "answer": "The slope of the frozen bell is 2.5 in all cases.", "ground": "The slope of the frozen bell is $-2.5$ in all cases."}, "number-not-in-source"),
    ("sign gained", {"question": "What is the slope of the frozen bell?", "answer": "The slope of the frozen bell is −2.5 in all cases.", "ground": "The slope of the frozen bell is 2.5 in all cases."}, "number-not-in-source"),
    ("exponent sign", {"question": "What is the mass of the tiny bell?", "answer": "The mass of the tiny bell is $10^{3}$ grams.", "ground": "The mass of the tiny bell is $10^{-3}$ grams."}, "number-not-in-source"),
    ("superscript", {"question": "What is the mass of the large bell?", "answer": "The mass of the large bell is 10⁵ grams.", "ground": "The mass of the large bell is 10³ grams."}, "word-not-in-source"),
    ("other number", {"answer": "The mass of the great bell is about 14.5 tonnes."}, "number-not-in-source"),
    ("number of a longer one", {"ground": "The mass of the great bell is about 113.5 tonnes, and it hangs in the north tower."}, "number-not-in-source"),
    ("decimal moved", {"answer": "The mass of the great bell is about 1.35 tonnes."}, "number-not-in-source"),
    ("thousand lost", {"answer": "The mass of the great bell is about 135 tonnes.", "ground": "The mass of the great bell is about 135,000 tonnes in all."}, "number-not-in-source"),
    ("decimal dropped", {"answer": "The mass of the great bell is about 13 tonnes."}, "number-not-in-source"),
    ("invented year", {"answer": "The great bell of about 13.5 tonnes hangs in the north tower since 1497."}, "number-not-in-source"),
    ("russian", {"question": "К\u0430ков вес большого колокол\u0430 в северной б\u0430шне ст\u0430рого город\u0430?"}, "language"),
    ("french", {"question": "Quelle est la masse de la grande cloche qui se trouve dans la tour ?"}, "language"),
    ("german", {"question": "Wie groß ist die Masse der großen Glocke, die im nördlichen Turm hängt?"}, "language"),
    ("spanish", {"question": "¿Cuál es la masa de la gran campana que está en la torre?"}, "language"),
    ("german answer", {"answer": "Die Masse der großen Glocke ist ungefähr 13.5 Tonnen."}, "word-not-in-source"),
    ("chinese answer", {"answer": "大钟的质量约为 13.5 吨，它挂在北塔里，每天都会响起来，声音很大。"}, "answer-length"),
    ("homoglyph", {"question": "What is the m\u0430ss of the great bell?"}, "markup"),
    ("control", {"question": "What is the mass\x07 of the great bell?"}, "markup"),
    ("zero width", {"question": "What is the mass\u200b of the great bell?"}, "markup"),
    ("bidi", {"question": "What is the mass \u202eof the great bell?"}, "markup"),
    ("replacement", {"question": "What is the m\ufffdss of the great bell?"}, "markup"),
    ("html tag", {"answer": "The mass of the <b>great</b> bell is about 13.5 tonnes."}, "word-not-in-source"),
    ("html sub", {"answer": "The mass of the great bell<sub>2</sub> is about 13.5 tonnes.", "ground": "The mass of the great bell<sub>2</sub> is about 13.5 tonnes."}, "markup"),
    ("entity", {"answer": "The mass of the great bell is about&nbsp;13.5 tonnes.", "ground": "The mass of the great bell is about&nbsp;13.5 tonnes."}, "markup"),
    ("entity amp", {"answer": "The mass of the bell &amp; tower is about 13.5 tonnes.", "ground": "The mass of the bell &amp; tower is about 13.5 tonnes."}, "markup"),
    ("bold", {"answer": "The mass of the **great** bell is about 13.5 tonnes.", "ground": "The mass of the **great** bell is about 13.5 tonnes."}, "markup"),
    ("link", {"answer": "The mass of the [great bell](bell) is about 13.5 tonnes.", "ground": "The mass of the [great bell](bell) is about 13.5 tonnes."}, "markup"),
    ("latex cite", {"answer": "The mass of the great bell \\cite{a} is about 13.5 tonnes.", "ground": "The mass of the great bell \\cite{a} is about 13.5 tonnes."}, "markup"),
    ("url", {"answer": "The mass of the great bell is about 13.5 tonnes (https://bells.org).", "ground": "The mass of the great bell is about 13.5 tonnes, and it hangs in the north tower. https://bells.org"}, "markup"),
    ("chat token", {"answer": "The mass of the great bell is about 13.5 tonnes.<|im_end|>"}, "word-not-in-source"),
    ("word thrice", {"answer": "The mass of the great great great bell is about 13.5 tonnes.", "ground": "The mass of the great great great bell is about 13.5 tonnes."}, "repetition"),
    ("phrase loop", {"answer": "The mass of the great bell is the mass of the great bell is the mass of the great bell."}, "repetition"),
    ("sentence twice", {"kind": "account", "answer": "The great bell hangs in the north tower. Its mass is about 13.5 tonnes, which is much for a bell of that width and that age. It was cast by a master from the south whose name is lost. The great bell hangs in the north tower.", "ground": "The great bell hangs in the north tower. Its mass is about 13.5 tonnes, which is much for a bell of that width and that age. It was cast by a master from the south whose name is lost."}, "repetition"),
    ("sentence twice, long", {"kind": "account", "question": "What does one know of the great bell?", "answer": "The great bell hangs in the north tower. The great bell hangs in the north tower. The mass of the great bell is about 13.5 tonnes, and it hangs in the north tower.", "ground": "The great bell hangs in the north tower. The mass of the great bell is about 13.5 tonnes, and it hangs in the north tower."}, "repetition"),
    ("question again", {"kind": "cause", "question": "Why does the great bell hang in the north tower?", "answer": "The great bell hangs in the north tower.", "ground": "The great bell hangs in the north tower because of the wind."}, "answer-in-question"),
    ("question again, what", {"answer": "The mass of the great bell is the mass."}, "answer-in-question"),
    ("definition in a circle", {"kind": "definition", "question": "What is a great bell?", "answer": "A great bell is a bell that is great.", "ground": "A great bell is a bell that is great."}, "answer-in-question"),
    ("this paper", {"question": "What is the mass of the bell in this paper?"}, "leak"),
    ("this thesis", {"question": "What is the mass of the bell in this thesis?"}, "leak"),
    ("this manuscript", {"answer": "In this manuscript the mass of the great bell is about 13.5 tonnes.", "ground": "In this manuscript the mass of the great bell is about 13.5 tonnes, and it hangs in the north tower."}, "leak"),
    ("the passage", {"question": "According to the passage, what is the mass of the bell?"}, "leak"),
    ("the excerpt", {"question": "What is the mass of the great bell in the excerpt?"}, "leak"),
    ("the text", {"question": "What is the mass of the great bell according to the text?"}, "leak"),
    ("given context", {"question": "Based on the given context, what is the mass of the great bell?"}, "leak"),
    ("above", {"answer": "As mentioned above, the mass of the great bell is about 13.5 tonnes.", "ground": "As mentioned above, the mass of the great bell is about 13.5 tonnes, and it hangs in the north tower."}, "leak"),
    ("described below", {"answer": "The great bell described below has a mass of about 13.5 tonnes.", "ground": "The great bell described below has a mass of about 13.5 tonnes."}, "leak"),
    ("previous section", {"answer": "The great bell of the previous section has a mass of about 13.5 tonnes.", "ground": "The great bell of the previous section has a mass of about 13.5 tonnes."}, "leak"),
    ("table 12", {"answer": "The mass of the great bell (Table 12) is about 13.5 tonnes.", "ground": "The mass of the great bell is about 13.5 tonnes, and it hangs in the north tower. Table 12"}, "leak"),
    ("Tab. 2", {"answer": "The mass of the great bell (Tab. 2) is about 13.5 tonnes.", "ground": "The mass of the great bell is about 13.5 tonnes, and it hangs in the north tower. Tab. 2"}, "leak"),
    ("Fig 3", {"answer": "The mass of the great bell (Fig 3) is about 13.5 tonnes.", "ground": "The mass of the great bell is about 13.5 tonnes, and it hangs in the north tower. (Fig 3)"}, "leak"),
    ("Figs.", {"answer": "The mass of the great bell (Figs. 3 and 4) is about 13.5 tonnes.", "ground": "The mass of the great bell is about 13.5 tonnes, and it hangs in the north tower. (Figs. 3 and 4)"}, "leak"),
    ("Sect.", {"answer": "The mass of the great bell (Sect. 3) is about 13.5 tonnes.", "ground": "The mass of the great bell is about 13.5 tonnes, and it hangs in the north tower. (Sect. 3)"}, "leak"),
    ("paragraph sign", {"answer": "The mass of the great bell (§ 3) is about 13.5 tonnes.", "ground": "The mass of the great bell is about 13.5 tonnes, and it hangs in the north tower. (§ 3)"}, "leak"),
    ("Eq.", {"answer": "The mass of the great bell follows from Eq. (2): about 13.5 tonnes.", "ground": "The mass of the great bell is about 13.5 tonnes, and it hangs in the north tower. follows from Eq. (2)"}, "leak"),
    ("see", {"answer": "The mass of the great bell (see The Tower) is about 13.5 tonnes.", "ground": "The mass of the great bell is about 13.5 tonnes, and it hangs in the north tower. see The Tower"}, "leak"),
    ("et al", {"answer": "Smith et al. find that the mass of the great bell is about 13.5 tonnes.", "ground": "Smith et al. find that the mass of the great bell is about 13.5 tonnes, and it hangs in the north tower."}, "leak"),
    ("citation", {"answer": "The mass of the great bell is about 13.5 tonnes (Smith 2010).", "ground": "The mass of the great bell is about 13.5 tonnes, and it hangs in the north tower (Smith 2010)."}, "leak"),
    ("citation two", {"answer": "The mass of the great bell is about 13.5 tonnes (Smith & Jones, 2010).", "ground": "The mass of the great bell is about 13.5 tonnes, and it hangs in the north tower (Smith & Jones, 2010)."}, "leak"),
    ("citation outside", {"answer": "Smith & Jones (2010) put the mass of the great bell at about 13.5 tonnes.", "ground": "Smith & Jones (2010) put the mass of the great bell at about 13.5 tonnes."}, "leak"),
    ("we show", {"answer": "We show that the mass of the great bell is about 13.5 tonnes.", "ground": "We show that the mass of the great bell is about 13.5 tonnes."}, "leak"),
    ("we saw", {"answer": "As we saw, the mass of the great bell is about 13.5 tonnes.", "ground": "As we saw, the mass of the great bell is about 13.5 tonnes, and it hangs in the north tower."}, "leak"),
    ("we will see", {"answer": "The mass of the great bell, as we will see in the next chapter, is about 13.5 tonnes.", "ground": "The mass of the great bell, as we will see in the next chapter, is about 13.5 tonnes."}, "leak"),
    ("unnamed authors", {"question": "What do the authors say of the bell?", "ground": "The authors say: The mass of the great bell is about 13.5 tonnes, and it hangs in the north tower."}, "leak"),
    ("our results", {"answer": "Our results give the great bell a mass of about 13.5 tonnes.", "ground": "Our results give the great bell a mass of about 13.5 tonnes."}, "leak"),
    ("here we", {"answer": "Here we weigh the great bell: about 13.5 tonnes.", "ground": "Here we weigh the great bell: about 13.5 tonnes."}, "leak"),
    ("other word", {"answer": "The mass of the great whale is about 13.5 tonnes."}, "word-not-in-source"),
    ("number word", {"answer": "The mass of the great bell is about thirteen tonnes."}, "word-not-in-source"),
]  # fmt: skip
STAYS: list[tuple[str, dict[str, str]]] = [
    ("plain", {}),
    ("thousands written otherwise", {"answer": "The mass of the great bell is about 13500 kilograms.", "ground": "The mass of the great bell is about 13,500 kilograms."}),
    ("thin space", {"answer": "The mass of the great bell is about 13,500 kilograms.", "ground": "The mass of the great bell is about 13 500 kilograms."}),
    ("minus written otherwise", {"question": "What is the temperature of the frozen bell?", "answer": "The temperature of the frozen bell is −200 degrees.", "ground": "The temperature of the frozen bell is -200 degrees."}),
    ("minus in math", {"question": "What is the slope of the frozen bell?", "answer": "The slope of the frozen bell is −2.5 in all cases.", "ground": "The slope of the frozen bell is $-2.5$ in all cases."}),
    ("range", {"question": "In which range is the mass of the great bell?", "answer": "The mass of the great bell is between 3 and 5 tonnes.", "ground": "The mass of the great bell is between 3 and 5 tonnes."}),
    ("range, hyphen", {"kind": "event", "question": "Which years did the casting of the great bell take?", "answer": "The casting of the great bell took the years 1497-1503.", "ground": "The casting of the great bell took the years 1497–1503."}),
    ("name with number", {"question": "What is the mass of the bell B-12?", "answer": "The mass of the bell B-12 is about 13.5 tonnes.", "ground": "The mass of the bell B-12 is about 13.5 tonnes."}),
    ("exponent", {"question": "What is the mass of the tiny bell?", "answer": "The mass of the tiny bell is $10^{-3}$ grams.", "ground": "The mass of the tiny bell is $10^{-3}$ grams."}),
    ("decade", {"kind": "event", "question": "When was the great bell cast by masters?", "answer": "The great bell was cast by masters in the 1490s.", "ground": "The great bell was cast by masters in the 1490s."}),
    ("number from the question", {"kind": "consequence", "question": "What happens to the bell after 100 years?", "answer": "After 100 years the bell falls silent.", "ground": "After a century, 100 years, the bell falls silent."}),
    ("greek", {"question": "What is the width of the Hα line of the bell?", "answer": "The width of the Hα line of the bell is 13.5 μm.", "ground": "The width of the Hα line of the bell is 13.5 μm."}),
    ("accents", {"kind": "person", "question": "What did Émile Müller of Besançon cast in the tower?", "answer": "Émile Müller of Besançon cast the great bell in the tower.", "ground": "Émile Müller of Besançon cast the great bell in the tower."}),
    ("math inequality", {"kind": "relation", "question": "For which widths does the bell ring?", "answer": "The bell rings where $a < b$ and c > d hold.", "ground": "The bell rings where $a < b$ and c > d hold."}),
    ("less than", {"kind": "relation", "question": "For which masses does the bell ring?", "answer": "The bell rings for masses <5 tonnes and >2 tonnes.", "ground": "The bell rings for masses <5 tonnes and >2 tonnes."}),
    ("ampersand", {"kind": "relation", "question": "What do the makers Smith & Sons cast?", "answer": "The makers Smith & Sons cast the great bell.", "ground": "The makers Smith & Sons cast the great bell."}),
    ("star in name", {"question": "What is the mass of the source Sgr A*?", "answer": "The mass of the source Sgr A* is about 13.5 tonnes.", "ground": "The mass of the source Sgr A* is about 13.5 tonnes."}),
    ("comparison", {"kind": "comparison", "question": "Which is heavier, the great bell or the small bell?", "answer": "The great bell is heavier than the small bell.", "ground": "The great bell is heavier than the small bell."}),
    ("two things in the same words", {"kind": "comparison", "question": "How do the great bell and the small bell differ in mass?", "answer": "The mass of the great bell is 13.5 tonnes. The mass of the small bell is 2.5 tonnes.", "ground": "The mass of the great bell is 13.5 tonnes. The mass of the small bell is 2.5 tonnes."}),
    ("claim", {"kind": "critique", "question": "Someone says: “The great bell hangs in the north tower.” Is it right?", "answer": "Yes, that is right. The great bell hangs in the north tower.", "ground": "The great bell hangs in the north tower."}),
    ("claim wrong", {"kind": "critique", "question": "Is this statement right? “The great bell hangs in the south tower.”", "answer": "No. The great bell hangs in the north tower, not in the south tower.", "ground": "The great bell hangs in the north tower."}),
    ("named article", {"kind": "finding", "question": "What do the authors of “On bells” find about the great bell?", "answer": "The authors find that the mass of the great bell is about 13.5 tonnes."}),
    ("figure as a word", {"kind": "relation", "question": "What does a bell founder sketch before the casting?", "answer": "A bell founder sketches the figure of the great bell.", "ground": "A bell founder sketches the figure of the great bell."}),
    ("table as a thing", {"kind": "place", "question": "Where does the small bell of the mass stand?", "answer": "The small bell of the mass stands on a table in the tower.", "ground": "The small bell of the mass stands on a table in the tower."}),
    ("above as a place", {"kind": "place", "question": "Where does the great bell of the tower hang?", "answer": "The great bell hangs 13.5 m above the ground in the north tower.", "ground": "The great bell hangs 13.5 m above the ground in the north tower."}),
    ("described", {"kind": "person", "question": "Who described the great bell of the tower?", "answer": "The great bell was described by Agnes of Gotha, who saw it fall.", "ground": "The great bell was described by Agnes of Gotha, who saw it fall."}),
    ("section as a part", {"kind": "relation", "question": "Which section of the bell rings?", "answer": "The lower section of the bell rings when it is struck.", "ground": "The lower section of the bell rings when it is struck."}),
    ("a year in brackets", {"kind": "event", "question": "When was the great bell of Gotha cast?", "answer": "The great bell of Gotha was cast in the year of the fire (1497).", "ground": "The great bell of Gotha was cast in the year of the fire (1497)."}),
    ("a month in brackets", {"kind": "event", "question": "When did the great bell of Gotha fall?", "answer": "The great bell of Gotha fell in the storm (May 1990).", "ground": "The great bell of Gotha fell in the storm (May 1990)."}),
    ("a mission", {"kind": "relation", "question": "Which probe weighed the great bell?", "answer": "The probe that weighed the great bell was Carillon (1990).", "ground": "The probe that weighed the great bell was Carillon (1990)."}),
    ("steps", {"question": "Two great bells have 13.5 tonnes each. What mass have they together?", "answer": "Together they have a mass of 27 tonnes.", "thought": "Two bells of 13.5 tonnes make 27."}),
    ("metadata", {"kind": "metadata", "question": "Who wrote the article “On bells” about the tower?", "answer": "The article “On bells” was written by Ada Smith.", "ground": "The article “On bells” was written by Ada Smith."}),
    ("definition", {"kind": "definition", "question": "What is a carillon?", "answer": "A carillon is a set of bells that is played from a keyboard.", "ground": "A carillon is a set of bells that is played from a keyboard."}),
    ("cause", {"kind": "cause", "question": "Why does the pitch of a bell fall?", "answer": "The pitch of a bell falls because its wall is filed.", "ground": "The pitch of a bell falls because its wall is filed."}),
    ("short formulas", {"kind": "equation", "question": "Which equation gives the pitch of a bell?", "answer": "The pitch of a bell is given by $f = a/b^{2}$.", "ground": "The pitch of a bell is given by $f = a/b^{2}$."}),
    ("survey", {"kind": "relation", "question": "What does the bell survey count?", "answer": "This survey counts bells in all towers of the north.", "ground": "This survey counts bells in all towers of the north."}),
    ("technical words", {"kind": "relation", "question": "What are ΔT and σ of the bell?", "answer": "Values of bell tones: ΔT = 13.5 K, σ = 2.5 K.", "ground": "Values of bell tones: ΔT = 13.5 K, σ = 2.5 K."}),
    ("latin names", {"kind": "relation", "question": "Which species nests in the great bell?", "answer": "Tyto alba nests in the great bell of the tower.", "ground": "Tyto alba nests in the great bell of the tower."}),
    ("names of places", {"kind": "person", "question": "Who built the Frauenkirche in der Altstadt?", "answer": "Georg Bähr built the Frauenkirche in der Altstadt.", "ground": "Georg Bähr built the Frauenkirche in der Altstadt of the town, and it is a work of sandstone."}),
]  # fmt: skip


def reason_of(values: dict[str, str]) -> str | None:
    row: dict[str, Any] = {**PLAIN, **values}
    ground = row.pop("ground")
    return grade(Candidate(**row), ground, "On bells")


@pytest.mark.parametrize(("values", "reason"), [pytest.param(values, reason, id=name) for name, values, reason in GOES])
def test_must_go(values: dict[str, str], reason: str) -> None:
    assert reason_of(values) == reason


@pytest.mark.parametrize("values", [pytest.param(values, id=name) for name, values in STAYS])
def test_must_stay(values: dict[str, str]) -> None:
    assert reason_of(values) is None
