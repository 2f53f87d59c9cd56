"""Speech from text and text from speech, learned by one LatentLM: each recording is said in an epoch, and heard.

    speaker t e x t start ⟂ ⟂ ⟂ ⟂ end        said, as in `latent.tasks.speech_synthesis`
    start ⟂ ⟂ ⟂ ⟂ end t e x t start          heard

⟂ holds a latent. Of what is heard, the text and the `start` after it are predicted, which ends every text; latents are
only read. Both directions have the same tokens, so a batch mixes them, and the loss is that of synthesis.

Source: LatentLM (arXiv 2412.08635): one model generates and understands.
"""

from __future__ import annotations

from latent.data.vocabulary import SPEECH_START, heard_tokens
from latent.tasks.both_directions import BothDirections, Described, ReadDataset
from latent.tasks.speech_synthesis import SpeechExample, SpeechSynthesis
from s2s.errors import ConfigError
from s2s.registry import register_task


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
        heard = [
            Described(index, said.id, said.frames, [*self.vocabulary.text(said.text), SPEECH_START])
            for index, said in enumerate(store.utterances)
        ]
        read = ReadDataset(store, heard, heard_tokens, SpeechExample, seed, fixed)
        return BothDirections(super().dataset(split, seed), read)
