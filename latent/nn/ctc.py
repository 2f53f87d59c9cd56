"""CTC: scores of latents by recording, and how probable it is that a text begins with some tokens.

Axes: B recordings, T latents of the longest, K hypotheses of each, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from s2s.nn.precision import widened


def by_recording(scores: Tensor, slots: Tensor, rows: int, width: int) -> tuple[Tensor, Tensor]:
    """Scores `(M, V)` of the latents of a batch as `(B, T, V)`, 0 after the end, and the lengths `(B,)`.

    Args:
        slots: Flat indices of the latents in `rows` of `width` slots; those of a row follow its first slot.
    """
    recordings, columns = torch.div(slots, width, rounding_mode="floor"), slots % width - 1
    lengths = torch.bincount(recordings, minlength=rows)
    padded = scores.new_zeros(rows, int(lengths.max()), scores.shape[1])
    return padded.index_put((recordings, columns), scores), lengths


class PrefixScores:
    """Log-probabilities by CTC that texts begin with the hypotheses of a search, or are these, whole.

    For each hypothesis h and time t it keeps the probability of all paths of the first t latents that spell h, ending
    with its last token or with a blank. A text begins with h and the token c if c follows such a path, at any t.

    Source: Watanabe et al., Hybrid CTC/attention architecture for end-to-end speech recognition (2017), algorithm 2.

    Args:
        log_probs: Of all tokens at each latent, `(B, T, V)`.
        lengths: Latents of each recording, `(B,)`.
        blank: The token that stands for no token.
    """

    def __init__(self, log_probs: Tensor, lengths: Tensor, blank: int) -> None:
        self._blank = blank
        over = torch.arange(log_probs.shape[1], device=lengths.device) >= lengths.unsqueeze(1)
        silent = torch.full_like(log_probs[0, 0], -torch.inf).index_fill(0, lengths.new_tensor([blank]), 0.0)
        self._frames = widened(torch.where(over.unsqueeze(-1), silent, log_probs))  # nothing but blanks after the end
        start = self._frames.new_zeros(len(lengths), 1)
        blanks = torch.cat([start, self._frames[..., blank].cumsum(1)], 1)
        self._spoken = torch.full_like(blanks, -torch.inf).unsqueeze(1)  # (B, K, T + 1), after t latents
        self._rested = blanks.unsqueeze(1)
        self._last = torch.full_like(lengths.unsqueeze(1), blank)  # (B, K); no token yet
        self._prefixes = start  # (B, K)
        self._following = self._of_following()

    def scores(self, end: int) -> Tensor:
        """What each next token adds to the log-probability of a hypothesis, `(B, K, V)`: none adds more than 0."""
        whole = torch.logaddexp(self._spoken[..., -1], self._rested[..., -1])
        reached = self._following.index_copy(-1, self._last.new_tensor([end]), whole.unsqueeze(-1))
        before = self._prefixes.unsqueeze(-1)
        impossible = (reached == -torch.inf) | (before == -torch.inf)
        return (reached - before).masked_fill(impossible, -torch.inf)

    def append(self, tokens: Tensor) -> None:
        """Add a token to each hypothesis, `(B, K)`."""
        before = self._before(tokens)
        heard = self._frames.gather(2, tokens.unsqueeze(1).expand(-1, self._frames.shape[1], -1)).transpose(1, 2)
        rests = self._frames[:, None, :, self._blank]
        nothing = torch.full_like(self._prefixes, -torch.inf)
        spoken, rested = [nothing], [nothing]
        for time in range(self._frames.shape[1]):
            rested.append(torch.logaddexp(rested[time], spoken[time]) + rests[..., time])
            spoken.append(torch.logaddexp(spoken[time], before[..., time]) + heard[..., time])
        self._spoken, self._rested = torch.stack(spoken, -1), torch.stack(rested, -1)
        self._prefixes = self._following.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
        self._last = tokens
        self._following = self._of_following()

    def select(self, sentences: Tensor | None, parents: Tensor) -> None:
        """See `s2s.decoding.base.State`."""
        tables = ("_spoken", "_rested", "_last", "_prefixes", "_following")
        if sentences is not None:
            self._frames = self._frames.index_select(0, sentences)
        rows = torch.arange(len(parents), device=parents.device) if sentences is None else sentences
        for name in tables:
            setattr(self, name, getattr(self, name)[rows.unsqueeze(1), parents])

    def _before(self, tokens: Tensor) -> Tensor:
        """Log-probabilities of the paths after which tokens `(B, K)` may follow, before each latent, `(B, K, T)`."""
        spoken = self._spoken.masked_fill((tokens == self._last).unsqueeze(-1), -torch.inf)  # a blank must part equals
        return torch.logaddexp(spoken, self._rested)[..., :-1]

    def _of_following(self) -> Tensor:
        """Log-probabilities that a text begins with a hypothesis and a token, `(B, K, V)`; -inf for the blank."""
        anything = torch.full_like(self._last, self._blank)
        found = _sum_over_time(self._before(anything), self._frames)
        repeated = self._frames.gather(2, self._last.unsqueeze(1).expand(-1, self._frames.shape[1], -1)).transpose(1, 2)
        again = (self._before(self._last) + repeated).logsumexp(-1, keepdim=True)
        found = found.scatter(-1, self._last.unsqueeze(-1), again)
        return found.index_fill(-1, self._last.new_tensor([self._blank]), -torch.inf)


def _sum_over_time(before: Tensor, frames: Tensor) -> Tensor:
    """The logarithm of Σ_t exp(before_t + frames_t), `(B, K, V)`, of `(B, K, T)` and `(B, T, V)`, as one product."""
    most = before.amax(-1, keepdim=True).clamp(min=torch.finfo(before.dtype).min)
    return (before - most).exp().matmul(frames.exp()).log() + most
