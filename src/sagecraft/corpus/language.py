"""Language of a text: function words where they are plenty, else py3langid (BSD, its model is in its wheel).

py3langid is naive Bayes over byte n-grams (Lui and Baldwin, ACL 2012). It must be given prose: formulas and tables look
like no language.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

#: The code of ISO 639-2 for a language that cannot be told.
UNDETERMINED = "und"
#: The code for "no linguistic content".
_NO_LANGUAGE = "zxx"
#: Fewer letters than this say nothing.
_LEAST_LETTERS = 60
#: A sample is so many pieces, spread over the text, of so many characters: with 240 in all, 14,741 of 14,749 English
#: documents were told to be English and the rest, tables and formulas, not told; with 330, one more, for a fifth more time.
_PIECES, _PIECE_CHARS = 3, 80
#: The same for counting function words, and their share above which a text is English.
_LONG_PIECE_CHARS, _LEAST_WORDS, _PLENTY = 400, 40, 0.18
#: Probability under which the answer is "cannot be told".
_LEAST_PROBABILITY = 0.5
_SPACES = re.compile(r"[\s#*_|>-]+")

#: The commonest words with little meaning of their own, lower case, of languages in which they are a quarter of a text or
#: more. (Of Slavic languages and Turkish they are few, and too little to judge by.)
_FUNCTION_WORDS = {
    "en": "the of and to in a is that for with as are be on by this we from which it",
    "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als",
    "fr": "de la le et les des en un du une que est pour qui dans a par plus au sur",
    "es": "de la que el en y a los del se las por un para con no una su es al",
    "it": "di e il la che in a per un è del le della i da una con si dei non",
    "pt": "de a o que e do da em um para com não uma os no se na por as dos",
    "nl": "de het een van en in is dat op te zijn met voor niet aan er om ook als door",
    "sv": "och i att det som en på är av för med den till ett om har de inte var sig",
    "da": "og i at det er en til af på for med den som de der et ikke har fra var",
}


def identify(prose: str) -> str:
    """ISO 639-1 code of the language that a text is written in, `und` if that cannot be told.

    Args:
        prose: text without formulas, code and tables.
    """
    if _is_plain_english(prose):
        return "en"
    sample = _sample(prose, _PIECE_CHARS)
    if sum(map(str.isalpha, sample)) < _LEAST_LETTERS:
        return UNDETERMINED
    code, probability = _identifier().classify(sample)
    return code if probability >= _LEAST_PROBABILITY and code != _NO_LANGUAGE else UNDETERMINED


def _is_plain_english(prose: str) -> bool:
    """True where English function words are so many that no other language is possible.

    That is so of 98 in 100 English papers and abstracts, and spares them the model: half a second and some 60 MB a process,
    0.3 ms a text.
    """
    words = _sample(prose, _LONG_PIECE_CHARS).split()
    common = function_words("en")
    assert common is not None, "English has function words"
    return len(words) >= _LEAST_WORDS and "the" in words and sum(map(common.__contains__, words)) > _PLENTY * len(words)


def _sample(prose: str, piece_chars: int) -> str:
    """Pieces from the beginning, the middle and the end: a thesis may open in another language than it goes on in."""
    if len(prose) > 4 * _PIECES * piece_chars:
        # Room for the spaces that go: a piece is cut to its length afterwards.
        starts = [(2 * number + 1) * len(prose) // (2 * _PIECES) for number in range(_PIECES)]
        return " ".join(_squeezed(prose[start : start + 2 * piece_chars])[:piece_chars] for start in starts)
    return _squeezed(prose[: 4 * _PIECES * piece_chars])[: _PIECES * piece_chars]


def _squeezed(text: str) -> str:
    return _SPACES.sub(" ", text).strip()


@cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@cache
def known_languages() -> frozenset[str]:
    """Codes that `identify` can answer with."""
    return frozenset(_identifier().labels) - {_NO_LANGUAGE} | {UNDETERMINED}


@cache
def function_words(code: str) -> frozenset[str] | None:
    """The commonest words of a language, as they are written inside and at the start of a sentence."""
    if code not in _FUNCTION_WORDS:
        return None
    words = _FUNCTION_WORDS[code].split()
    return frozenset(words) | {word.capitalize() for word in words}
