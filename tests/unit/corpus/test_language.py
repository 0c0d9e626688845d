"""Languages of short texts, and what no language can be told of."""

import pytest

from languages import SENTENCES
from sagecraft.corpus import language


@pytest.mark.parametrize("code", SENTENCES)
def test_two_sentences_are_enough(code: str) -> None:
    assert language.identify(SENTENCES[code]) == code
    assert code in language.known_languages()


@pytest.mark.parametrize("text", ["", "Short.", "1 2 3 4 5 6 7 8 9 " * 50, "\n\n\n# A B\n\n* * *\n"])
def test_of_little_text_nothing_is_said(text: str) -> None:
    assert language.identify(text) == language.UNDETERMINED


def test_a_long_text_is_sampled_behind_its_front() -> None:
    front = SENTENCES["en"]
    assert language.identify(front + "\n\n" + f"{SENTENCES['de']} " * 40) == "de"


def test_no_prose_follows_from_spaces_alone() -> None:
    assert language.identify(f"# Title\n\n{' ' * 5000}\n\n{SENTENCES['fr']}{' ' * 5000}") in ("fr", "und")


def test_function_words_are_those_of_the_language() -> None:
    known = [code for code in SENTENCES if language.function_words(code)]
    assert len(known) >= 9
    for code in known:
        words = SENTENCES[code].split()
        own = sum(word in language.function_words(code) for word in words)
        others = max(sum(word in language.function_words(o) for word in words) for o in known if o != code)
        assert own > 0.1 * len(words), code
        if code not in ("sv", "da", "es", "pt"):  # near relations share their words
            assert own > others, code
    assert language.function_words("zh") is None
