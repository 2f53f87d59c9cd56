"""Gaussian mixtures with diagonal covariances, one for each state of a hidden Markov model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_prep.aligners.features import Frames

_PRIOR_MEAN, _PRIOR_VARIANCE = 2.0, 10.0
"""Frames that what is known of all sounds counts for where a state has few of its own."""
_LEAST_VARIANCE = 0.01
_SPLIT = 0.2  # standard deviations

Values = NDArray[np.float64]


@dataclass
class Mixtures:
    """N mixtures of M components over frames of D numbers, which are about normal over all sounds.

    Args:
        means: `(N, M, D)`.
        variances: `(N, M, D)`.
        weights: `(N, M)`; those of a state add up to 1.
    """

    means: Values
    variances: Values
    weights: Values

    @classmethod
    def unknown(cls, states: int, size: int) -> Mixtures:
        """States of which nothing is known: each like all sounds."""
        return cls(np.zeros((states, 1, size)), np.ones((states, 1, size)), np.ones((states, 1)))

    def __len__(self) -> int:
        return len(self.means)

    @property
    def components(self) -> int:
        """M."""
        return int(self.means.shape[1])

    def scores(self, frames: Frames, states: NDArray[np.int64]) -> Frames:
        """Log likelihoods `(T, S)` of frames `(T, D)` in some states `(S,)`."""
        components = _densities(frames, *(values[states] for values in (self.means, self.variances, self.weights)))
        best: Frames = components.max(axis=2)
        if self.components > 1:
            best += np.log(np.exp(components - best[:, :, None]).sum(axis=2))
        return best

    def refit(self, frames: Frames, states: NDArray[np.int64], rounds: int = 1) -> None:
        """Fit to frames `(T, D)` and the state of each `(T,)`, by so many rounds of expectation maximization."""
        order = np.argsort(states, kind="stable")
        ends = np.searchsorted(states[order], np.arange(len(self) + 1))
        for state in range(len(self)):
            own = frames[order[ends[state] : ends[state + 1]]]
            for _ in range(rounds if len(own) else 0):
                self._refit_state(state, own.astype(np.float64))

    def split(self) -> None:
        """Twice as many components: each becomes two, a little apart."""
        apart = _SPLIT * np.sqrt(self.variances)
        self.means = np.concatenate([self.means - apart, self.means + apart], axis=1)
        self.variances = np.concatenate([self.variances] * 2, axis=1)
        self.weights = np.concatenate([self.weights / 2] * 2, axis=1)

    def _refit_state(self, state: int, frames: Values) -> None:
        """Maximum a posteriori, with all sounds (mean 0, variance 1) as the prior."""
        one = slice(state, state + 1)
        shares = _densities(frames, self.means[one], self.variances[one], self.weights[one])[:, 0].astype(np.float64)
        shares = np.exp(shares - shares.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        counts = shares.sum(axis=0)[:, None]
        sums, squares = shares.T @ frames, shares.T @ frames**2
        means = sums / (counts + _PRIOR_MEAN)
        spread = squares - 2 * means * sums + counts * means**2
        self.means[state] = means
        self.variances[state] = np.maximum((spread + _PRIOR_VARIANCE) / (counts + _PRIOR_VARIANCE), _LEAST_VARIANCE)
        self.weights[state] = (counts[:, 0] + 0.5) / (counts + 0.5).sum()


def _densities(frames: NDArray[np.floating], means: Values, variances: Values, weights: Values) -> Frames:
    """Weighted log densities `(T, S, M)` of frames `(T, D)`: one product of matrices for all."""
    states, components, size = means.shape
    constants = np.log(weights) - 0.5 * (
        (means**2 / variances).sum(axis=2) + np.log(variances).sum(axis=2) + size * np.log(2 * np.pi)
    )
    factors = np.concatenate([means / variances, -0.5 / variances], axis=2).reshape(states * components, 2 * size)
    found = np.concatenate([frames, frames**2], axis=1).astype(np.float32) @ factors.T.astype(np.float32)
    return (found + constants.reshape(-1).astype(np.float32)).reshape(-1, states, components)  # type: ignore[no-any-return]
