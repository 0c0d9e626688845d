from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagecraft.corpus import minhash
from sagecraft.corpus.overlap import ngrams, words_of
from sagecraft.corpus.planted import EDITS, plant, true_jaccard

#: Words, signs, scripts, letters whose folding is longer, marks, astral letters, lone surrogates.
CHARACTERS = "abcXYZ019 _-.,\n\t$\\{}^ßİﬁéÅΑα中文\u0301\u00a0\U0001d6fc\ud800"


def words(count: int, start: int = 0) -> str:
    return " ".join(f"w{n}" for n in range(start, start + count))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(CHARACTERS, max_size=60), max_size=6))
def test_word_hashes_are_the_words_of_overlap(texts: list[str]) -> None:
    hashes, bounds = minhash.word_hashes(texts)
    expected = [word for text in texts for word in words_of(text)]
    assert np.diff(bounds).tolist() == [len(words_of(text)) for text in texts]
    # Equal words have equal hashes, different words different ones.
    assert len(set(zip(expected, hashes.tolist(), strict=True))) == len(set(expected)) == len(set(hashes.tolist()))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("ab. ", max_size=40), max_size=6), st.integers(1, 6))
def test_shingle_hashes_are_the_ngrams_of_overlap(texts: list[str], n: int) -> None:
    hashes, bounds = minhash.shingle_hashes(*minhash.word_hashes(texts), n)
    expected = [gram for text in texts for gram in ngrams(text, n)]
    assert np.diff(bounds).tolist() == [len(list(ngrams(text, n))) for text in texts]
    assert len(set(zip(expected, hashes.tolist(), strict=True))) == len(set(expected)) == len(set(hashes.tolist()))


def test_a_text_longer_than_a_block_has_the_words_it_has_alone() -> None:
    text = words(60_000)
    assert len(text) > 2 * minhash._BLOCK_CHARS
    hashes, _ = minhash.word_hashes(["first", text, "last"])
    alone = {word: int(minhash.word_hashes([word])[0][0]) for word in ("w0", "w31415", "w59999", "first", "last")}
    assert [int(hashes[at]) for at in (0, 1, 31416, 60000, 60001)] == [
        alone[word] for word in ("first", "w0", "w31415", "w59999", "last")
    ]
    assert len(hashes) == 60_002


def test_a_line_without_spaces_is_cut_but_not_lost() -> None:
    hashes, bounds = minhash.word_hashes(["x" * (3 * minhash._BLOCK_CHARS)])
    assert bounds.tolist() == [0, len(hashes)]
    assert 1 <= len(hashes) <= 7


def test_a_signature_is_the_smallest_hash_of_each_function_however_the_texts_are_cut() -> None:
    texts = [words(30), "", words(70_000, start=10), "two words", words(40, start=5)]
    shingles, bounds = minhash.shingle_hashes(*minhash.word_hashes(texts), 5)
    assert bounds[-1] > minhash._BLOCK_SHINGLES, "the long text must not fit into one block"
    together = minhash.signatures(shingles, bounds, 12, seed=3)
    factors, offsets = minhash._hash_functions(12, 3)
    for row in (0, 2, 4):
        mine = (shingles[bounds[row] : bounds[row + 1]] >> np.uint64(32)).astype(np.uint32)
        smallest = np.array([(mine * a + b).min() for a, b in zip(factors, offsets, strict=True)], dtype=np.uint32)
        assert together[row].tolist() == ((smallest * minhash._FOLD_KEY) >> np.uint32(16)).tolist()
        alone = minhash.signatures(*minhash.shingle_hashes(*minhash.word_hashes([texts[row]]), 5), 12, seed=3)
        assert (alone == together[row]).all()
    assert not np.array_equal(together, minhash.signatures(shingles, bounds, 12, seed=4))


def test_agreement_of_signatures_estimates_jaccard() -> None:
    base = words(400)
    pairs = [
        found
        for number in range(60)
        if (found := plant(base, (0.3, 0.95), EDITS[number % 4], words(400, 1000).split(), 5, ("estimate", number)))
    ]
    texts = [base, *(text for text, _ in pairs)]
    signatures = minhash.signatures(*minhash.shingle_hashes(*minhash.word_hashes(texts), 5), 512, seed=0)
    errors = [(signatures[0] == signatures[n]).mean() - pairs[n - 1][1] for n in range(1, len(texts))]
    # 512 hashes: a standard error of at most 0.022 each; their mean must not lean to a side.
    assert max(map(abs, errors)) < 0.09
    assert abs(float(np.mean(errors))) < 0.01


@pytest.mark.parametrize(("threshold", "num_hashes"), [(0.75, 96), (0.85, 128), (0.5, 64), (0.05, 16)])
def test_bands_take_the_most_rows_that_keep_the_recall(threshold: float, num_hashes: int) -> None:
    def chance(bands: int, rows: int) -> float:
        return 1 - (1 - threshold**rows) ** bands

    bands, rows = minhash.bands_for(threshold, num_hashes, 0.99)
    assert bands * rows <= num_hashes
    assert rows == 1 or chance(bands, rows) >= 0.99
    assert all(chance(num_hashes // more, more) < 0.99 for more in range(rows + 1, num_hashes + 1))


def test_jaccard_of_sets_is_that_of_ngrams() -> None:
    one, two = words(50), words(50, start=7) + " w7 w8 w9 w10 w11"
    sets = minhash.shingle_sets([one, two, "short"], 5)
    assert minhash.jaccard(sets[0], sets[1]) == pytest.approx(true_jaccard(one, two, 5))
    assert minhash.jaccard(sets[2], sets[2]) == 0.0


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("wanted", [(0.85, 1.0), (0.3, 0.6)])
def test_planted_copies_have_the_similarity_that_is_asked_for(edit: str, wanted: tuple[float, float]) -> None:
    base = ". ".join(f"Sentence {n} says that {words(9, 20 * n)}" for n in range(20)) + "."
    found = plant(base, wanted, edit, words(300, 1000).split(), 5, ("plant", edit))
    assert found is not None
    text, similarity = found
    assert wanted[0] <= similarity <= wanted[1]
    assert similarity == true_jaccard(base, text, 5)
    if edit == "order":
        assert sorted(text.split()) == sorted(base.split())
    assert plant("three words only", wanted, edit, ["x"], 5, ("plant",)) is None
