"""BLEU and chrF, the metrics of question generation, and what outputs look like."""

from __future__ import annotations

import math
import random

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from eval import question_generation
from eval.bleu import bleu_and_chrf
from eval.evaluation import lead
from eval.question_generation import bleu, group_by_source, rouge_l
from eval.surface import surface
from s2s.errors import InputError


def random_corpus(size: int) -> tuple[list[str], list[str]]:
    draw = random.Random(size)
    vocabulary = ["the", "a", "Debian", "tool", "for", "editing", "X11", "files,", "fast!", "(GTK)", "version"]
    corpus = [" ".join(draw.choices(vocabulary, k=draw.randint(1, 12))) for _ in range(2 * size)]
    return corpus[:size], corpus[size:]


def test_bleu_and_chrf_equal_sacrebleu() -> None:
    said, meant = random_corpus(30)
    bleu, chrf = bleu_and_chrf(said, meant)
    assert bleu.value() == pytest.approx(sacrebleu.corpus_bleu(said, [meant]).score, abs=1e-9)
    assert chrf.value() == pytest.approx(sacrebleu.corpus_chrf(said, [meant]).score, abs=1e-9)
    assert bleu.signature.startswith("nrefs:1|case:mixed|")


def test_bleu_4_has_no_smoothing_and_takes_the_closest_reference() -> None:
    # Hits: 6 words, 4 pairs (all but the-red), red-cat-so and cat-so-big. The closest length to 6 is 5, not 9.
    said, meant = ["is the red cat so big"], [["is the cat so big", "red cat so tiny and so a b c"]]
    row = bleu(said, meant).rows[0]
    assert list(row[:4]) == [6, 4, 2, 0]
    assert list(row[4:]) == [6, 5, 4, 3, 6, 5]
    assert bleu(said, meant).value() < 0.1


def test_bleu_4_by_hand() -> None:
    # Hits 4/5, 3/4, 2/3, 1/2; 5 words against 6: brevity exp(1 - 6/5).
    found = bleu(["a b c d x"], [["a b c d e f"]]).value()
    assert found == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25 * math.exp(-0.2), rel=1e-6)


def test_bleu_4_clips_by_the_most_frequent_reference() -> None:
    assert bleu(["the the the"], [["the cat", "the big the"]]).rows[0][0] == 2


def test_rouge_l_takes_best_precision_and_best_recall() -> None:
    # "a b c" against "a b" (2 common: p 2/3, r 1) and "a b c d e f" (3 common: p 1, r 1/2): p 1, r 1.
    assert rouge_l(["a b c"], [["a b", "a b c d e f"]]).value() == pytest.approx(100)
    expected = (1 + 1.44) * 0.5 * 0.25 / (0.25 + 1.44 * 0.5)  # p 1/2, r 1/4
    assert rouge_l(["a x"], [["a b c d"]]).value() == pytest.approx(100 * expected)
    assert rouge_l([""], [["a"]]).value() == 0


def test_questions_of_one_source_are_one_group() -> None:
    assert group_by_source(["A b", "c", "a B "]) == [[0, 2], [1]]


def test_meteor_without_wordnet_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise LookupError

    class Corpus:
        class wordnet:
            ensure_loaded = staticmethod(missing)

    real = question_generation.load
    monkeypatch.setattr(
        question_generation, "load", lambda name, extra: Corpus if name == "nltk.corpus" else real(name, extra)
    )
    question_generation._wordnet.cache_clear()
    with pytest.raises(InputError, match=r"NLTK_DATA=DIR.*apt install wordnet-base") as failure:
        question_generation.meteor(["a"], [["a"]])
    assert "\n" not in str(failure.value)


def by_name(said: list[str], meant: list[str], sources: list[str] | None) -> dict[str, float]:
    return {metric.name: metric.value() for metric in surface(said, meant, sources)}


def test_surface_by_hand() -> None:
    found = by_name(
        ["A cat, a cat!", "a dog", "a dog", ""], ["a b", "c d", "e f", "g h"], ["the cat", "a", "a dog", "x"]
    )
    assert found["new 1-grams %"] == pytest.approx(100 * 3 / 8)  # a, a; dog
    assert found["new 2-grams %"] == pytest.approx(100 * 4 / 5)
    assert found["words"] == 2
    assert found["length %"] == 100
    assert found["repeated %"] == pytest.approx(100 * 1 / 5)
    assert found["duplicates %"] == 50
    assert found["empty %"] == 25


def test_novelty_needs_sources_and_nothing_is_new_in_a_copy() -> None:
    assert "new 1-grams %" not in by_name(["a"], ["a"], None)
    assert by_name(["b c"], ["a"], ["a b c"])["new 2-grams %"] == 0


def test_lead_bias_by_hand() -> None:
    """The source has six 2-grams, so its first third are "a b" and "b c"; "x y" stands there and later."""
    source = "a b c d e f g"
    lead, end = ["a b c"], ["d e f g"]
    assert by_name(lead, ["a"], [source])["lead bias %"] == 100
    assert by_name(end, ["a"], [source])["lead bias %"] == 0
    assert by_name(["A b, new words e f"], ["a"], [source])["lead bias %"] == 50
    assert by_name(["x y"], ["a"], ["x y b c x y g"])["lead bias %"] == 50
    assert math.isnan(by_name(["new words"], ["a"], [source])["lead bias %"])
    assert "lead bias %" not in by_name(["a b"], ["a"], None)


@given(st.integers(2, 40), st.data())
def test_copying_a_whole_source_has_no_lead_bias(length: int, data: st.DataObject) -> None:
    source = " ".join(data.draw(st.lists(st.sampled_from("abcdefgh"), min_size=length, max_size=length)))
    assert by_name([source], ["a"], [source])["lead bias %"] == pytest.approx(100 / 3)


@given(outputs=st.lists(st.text("ab ", max_size=8), min_size=1, max_size=6))
def test_shares_lie_between_0_and_100(outputs: list[str]) -> None:
    found = by_name(outputs, ["a b"] * len(outputs), ["b a"] * len(outputs))
    shares = [value for name, value in found.items() if name.endswith("%") and name != "length %"]
    assert all(math.isnan(share) or 0 <= share <= 100 for share in shares)


def test_lead_cuts_the_first_sentence() -> None:
    assert lead("One two three. Four five! Six.", sentences=1, words=2) == "One two"
    assert lead("One two three. Four five! Six.", sentences=2, words=0) == "One two three.\nFour five!"
    assert lead("version 2.5 of it runs. More.", sentences=1, words=12) == "version 2.5 of it runs."
    assert lead("a b [X_SEP] c d", sentences=1, words=0) == "a b"
