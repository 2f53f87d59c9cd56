"""Training examples of a corpus of pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from s2s.data.copying import known
from s2s.data.corpus import Corpus
from s2s.data.layout import Layout, Method, Noise, around, copies_around, layout
from s2s.data.tokenizer import Tokenizer


class PairDataset:
    """Training examples of a corpus; the noise of one depends on (seed, epoch, index) alone.

    Args:
        extended: Whether the corpus holds extended ids, see `s2s.data.copying`.
    """

    def __init__(
        self,
        corpus: Corpus,
        method: Method,
        tokenizer: Tokenizer,
        limits: tuple[int, int],
        noise: Noise,
        seed: int,
        extended: bool = False,
    ) -> None:
        self._corpus = corpus
        self._method: Method = method
        self._tokenizer = tokenizer
        self._limits = limits
        self._noise = noise
        self._seed = seed
        self._extended = extended
        source = corpus.sources.lengths + (1 if method == "causal" else 2)
        target = corpus.targets.lengths + 1
        self.lengths = np.stack([source, target * (2 if method == "pseudo_masked" else 1)], axis=1)
        """Slots of the source and of the target blocks, `(N, 2)`."""
        self.num_cut = dict(zip(("source", "target"), corpus.num_cut, strict=True))

    def __len__(self) -> int:
        return len(self._corpus)

    def example(self, index: int, epoch: int) -> Layout:
        """One example, laid out."""
        generator = np.random.default_rng([self._seed, epoch, index])
        source, target = self._corpus.sources[index], self._corpus.targets[index]
        read, written = (known(ids, self._tokenizer) if self._extended else ids for ids in (source, target))
        made = layout(read, written, self._method, self._tokenizer.special, self._limits, self._noise, generator)
        tags = [table[index] for table in self._corpus.tags]
        made = replace(made, id=self._corpus.id(index), tags=around(tags, len(made.source)) if tags else None)
        if not self._extended:
            return made
        extended = np.append(target[: len(made.labels) - 1], self._tokenizer.special.sep).astype(np.int64)
        return replace(made, copies=copies_around(source, len(made.source)), extended=extended)
