"""Speech from text and text from speech, learned by one LatentLM: each recording is said in an epoch, and heard.

    speaker t e x t start ⟂ ⟂ ⟂ ⟂ end        said, as in `latent.tasks.speech_synthesis`
    start ⟂ ⟂ ⟂ ⟂ end t e x t start          heard

⟂ holds a latent. Of what is heard, the text and the `start` after it are predicted, which ends every text; latents are
only read. Both directions have the same tokens, so a batch mixes them, and the loss is that of synthesis.

Source: LatentLM (arXiv 2412.08635): one model generates and understands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from latent.data.latent_store import LatentStore
from latent.data.vocabulary import SPEECH_START, SpeechVocabulary, heard_tokens
from latent.tasks.speech_synthesis import SpeechDataset, SpeechExample, SpeechSynthesis
from s2s.errors import ConfigError
from s2s.registry import register_task


class HeardDataset:
    """Utterances of a store to write down. Noise depends only on the seed, the epoch and the index."""

    def __init__(self, store: LatentStore, vocabulary: SpeechVocabulary, seed: int, fixed: bool) -> None:
        self._store, self._seed, self._fixed = store, seed, fixed
        self._texts = [[*vocabulary.text(said.text), SPEECH_START] for said in store.utterances]
        lengths = [said.frames + 2 + len(text) for said, text in zip(store.utterances, self._texts, strict=True)]
        self.lengths: NDArray[np.int64] = np.array(lengths, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._store)

    def example(self, index: int, epoch: int) -> SpeechExample:
        """See `s2s.tasks.base.Dataset`."""
        generator = np.random.default_rng([self._seed, 0 if self._fixed else epoch, index, 1])
        sound = self._store.facts.sample(self._store.mean(index), generator)
        heard = heard_tokens(len(sound))
        return SpeechExample(self._store.utterances[index].id, [*heard, *self._texts[index]], sound, len(heard))


class BothDirections:
    """Every utterance to say, then every utterance to write down."""

    def __init__(self, said: SpeechDataset, heard: HeardDataset) -> None:
        self._said, self._heard = said, heard
        self.lengths: NDArray[np.int64] = np.concatenate([said.lengths, heard.lengths])

    def __len__(self) -> int:
        return len(self.lengths)

    def example(self, index: int, epoch: int) -> SpeechExample:
        """See `s2s.tasks.base.Dataset`."""
        beyond = index - len(self._said)
        return self._said.example(index, epoch) if beyond < 0 else self._heard.example(beyond, epoch)


@register_task("speech_and_text")
class SpeechAndText(SpeechSynthesis):
    """Speech from text and text from speech, on the latents of an audio tokenizer."""

    def __init__(self, config: SpeechSynthesis.Config) -> None:
        for name in ("cues", "fixed_text_length"):
            if found := getattr(config, name):
                raise ConfigError(f"task.{name}: must be left out, a model that listens too has none, found {found}")
        super().__init__(config)
        self.vocabulary.written([])  # raises for a front end whose tokens are no text

    def dataset(self, split: str, seed: int) -> BothDirections:  # type: ignore[override]
        store, fixed = self._stores[split], split == "valid"
        return BothDirections(super().dataset(split, seed), HeardDataset(store, self.vocabulary, seed, fixed))
