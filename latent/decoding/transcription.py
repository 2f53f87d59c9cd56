"""Writing down what was heard: greedy or beam search after prompts, stopped where a text goes in circles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field, PositiveFloat

from latent.decoding.repetition import loop_length
from latent.decoding.text_writer import ReadPrompts
from s2s.config import Section
from s2s.data.batch import SourceBatch
from s2s.decoding.base import Hypothesis, Search, StepModel
from s2s.decoding.beam import BeamSearch
from s2s.decoding.searching import Searching
from s2s.errors import ConfigError
from s2s.registry import register_decoder

Ending = Literal["model", "limit", "repetition"]
"""What ended a text: the model, the maximum number of tokens, or that it repeated itself."""

_LEAST_REPEATED = 96
_CHECK_EVERY = 16


@dataclass(frozen=True)
class Dictated(Hypothesis):
    """A text.

    Args:
        ending: What ended it.
        loop: How many tokens at its end only repeat others.
    """

    ending: Ending
    loop: int

    @property
    def warnings(self) -> list[str]:
        """What a reader should know."""
        told = {
            "repetition": f"the model repeated itself and was stopped; the last {self.loop} tokens are left out",
            "limit": f"the text was cut after {len(self.tokens)} tokens; see decoder.tokens_per_second",
        }
        return [told[self.ending]] if self.ending in told else []


@register_decoder("transcription")
class TranscriptionDecoder(Search):
    """Writes one text for each recording; a text does not depend on the others in its batch."""

    class Config(Section):
        """Options of transcription."""

        beam_size: int = Field(1, ge=1, le=100)
        """Hypotheses kept at each step; 1 is greedy search, as the released code does it."""
        length_penalty: float = Field(0.0, ge=0, le=20)
        """Above 0 a beam search favors long texts; see the decoder `beam`."""
        tokens_per_second: PositiveFloat = 12.0
        """A text is cut after so many tokens for each second of audio, and `extra_tokens`. People say three to six, and
        times and speakers need some too."""
        extra_tokens: int = Field(512, ge=0)
        """Tokens that a text may have whatever the length of its recording."""
        max_repeats: int = Field(8, ge=0)
        """A text that says the same so often in a row, and 96 tokens or more of it, is stopped there; 0 never stops."""
        noise: bool = False
        """Draw latents around their means, as the released code does, instead of reading the means. Then a
        transcription depends on `seed`."""
        seed: int = Field(0, ge=0, lt=2**63)
        """Of the noise."""

    config: TranscriptionDecoder.Config

    def limit(self, seconds: float, room: int) -> int:
        """Maximum number of tokens for a recording of that length, in a model with room for so many."""
        return max(1, min(room, self.config.extra_tokens + int(self.config.tokens_per_second * seconds)))

    @torch.inference_mode()
    def __call__(self, model: StepModel, sources: SourceBatch) -> list[list[Hypothesis]]:
        """The text after each prompt, a `Dictated`; the sources are `ReadPrompts`, the model is their `TextWriter`."""
        if not isinstance(sources, ReadPrompts):
            raise ConfigError(
                "decoder.name: 'transcription' is for VibeVoice-ASR, runs tuned from it, and runs of speech_and_text"
            )
        limits = sources.limits
        options: dict[str, Any] = {"max_length": max(limits), "beam_size": self.config.beam_size}
        search = BeamSearch(BeamSearch.Config(**options, length_penalty=self.config.length_penalty))
        searching = search.start(model, sources)
        stopped: dict[int, Ending] = {}
        step = 0
        while len(open := searching.step()):
            step += 1
            for number in open.tolist():
                ending = self._ending(searching, number, step, limits[number])
                if ending is not None:
                    stopped[number] = ending
                    _stop(searching, number, step)
        found = [hypotheses[0] for hypotheses in search.best(searching.trace)]
        return [[self._dictated(text, stopped.get(number))] for number, text in enumerate(found)]

    def _dictated(self, text: Hypothesis, stopped: Ending | None) -> Dictated:
        loop = self._loop(text.tokens) if stopped == "repetition" else 0
        ending = stopped or ("model" if text.finished else "limit")
        return Dictated(text.tokens, text.log_prob, text.score, text.finished, ending, loop)

    def _ending(self, searching: Searching, number: int, step: int, limit: int) -> Ending | None:
        """Why a text must end now, if it must."""
        if step >= limit:
            return "limit"
        if step % _CHECK_EVERY == 0:
            row = searching.beam.sentences.tolist().index(number)
            if self._loop(searching.beam.tokens[row, 0].tolist()):
                return "repetition"
        return None

    def _loop(self, tokens: list[int]) -> int:
        times = self.config.max_repeats
        return loop_length(tokens, times, _LEAST_REPEATED) if times else 0


def _stop(searching: Searching, number: int, step: int) -> None:
    """End a text after so many steps."""
    sentence = torch.tensor([number], device=searching.trace.last.device)
    searching.trace.complete(sentence, torch.full_like(sentence, step - 1), sentence >= 0)
    searching.drop(number)
