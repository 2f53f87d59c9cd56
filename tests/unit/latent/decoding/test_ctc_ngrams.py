"""CTC with n-grams: the most probable text of all, found by a beam."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latent.decoding.ctc_ngrams import CTCNGramSearch
from latent.decoding.ngram import EDGE, NGrams
from s2s.errors import ConfigError, InputError

SIGNS = {"a": 1, "b": 2}
BLANK = 0


def search(texts: Path | None, **options: object) -> CTCNGramSearch:
    def token_id(sign: str) -> int:
        if sign not in SIGNS:
            raise InputError(f"{sign!r} is not one item of the vocabulary")
        return SIGNS[sign]

    config = CTCNGramSearch.Config(texts=None if texts is None else str(texts), **options)  # type: ignore[arg-type]
    return CTCNGramSearch(config, token_id)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("ab", "aab", "b", "Aba?")))
    return path


def collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(key for key, _ in itertools.groupby(path) if key != BLANK)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), length=st.integers(1, 5), weight=st.sampled_from([0.0, 0.5, 1.0]))
def test_a_wide_beam_finds_the_best_of_all_texts(texts: Path, seed: int, length: int, weight: float) -> None:
    generator = np.random.default_rng(seed)
    frames = np.log(generator.dirichlet(np.ones(3), length))
    options = {"order": 2, "beam_size": 500, "text_weight": weight, "character_bonus": 0.3, "threshold": 1e-12}
    made = search(texts, **options)
    heard: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(3), repeat=length):
        probability = math.exp(sum(frames[time, token] for time, token in enumerate(path)))
        heard[collapsed(path)] = heard.get(collapsed(path), 0.0) + probability
    grams = NGrams([[1, 2], [1, 1, 2], [2], [1, 2, 1]], 2)
    scores = {}
    for text, probability in heard.items():
        said = sum(grams.log_prob(text[:place], token) for place, token in enumerate((*text, EDGE)))
        scores[text] = math.log(probability) + weight * said + 0.3 * len(text)
    best, *_ = made._search(frames, BLANK)
    assert best.score == pytest.approx(max(scores.values()))
    assert best.log_prob == pytest.approx(math.log(heard[tuple(best.tokens)]))


@given(history=st.lists(st.sampled_from([1, 2]), max_size=4), order=st.integers(1, 4))
def test_probabilities_after_any_history_sum_to_one(history: list[int], order: int) -> None:
    grams = NGrams([[1, 2], [1, 1, 2], [2]], order)
    assert sum(math.exp(grams.log_prob(history, token)) for token in (1, 2, EDGE)) == pytest.approx(1)
    assert 3 not in grams


def test_what_was_counted_often_is_more_probable() -> None:
    grams = NGrams([[1, 2, 3]] * 9 + [[1, 3, 2]], 3)
    assert grams.log_prob([1], 2) > grams.log_prob([1], 3)
    assert grams.log_prob([1, 2], 3) > grams.log_prob([2], 3)


def test_texts_correct_what_sounds_alike(texts: Path) -> None:
    frames = np.log(np.array([[0.02, 0.96, 0.02], [0.1, 0.46, 0.44], [0.96, 0.02, 0.02]]))
    assert search(texts, text_weight=0.0, character_bonus=0.0)._search(frames, BLANK)[0].tokens == [1]
    assert search(texts, text_weight=1.0)._search(frames, BLANK)[0].tokens == [1, 2]


def test_texts_must_be_given_and_be_texts(tmp_path: Path) -> None:
    frames = np.log(np.full((2, 3), 1 / 3))
    with pytest.raises(ConfigError, match=r"decoder\.texts: must be given, a file of texts"):
        search(None)._search(frames, BLANK)
    with pytest.raises(InputError, match=r"gone\.jsonl"):
        search(tmp_path / "gone.jsonl")._search(frames, BLANK)
    (tmp_path / "wrong.jsonl").write_text('{"text": 3}\n')
    with pytest.raises(InputError, match=r"wrong\.jsonl:1: 'text' must be a string, found a number"):
        search(tmp_path / "wrong.jsonl")._search(frames, BLANK)
