"""Learns how units sound from recordings and their texts alone: first guesses, then better ones, from best paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data_prep.aligners.features import Frames, Heard
from data_prep.aligners.mixtures import Mixtures
from data_prep.aligners.sounds import SILENCE, STATES, Chain, SoundModel, Sounds

_ROUNDS = (8, 3, 3, 3)
"""Rounds with 1, 2, 4 and 8 components."""
_FRAMES_PER_COMPONENT = 20
"""Fewer on average are too few for more components."""
_SPLIT_ROUNDS = 3
_QUIET, _LOUD = 0.15, 0.35
"""Where a frame lies between the quietest and the loudest of its recording, if it is surely silence, surely sound."""


class Example(NamedTuple):
    """A recording and what it says."""

    heard: Heard
    sounds: Sounds


def learn_sounds(examples: Sequence[Example]) -> SoundModel:
    """Learn from recordings; those that are too short for their text teach nothing.

    Args:
        examples: With normal frames: mean 0, variance 1 over all.
    """
    units = sorted({unit for example in examples for unit in example.sounds if unit is not None})
    count = 1 + STATES * len(units)
    size = examples[0].heard.frames.shape[1]
    model = SoundModel(units, Mixtures.unknown(count, size), np.full(count, 0.5))
    chains = [model.chain(example.sounds) for example in examples]
    everything = np.concatenate([example.heard.frames for example in examples])
    first = [_first_states(example.heard, chain) for example, chain in zip(examples, chains, strict=True)]
    model.mixtures.refit(everything, np.concatenate(first))
    with tqdm(total=sum(_ROUNDS), desc="learned", unit=" rounds", disable=None) as bar:
        for index, rounds in enumerate(_ROUNDS):
            if index:
                if len(everything) < 2**index * count * _FRAMES_PER_COMPONENT:
                    break
                model.mixtures.split()
            for turn in range(rounds):
                _improve(model, [example.heard.frames for example in examples], chains, 1 if turn else _SPLIT_ROUNDS)
                bar.update()
    return model


def _improve(model: SoundModel, recordings: Sequence[Frames], chains: Sequence[Chain], rounds: int) -> None:
    """Fit the model to its own best paths."""
    count = len(model.mixtures)
    heard: list[Frames] = []
    said: list[NDArray[np.int64]] = []
    visits = np.zeros(count)
    for frames, chain in zip(recordings, chains, strict=True):
        path = model.path(frames, chain)
        if path is not None:
            heard.append(frames)
            said.append(chain.states[path.places])
            visits += np.bincount(chain.states[np.unique(path.places)], minlength=count)
    if heard:
        states = np.concatenate(said)
        model.mixtures.refit(np.concatenate(heard), states, rounds)
        model.leaving = np.clip((visits + 1) / (np.bincount(states, minlength=count) + 2), 0.02, 0.98)


def _first_states(heard: Heard, chain: Chain) -> NDArray[np.int64]:
    """A first guess: all states of a text last equally long, from where sound begins to where it ends."""
    quietest, loudest = np.percentile(heard.loudness, [5, 95])
    level = (heard.loudness - quietest) / max(float(loudest - quietest), 1e-6)
    loud = np.flatnonzero(level > _LOUD)
    start, stop = (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, len(level))
    spoken = chain.states[chain.units >= 0]
    states = np.full(len(level), SILENCE)
    states[start:stop] = spoken[np.arange(stop - start) * len(spoken) // (stop - start)]
    states[level < _QUIET] = SILENCE
    return states
