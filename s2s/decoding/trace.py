"""Everything a beam search saw, kept so that its outputs can be chosen, and chosen again by another ranking.

Example, K = 2, end token 9. Each row is a frame: the two hypotheses that survived a step, as (token, parent):

    frame 0   (5, 0)  (7, 0)
    frame 1   (9, 0)  (6, 1)     slot 0 ended: "5" with length 2
    frame 2   (8, 1)  (9, 1)     slot 1 ended: "7 6" with length 3; slot 0, "7 6 8", is open

If frame 2 is the last, the candidates are "5", "7 6 8" (cut) and "7 6".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from s2s.decoding.base import Hypothesis, distinct
from s2s.decoding.ranking import Ranking
from s2s.errors import InputError
from s2s.nn.cache import placed
from s2s.nn.precision import widened

_TABLES = ("scores", "tokens", "parents", "last")


@dataclass(frozen=True)
class Trace:
    """The frames of a beam search over B sentences: F steps, K survivors of each.

    Args:
        scores: Sums of log-probabilities, `(B, F, K)` float32; -inf in a slot that holds no hypothesis.
        tokens: The last token of each survivor, `(B, F, K)` int64.
        parents: The slot it continues in the frame before, `(B, F, K)` int64; 0 in frame 0.
        last: The frame at which each sentence was complete, `(B,)` int64; later ones mean nothing.
        end: The end-of-sequence token.
    """

    scores: Tensor
    tokens: Tensor
    parents: Tensor
    last: Tensor
    end: int

    @classmethod
    def empty(cls, sentences: int, steps: int, beam_size: int, end: int, device: torch.device) -> Trace:
        """A trace for `write` to fill; a sentence is complete at the last step unless `complete` sets another."""
        shape = (sentences, steps, beam_size)
        return cls(
            scores=torch.full(shape, -torch.inf, device=device),
            tokens=torch.zeros(shape, dtype=torch.int64, device=device),
            parents=torch.zeros(shape, dtype=torch.int64, device=device),
            last=torch.full((sentences,), steps - 1, device=device),
            end=end,
        )

    def write(self, sentences: Tensor, frames: Tensor, scores: Tensor, tokens: Tensor, parents: Tensor) -> None:
        """Fill in a frame of each of some sentences: `sentences` and `frames` are `(B',)`, the others `(B', K)`."""
        for table, values in ((self.scores, scores), (self.tokens, tokens), (self.parents, parents)):
            table[sentences, frames] = values

    def complete(self, sentences: Tensor, frames: Tensor, now: Tensor) -> None:
        """Make `frames` the last ones of those sentences for which `now` holds; all three are `(B',)`."""
        self.last[sentences] = torch.where(now, frames, self.last[sentences])

    def join(self, other: Trace, sentences: Tensor, numbers: Sequence[int]) -> Trace:
        """With some sentences `(B',)` of another trace, which get these numbers here."""
        joined: Any = {name: placed(getattr(self, name), getattr(other, name)[sentences], numbers) for name in _TABLES}
        return replace(self, **joined)

    def of(self, sentences: Tensor) -> Trace:
        """The trace of some sentences `(B',)`."""
        tables: Any = {name: getattr(self, name)[sentences] for name in _TABLES}
        return replace(self, **tables)

    def best(self, ranking: Ranking, count: int) -> list[list[Hypothesis]]:
        """The `count` best different hypotheses of each sentence, or fewer if there are not as many.

        Candidates are all that ended up to the last frame, and everything in the last frame. On ties the earlier frame
        wins, then the earlier slot. Source: `microsoft/unilm: s2s-ft/s2s_ft/modeling_decoding.py`.
        """
        num_frames = self.scores.shape[1]
        frame = torch.arange(num_frames, device=self.scores.device)[:, None]  # (F, 1)
        last = self.last[:, None, None]
        exists = self.scores.isfinite() & (frame <= last)
        candidate = exists & ((self.tokens == self.end) | (frame == last))
        ranks = ranking(widened(self.scores), widened(frame + 1).expand_as(self.scores))
        ranks = ranks.masked_fill(~candidate, -torch.inf).flatten(1)
        ranks, order = ranks.sort(dim=1, descending=True, stable=True)
        scores, tokens, parents = self.scores.tolist(), self.tokens.tolist(), self.parents.tolist()
        rows = []
        for row, (places, values) in enumerate(zip(order.tolist(), ranks.tolist(), strict=True)):
            chosen = ((place, rank) for place, rank in zip(places, values, strict=True) if rank != -torch.inf)
            found = (self._hypothesis(scores[row], tokens[row], parents[row], *item) for item in chosen)
            rows.append(distinct(found, count))
        return rows

    def _hypothesis(self, scores: Any, tokens: Any, parents: Any, place: int, rank: float) -> Hypothesis:
        frame, slot = divmod(place, self.scores.shape[2])
        log_prob = scores[frame][slot]
        path = []
        for step in range(frame, -1, -1):
            path.append(tokens[step][slot])
            slot = parents[step][slot]
        finished = path[0] == self.end
        return Hypothesis(path[::-1][:-1] if finished else path[::-1], log_prob, rank, finished)

    def records(self) -> list[dict[str, Any]]:
        """One JSON object a sentence, without the frames that mean nothing; null is a slot without a hypothesis."""
        rows = []
        for row, last in enumerate(self.last.tolist()):
            scores = self.scores[row, : last + 1].tolist()
            rows.append(
                {
                    "end": self.end,
                    "scores": [[None if score == -torch.inf else score for score in frame] for frame in scores],
                    "tokens": self.tokens[row, : last + 1].tolist(),
                    "parents": self.parents[row, : last + 1].tolist(),
                }
            )
        return rows

    @classmethod
    def from_record(cls, record: dict[str, Any], where: str) -> Trace:
        """The trace of one sentence, from an object of `records`; InputError if it is not one."""
        try:
            scores = [[-torch.inf if score is None else score for score in frame] for frame in record["scores"]]
            trace = cls(
                scores=torch.tensor([scores], dtype=torch.float32),
                tokens=torch.tensor([record["tokens"]], dtype=torch.int64),
                parents=torch.tensor([record["parents"]], dtype=torch.int64),
                last=torch.tensor([len(scores) - 1]),
                end=int(record["end"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where}: expected a trace with end, scores, tokens and parents ({error!r})") from None
        slots = trace.scores.shape[-1]
        same = trace.scores.shape == trace.tokens.shape == trace.parents.shape and trace.scores.dim() == 3
        if not same or trace.parents.min() < 0 or trace.parents.max() >= slots:
            raise InputError(f"{where}: scores, tokens and parents of a trace must be tables of one shape")
        return trace
