"""A LatentLM conditioned on the tokens that sound around the next latent; it predicts the durations of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from latent.data.batch import MixedSequences
from latent.data.cues import NO_CUE
from latent.data.latent_store import Latents
from latent.models.latent_lm import LatentLM
from s2s.config import Fact, Section
from s2s.errors import ConfigError
from s2s.registry import register_model


class DurationSection(Section):
    """Options of the network that predicts durations."""

    hidden_size: PositiveInt = 128
    """Width."""
    num_layers: int = Field(default=3, ge=1, le=1000)
    """Number of convolutions."""
    kernel_size: int = Field(default=5, ge=1)
    """Tokens that each convolution reads; odd."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout rate after each convolution."""


@register_model("timed_latent_lm")
class TimedLatentLM(LatentLM):
    """LatentLM with alignment conditioning: every latent is drawn with the tokens that sound around it.

    These cues (`latent.data.cues`) are added to the inputs of the slots that predict latents; text, speaker and voice
    prompt stand before the speech as in LatentLM. At synthesis a small network predicts the durations; those of a
    stranger also from the mean latent of the voice prompt.
    """

    class Config(LatentLM.Config):
        """Options of a LatentLM with cues."""

        cue_tokens: Fact[NonNegativeInt] = 0
        """Tokens in a cue; 0 takes the task's."""
        cue_size: PositiveInt = 64
        """Width of the embeddings of tokens in cues."""
        durations: DurationSection = DurationSection()
        """The network that predicts durations."""
        strangers: Fact[bool] = False
        """Whether durations follow voice prompts; takes the task's."""

    config: TimedLatentLM.Config

    def __init__(self, config: TimedLatentLM.Config) -> None:
        super().__init__(config)
        self.cue_embeddings = nn.Embedding(config.vocab_size, config.cue_size, padding_idx=NO_CUE)
        self.cue_projection = nn.Linear(config.cue_tokens * config.cue_size, config.hidden_size, bias=False)
        voice_size = config.latent_size if config.strangers else 0
        self.durations = DurationPredictor(config.vocab_size, voice_size, config.durations)
        self._randomize(self.cue_projection)  # embeddings keep their size 1: what they add is as large as a latent

    @classmethod
    def resolve(cls, config: Any, defaults: dict[str, Any]) -> Any:
        needed = defaults.get("cue_tokens", 0)
        if not needed:
            raise ConfigError("model.name: 'timed_latent_lm' needs a task with task.cues, found none")
        if config.cue_tokens not in (0, needed):
            raise ConfigError(f"model.cue_tokens: must be {needed} as task.cues makes them, found {config.cue_tokens}")
        config = config.model_copy(update={"cue_tokens": needed, "strangers": defaults.get("strangers", False)})
        if config.durations.kernel_size % 2 == 0:
            raise ConfigError(f"model.durations.kernel_size: must be odd, found {config.durations.kernel_size}")
        return super().resolve(config, defaults)

    def embed(self, batch: MixedSequences) -> Tensor:
        embedded = super().embed(batch)
        return embedded if batch.cues is None else embedded + self.embed_cues(batch.cues).to(embedded.dtype)

    def embed_cues(self, cues: Tensor) -> Tensor:
        """What cues `(..., C)` add to the inputs `(..., hidden_size)` of the first layer; 0 for `NO_CUE`."""
        return cast(Tensor, self.cue_projection(self.cue_embeddings(cues).flatten(-2)))

    def next_inputs(self, latents: Tensor, streams: int, cues: Tensor | None) -> Tensor:
        inputs = super().next_inputs(latents, streams, cues)
        assert cues is not None, "made for a model with cues"
        inputs[: len(cues)] += self.embed_cues(cues)
        return inputs

    def plan(self, tokens: Sequence[int], speaker: int, voice: Latents | None = None) -> NDArray[np.float64]:
        device = self.cue_projection.weight.device
        text, who = torch.tensor([tokens], device=device), torch.tensor([speaker], device=device)
        means = None if voice is None else torch.from_numpy(voice.mean(0, keepdims=True)).to(device)
        return self.predict_durations(text, who, means)[0].cpu().double().numpy()

    @torch.inference_mode()
    def predict_durations(self, tokens: Tensor, speakers: Tensor, voices: Tensor | None = None) -> Tensor:
        """Durations in latents, `(B, N)` float32; arguments as for `log_durations`."""
        return self.log_durations(tokens, speakers, voices).expm1().clamp(min=0)

    def log_durations(self, tokens: Tensor, speakers: Tensor, voices: Tensor | None = None) -> Tensor:
        """log(1 + latents) of tokens `(B, N)` of speakers `(B,)`, `(B, N)` float32.

        `voices` `(B, L)` are mean latents of voice prompts, NaN in rows that have none.
        """
        if voices is not None:
            voices = self.normalize(voices).nan_to_num(0).to(self.cue_projection.weight.dtype)
        return cast(Tensor, self.durations(tokens, speakers, voices)).float()


class DurationPredictor(nn.Module):
    """Durations of tokens from the tokens around them, the speaker, and `voice_size` numbers about the voice.

    `vocab_size` counts speakers too.

    Source: FastSpeech 2 (arXiv 2006.04558), section 2.3: convolutions with normalization, on the logarithm.
    """

    def __init__(self, vocab_size: int, voice_size: int, config: DurationSection) -> None:
        super().__init__()
        size = config.hidden_size
        self.embeddings = nn.Embedding(vocab_size, size, padding_idx=NO_CUE)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(size, size, config.kernel_size, padding=config.kernel_size // 2) for _ in range(config.num_layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(config.num_layers))
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(size, 1)
        self.voice = nn.Linear(voice_size, size, bias=False) if voice_size else None

    def forward(self, tokens: Tensor, speakers: Tensor, voices: Tensor | None = None) -> Tensor:
        """log(1 + latents) of tokens `(B, N)` of speakers `(B,)`; padding (0) does not change the others."""
        real = (tokens != NO_CUE).unsqueeze(-1)
        who = self.embeddings(speakers)
        if self.voice is not None and voices is not None:
            who = who + self.voice(voices)
        hidden = self.embeddings(tokens) + who.unsqueeze(1)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            mixed = convolution((hidden * real).transpose(1, 2)).transpose(1, 2)
            hidden = hidden + self.dropout(F.relu(norm(mixed)))
        return self.out(hidden).squeeze(-1)  # type: ignore[no-any-return]
