"""ROUGE, both ways: properties and cases by hand; numbers of the real py-rouge are in the golden case."""

from __future__ import annotations

import math
from importlib.metadata import PackageNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from eval.py_rouge import _irregular_words, py_rouge
from eval.rouge import py_rouge_metrics, rouge
from s2s.data.words import words
from s2s.errors import InputError

VOCABULARY = ["the", "a", "cat", "cats", "sat", "were", "on", "wanna", "mat", "cannot", ".", ","]
texts = st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=9)


def test_irregular_words_are_looked_up_and_others_stemmed() -> None:
    said, meant = "the children were finding agreements", "the child be found agreement"
    assert py_rouge(said, meant)["rouge-1"] == {"f": 1, "p": 1, "r": 1}
    assert rouge([said], [meant], stem=True)[0].value() == pytest.approx(40)  # stems alone: the, agreement


def test_two_words_in_one_are_divided_except_cannot() -> None:
    assert py_rouge("gonna", "gon na")["rouge-1"]["f"] == 1
    assert py_rouge("cannot", "can not")["rouge-1"]["f"] == 0


def test_rouge_l_is_the_union_over_sentences() -> None:
    # Reference w1 w2 w3 w4 w5 against "w1 w2 w6 w7 w8" and "w1 w3 w8 w9 w5": w1 w2 and w1 w3 w5, in all 4 of 5 words
    # (the example of Lin, 2004); precision 4/10; both to the power 1/1.2.
    score = py_rouge("w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5", "w1 w2 w3 w4 w5")["rouge-l"]
    assert score["r"] == pytest.approx((4 / 5) ** (1 / 1.2))
    assert score["p"] == pytest.approx((4 / 10) ** (1 / 1.2))


@given(said=texts, meant=texts)
def test_scores_lie_between_0_and_1_and_equal_texts_score_1(said: list[str], meant: list[str]) -> None:
    scores = py_rouge(" ".join(said), " ".join(meant))
    assert all(0 <= value <= 1 for score in scores.values() for value in score.values())
    whole = " ".join([*said, "cat"])
    assert py_rouge(whole, whole)["rouge-l"]["f"] == pytest.approx(1)


@given(said=texts, meant=texts)
def test_precision_and_recall_change_places_with_the_texts(said: list[str], meant: list[str]) -> None:
    there, back = (py_rouge(" ".join(a), " ".join(b)) for a, b in ((said, meant), (meant, said)))
    for name in ("rouge-1", "rouge-2"):
        assert there[name]["p"] == back[name]["r"]
        assert there[name]["f"] == pytest.approx(back[name]["f"])


def test_empty_hypothesis_scores_0_everywhere() -> None:
    for metric in [*rouge([""], ["some words"], stem=True), *py_rouge_metrics([""], ["some words"])]:
        assert metric.value() == 0


def test_lsum_appears_with_marked_sentences_and_does_not_mind_their_order() -> None:
    assert [metric.name for metric in rouge(["a b"], ["a b"], stem=False)] == ["ROUGE-1", "ROUGE-2", "ROUGE-L"]
    said, meant = ["late trains stop\nearly birds sing"], ["early birds sing\nlate trains stop"]
    scores = {metric.name: metric.value() for metric in rouge(said, meant, stem=True)}
    assert scores["ROUGE-Lsum"] == pytest.approx(100)
    assert scores["ROUGE-L"] == pytest.approx(50)


def test_treebank_names_of_brackets_count_for_nothing() -> None:
    assert rouge(["-LRB- cats -RRB- `` sat ''"], ["cats sat"], stem=False)[0].value() == pytest.approx(100)


def test_stems_only_where_asked() -> None:
    assert rouge(["connected"], ["connections"], stem=True)[0].value() == pytest.approx(100)
    assert rouge(["connected"], ["connections"], stem=False)[0].value() == 0


@pytest.mark.parametrize("stem", [True, False])
@given(tokens=texts)
def test_words_of_any_script_are_those_of_the_package_in_english(stem: bool, tokens: list[str]) -> None:
    said, meant = " ".join(tokens), "the cats_sat, on a connected mat!"
    ours = [metric.value() for metric in rouge([said], [meant], stem=stem, any_script=True)]
    package = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=stem).score(meant, said)
    assert ours == pytest.approx([100 * score.fmeasure for score in package.values()])


def test_other_scripts_are_words_too() -> None:
    assert words("Größe: 日本語 x_y") == ["größe", "日", "本", "語", "x", "y"]
    assert rouge(["быстрый редактор"], ["редактор"], any_script=True)[0].value() == pytest.approx(200 / 3)


def test_words_of_a_to_z_are_left_out_where_most_letters_are_others() -> None:
    for metrics in (rouge(["редактор"], ["редактор"]), py_rouge_metrics(["редактор"], ["редактор"])):
        assert all(math.isnan(metric.value()) and "most letters" in metric.note for metric in metrics)
    assert rouge(["редактор GNU"], ["an editor of GNU", "редактор GNU"][:1])[0].value() > 0


def test_missing_word_tables_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("eval.py_rouge.distribution", absent)
    _irregular_words.cache_clear()
    with pytest.raises(InputError, match=r'^py-rouge is not installed; it comes with pip install "unilatent\[eval\]"$'):
        _irregular_words()
