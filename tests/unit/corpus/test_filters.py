import pytest

from sagecraft.corpus.documents import Document
from sagecraft.corpus.filters import Drop, non_text, non_text_share, not_licensed, too_short
from sagecraft.corpus.licenses import is_allowed, normalize_license

PROSE = "The spectrum of the star shows strong lines of ionized calcium, and weak lines of helium. " * 5


def document(text="", **values):
    return Document(id="x", text=text, **values)


def test_too_short():
    assert too_short(document("one two three"), 3) is None
    assert too_short(document("one two"), 3) == Drop("too-short", "2 words, at least 3 are asked for")


def test_prose_is_text():
    assert non_text_share(PROSE) == 0.0
    assert non_text_share(PROSE + "Größe “quoted” – naïve, 5 % of 3×10⁵ €; λ = 5 Å.") < 0.02
    assert non_text_share("星の進化は質量によって決まる。" * 30) < 0.1


def test_equations_code_and_tables_are_not_punished():
    equations = "\n\n".join(["$$\\frac{\\partial^2 u}{\\partial t^2} = c^2 \\nabla^2 u$$"] * 30)
    inline = "where $\\{a_i\\}^{2}_{k}$ holds " * 20
    code = "```\n" + "@@ ~~ ^^ \\\\ {{}} ||\n" * 30 + "```"
    table = "| ~ | ^ | @ |\n" * 30
    assert non_text(document(PROSE + equations + inline + "\n" + code + "\n" + table), 0.05) is None


def test_damaged_text_is_dropped():
    damaged = "□▯� ~~ ^^ ¬¬ ¦¦ �� a " * 30
    drop = non_text(document(damaged), 0.25)
    assert drop is not None
    assert drop.reason == "non-text"


def test_encoded_data_is_dropped():
    drop = non_text(document("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo" * 100), 0.25)
    assert drop == Drop("non-text", "100% of the prose is no text, 25% may")


def test_little_prose_is_not_judged():
    assert non_text_share("~~~~ $$a$$") == 0.0


@pytest.mark.parametrize(
    ("stated", "spdx"),
    [
        ("https://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0"),
        ("http://creativecommons.org/licenses/by-nc-sa/3.0/", "CC-BY-NC-SA-3.0"),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("CC BY 4.0", "CC-BY-4.0"),
        ("cc-by-sa-4.0", "CC-BY-SA-4.0"),
        ("CC BY-NC-ND 4.0 International", "CC-BY-NC-ND-4.0"),
        ("CC0", "CC0-1.0"),
        ("http://arxiv.org/licenses/nonexclusive-distrib/1.0/", "arXiv-nonexclusive-1.0"),
        ("All rights  reserved", "All rights reserved"),
    ],
)
def test_licenses_are_brought_to_spdx(stated, spdx):
    assert normalize_license(stated) == spdx


def test_allow_list():
    assert is_allowed("CC-BY-4.0", ["cc by 4.0"])
    assert is_allowed("CC-BY-SA-4.0", ["CC-BY-*"])
    assert not is_allowed("unknown", ["CC-BY-*"])
    assert not_licensed(document(license="MIT"), None) is None
    assert not_licensed(document(license="MIT"), ["CC0-1.0"]) == Drop("license", "MIT is not among CC0-1.0")
