"""The search for captions follows the rule of BEiT-3, written out plainly."""

from __future__ import annotations

import pytest
import torch
from table_model import END, TableModel, sources_of

from s2s.decoding.caption_beam import CaptionBeamSearch

SIZE, STEPS = 6, 7


def by_the_rule(model: TableModel, source: int, beam: int, penalty: float) -> tuple[list[int], float]:
    """The best text and its score: continuations in their order, until as many go on as the beam has room for."""
    beams: list[tuple[list[int], float]] = [([], 0.0)]
    ended: list[tuple[list[int], float]] = []
    for step in range(1, STEPS + 1):
        found = []
        for words, total in beams:
            log_probs = model.row(source, words).log_softmax(-1)
            found += [(words, total + float(log_probs[word]), word) for word in range(SIZE)]
        found = sorted(found, key=lambda item: -item[1])[: 3 * beam]
        beams = []
        for words, total, word in found:
            if word == END or step == STEPS:  # at the end the word is lost, its probability is not
                ended.append((words, total / (len(words) + 2) ** penalty))
            else:
                beams.append(([*words, word], total))
            if len(beams) == beam:
                break
    return max(ended, key=lambda item: item[1])


@pytest.mark.parametrize("beam", [1, 2, 3])
@pytest.mark.parametrize("penalty", [0.0, 0.6, 2.0])
def test_captions_and_scores_are_those_of_the_rule(beam: int, penalty: float) -> None:
    options = {"beam_size": beam, "length_penalty": penalty, "max_length": STEPS, "min_length": 0}
    search = CaptionBeamSearch(CaptionBeamSearch.Config(**options))
    lengths = set()
    for seed in range(12):
        model, values = TableModel(SIZE, seed, sharpness=1.0), [3, 8, 20]
        for value, found in zip(values, search(model, sources_of(values)), strict=True):
            words, score = by_the_rule(model, value, beam, penalty)
            assert found[0].tokens == words
            assert found[0].score == pytest.approx(score, abs=1e-4)
            lengths.add(len(words))
    assert min(lengths) < STEPS - 1 == max(lengths) or not penalty, "some end, some are cut"


def test_a_beam_of_more_outputs_gives_the_best_different_ones() -> None:
    config = CaptionBeamSearch.Config(beam_size=3, num_hypotheses=3, max_length=STEPS)
    (found,) = CaptionBeamSearch(config)(TableModel(SIZE, 1), sources_of([4]))
    assert len({tuple(item.tokens) for item in found}) == len(found) == 3
    assert torch.tensor([item.score for item in found]).diff().le(0).all()
