"""CTC decoding with a language model of n-grams, which knows how words are spelled."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from latent.data.batch import LatentSources
from latent.data.written import written
from latent.decoding.ctc import FrameScorer
from latent.decoding.ngram import EDGE, NGrams
from latent.nn.ctc import by_recording
from s2s.config import Section
from s2s.data.batch import SourceBatch
from s2s.data.records import open_records
from s2s.decoding.base import Hypothesis, Search, TokenIds, no_tokens
from s2s.errors import ConfigError, InputError
from s2s.json_files import describe
from s2s.registry import register_decoder

Text = tuple[int, ...]


class _Paths(NamedTuple):
    """Log-probabilities of all paths that spell a text: of those that end in a blank, of the others; and the model's.

    Args:
        said: What the model of n-grams thinks of the text, weighted.
    """

    rested: float
    spoken: float
    said: float

    @property
    def heard(self) -> float:
        return _sum(self.rested, self.spoken)

    @property
    def score(self) -> float:
        return self.heard + self.said


@register_decoder("ctc_ngrams")
class CTCNGramSearch(Search):
    """The text that CTC and a model of n-grams find most probable together, for runs whose units are characters.

    After minutes of recordings CTC spells as words sound; texts, of which there are always more, know how they are
    written. Source: Hannun et al. (arXiv 1408.2873), prefix beam search.
    """

    class Config(Section):
        """Options of the search."""

        texts: str | None = None
        """Texts to count n-grams in: JSON lines or other records with the field `text`, or plain text."""
        language: str = "en"
        """Language of these texts; they become words in lower case, as recognizers write them."""
        order: PositiveInt = 6
        """Characters of an n-gram."""
        beam_size: PositiveInt = 16
        """Texts that are followed at once."""
        text_weight: float = Field(0.6, ge=0)
        """Weight of the log-probability of a text beside that of what was heard."""
        character_bonus: float = 0.6
        """Added for each character, since n-grams prefer short texts."""
        threshold: float = Field(1e-3, gt=0, lt=1)
        """Characters that are less probable at a latent are not tried there."""

    config: CTCNGramSearch.Config

    def __init__(self, config: Section, token_id: TokenIds = no_tokens) -> None:
        super().__init__(config, token_id)
        self._token_id = token_id

    @torch.inference_mode()
    def __call__(self, model: Any, sources: SourceBatch) -> list[list[Hypothesis]]:
        if not isinstance(model, FrameScorer) or not isinstance(sources, LatentSources):
            raise ConfigError("decoder.name: 'ctc_ngrams' is for models of the task 'speech_recognition'")
        log_probs = model.frame_scores(sources).log_softmax(-1, dtype=torch.float32)
        frames, lengths = by_recording(log_probs, sources.latent_slots, *sources.tokens.shape)
        blank = int(sources.tokens.flatten()[sources.latent_slots[0]])
        rows = zip(frames.double().cpu().numpy(), lengths.tolist(), strict=True)
        return [self._search(row[:length], blank) for row, length in rows]

    @cached_property
    def _grams(self) -> NGrams:
        """Counted at the first recording, since training opens searches that nobody asks."""
        config, texts = self.config, []
        if config.texts is None:
            raise ConfigError("decoder.texts: must be given, a file of texts to count n-grams in")
        for row in open_records(config.texts, text_record=lambda text: {"text": text}).rows():
            text = row.record().get("text")
            if not isinstance(text, str):
                raise InputError(f"{row.where}: 'text' must be a string, found {describe(text)}")
            texts.append(written(text, config.language, "words"))
        ids = {sign: self._id_of(sign) for sign in sorted(set("".join(texts)))}
        known = ([found for sign in text if (found := ids[sign]) is not None] for text in texts)
        return NGrams(known, config.order)

    def _id_of(self, sign: str) -> int | None:
        """The token of a character; None if the run does not have it."""
        try:
            return self._token_id(sign)
        except InputError:
            return None

    def _search(self, frames: NDArray[np.float64], blank: int) -> list[Hypothesis]:
        """The hypotheses of a recording from log-probabilities `(T, V)`, best first."""
        beam: dict[Text, _Paths] = {(): _Paths(0.0, -math.inf, 0.0)}
        for frame in frames:
            likely = np.flatnonzero(frame > math.log(self.config.threshold)).tolist()
            tried = [token for token in likely if token != blank and token in self._grams]
            grown = _grow(beam, frame.tolist(), blank, tried, self._said)
            best = sorted(grown, key=lambda text: grown[text].score, reverse=True)[: self.config.beam_size]
            beam = {text: grown[text] for text in best}
        weight = self.config.text_weight
        ended = {text: paths.score + weight * self._grams.log_prob(text, EDGE) for text, paths in beam.items()}
        ranked = sorted(ended, key=lambda text: ended[text], reverse=True)
        return [Hypothesis(list(text), beam[text].heard, ended[text], finished=True) for text in ranked]

    def _said(self, text: Text, token: int) -> float:
        """What a token adds to the score of a text, besides what was heard."""
        return self.config.text_weight * self._grams.log_prob(text, token) + self.config.character_bonus


def _grow(
    beam: dict[Text, _Paths], frame: list[float], blank: int, tried: list[int], said: Callable[[Text, int], float]
) -> dict[Text, _Paths]:
    """The texts of a beam after one more latent, with log-probabilities `(V,)`; `tried` are the tokens that may sound.

    Equal tokens in a row are one, unless a blank parts them.
    """
    grown: dict[Text, _Paths] = {}
    for text, paths in beam.items():
        last = text[-1] if text else blank
        same = paths.spoken + frame[last] if text else -math.inf
        _add(grown, text, _Paths(paths.heard + frame[blank], same, paths.said))
        for token in tried:
            before = paths.rested if token == last else paths.heard
            if before > -math.inf:
                longer = (*text, token)
                weight = grown[longer].said if longer in grown else paths.said + said(text, token)
                _add(grown, longer, _Paths(-math.inf, before + frame[token], weight))
    return grown


def _add(grown: dict[Text, _Paths], text: Text, more: _Paths) -> None:
    known = grown.get(text)
    if known is not None:
        more = _Paths(_sum(known.rested, more.rested), _sum(known.spoken, more.spoken), known.said)
    grown[text] = more


def _sum(first: float, second: float) -> float:
    """The logarithm of a sum of probabilities."""
    most, least = max(first, second), min(first, second)
    return most if least == -math.inf else most + math.log1p(math.exp(least - most))
