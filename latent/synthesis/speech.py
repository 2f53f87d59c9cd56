"""The audio of one text, as Python gets it."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from latent.audio.files import Samples, write_audio
from latent.audio.watermark import Watermark
from latent.subtitles import Subtitle, Word
from s2s.packages import load


@dataclass(frozen=True)
class Speech:
    """Synthetic speech. In a notebook it shows as a player.

    Args:
        samples: `(S,)` float32, nominally in [-1, 1].
        sample_rate: In Hz.
        ended: False if the model did not end by itself, and the speech was truncated.
        spelled: Words that the voice does not know, and spelled out.
        guessed: Words that its dictionary lacks, and the phonemes that it said.
        tags: Metadata for files: that it is synthetic, by which model, with which seed, and when.
        sentences: When each sentence is said, for `latent.subtitles`; by voices with cues with the times of its words.
    """

    samples: Samples
    sample_rate: int
    ended: bool
    spelled: tuple[str, ...]
    guessed: Mapping[str, str]
    tags: Mapping[str, str]
    sentences: tuple[Subtitle, ...] = ()

    @property
    def words(self) -> list[Word]:
        """When each word of the text is said, in seconds; empty for voices without cues, which do not know."""
        return [word for sentence in self.sentences for word in sentence.words]

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / self.sample_rate

    def save(self, path: str | Path, *, watermark: bool = False) -> Path:
        """Write a .wav, .flac or .ogg file, whose metadata say that it is synthetic.

        Args:
            watermark: Mark the samples too; needs resemble-perth.

        Raises:
            InputError: another suffix, the file cannot be written, or resemble-perth is missing.
        """
        samples = Watermark.load()(self.samples, self.sample_rate) if watermark else self.samples
        write_audio(path, samples, self.sample_rate, self.tags)
        return Path(path)

    def _repr_html_(self) -> str:
        file = io.BytesIO()
        load("soundfile", "speak").write(file, self.samples, self.sample_rate, format="WAV")
        return f'<audio controls src="data:audio/wav;base64,{base64.b64encode(file.getvalue()).decode()}"></audio>'
