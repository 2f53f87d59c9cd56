"""LatentLM: one causal Transformer over tokens and latents, with a diffusion head that draws the next latent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from latent.data.batch import LatentSources, MixedSequences
from latent.data.latent_store import Latents
from latent.diffusion.schedule import NoiseSchedule, Prediction, ScheduleName
from latent.models.facts import check_divisors, facts_of_task
from latent.nn.cache import RowCache, extend
from latent.nn.diffusion_head import DiffusionHead
from latent.nn.statistics import NormalizedLatents
from latent.nn.transformer import CausalBlock, LayerAttention, causal_attention, ragged_attention, run_blocks
from latent.nn.writing import TextState, Writing, joined
from s2s import checkpoint
from s2s.config import Fact, Section
from s2s.data.batch import SourceBatch
from s2s.errors import ConfigError, InputError
from s2s.models.base import Model
from s2s.models.pretrained import whole_weights
from s2s.nn.adapters import AdapterSection
from s2s.nn.linear import remember_kernels
from s2s.nn.packed import Precision, pack_linears
from s2s.registry import MODELS, register_model


class HeadSection(Section):
    """Options of the diffusion head."""

    hidden_size: NonNegativeInt = 0
    """Width of the head; 0 takes the model's."""
    intermediate_size: NonNegativeInt = 0
    """Width inside its feed-forward networks; 0 takes three times its width."""
    num_layers: int = Field(default=4, ge=1, le=1000)
    """Number of feed-forward networks."""
    norm_eps: Fact[PositiveFloat] = 1e-5
    """Added to the mean square in its norms."""
    timestep_size: Fact[int] = Field(default=256, ge=2, multiple_of=2)
    """Size of the sinusoidal timestep embedding."""
    timestep_max_period: Fact[PositiveFloat] = 10_000
    """Longest period of that embedding, in steps divided by 2π."""
    input_bias: Fact[bool] = False
    """Whether the projection of the noisy latent has a bias."""


@dataclass
class MixedState:
    """What the model remembers of B sequences; the caller holds it.

    Args:
        cache: Keys and values.
        hidden: Hidden state of the last position of each row, `(B, H)`, which predicts the next one.
    """

    cache: RowCache
    hidden: Tensor

    def keep(self, rows: Tensor) -> None:
        """Keep some rows `(B',)` int64, in this order."""
        self.cache.select(rows)
        self.hidden = self.hidden.index_select(0, rows)

    def add(self, other: MixedState, order: Tensor) -> None:
        """Take in other rows; `order` `(B + B',)` int64 are indices into both, one after the other."""
        self.cache.add(other.cache, order)
        self.hidden = torch.cat([self.hidden, other.hidden]).index_select(0, order)


@register_model("latent_lm")
class LatentLM(NormalizedLatents, Model):
    """LatentLM: a causal Transformer over tokens and latents; diffusion predicts the next latent.

    Source: LatentLM (arXiv 2412.08635), section 2.1; layers as in VibeVoice (arXiv 2508.19205).
    """

    class Config(Section):
        """Options of LatentLM."""

        init: str | None = None
        """Run folder of a LatentLM of the same sizes, front end and speakers, whose weights and latent statistics
        training starts from."""
        vocab_size: Fact[NonNegativeInt] = 0
        """Number of tokens, with those that switch between text and latents; 0 takes the task's."""
        latent_size: Fact[NonNegativeInt] = 0
        """Numbers per latent; 0 takes the task's."""
        latent_mean: Fact[float | None] = None
        """Mean of all numbers of the training latents, for their normalization; none takes the task's."""
        latent_std: Fact[PositiveFloat | None] = None
        """Standard deviation of these numbers; none takes the task's."""
        max_positions: PositiveInt = 8192
        """Maximum number of tokens and latents in a sequence."""
        hidden_size: PositiveInt = 512
        """Width of the layers."""
        num_layers: int = Field(default=8, ge=1, le=1000)
        """Number of layers."""
        num_heads: PositiveInt = 8
        """Attention heads of queries."""
        num_kv_heads: PositiveInt = 2
        """Attention heads of keys and values, a divisor of `num_heads`."""
        intermediate_size: PositiveInt = 1408
        """Width inside the feed-forward networks."""
        rope_theta: PositiveFloat = 1e6
        """Base of the rotary frequencies."""
        norm_eps: Fact[PositiveFloat] = 1e-6
        """Added to the mean square in the norms."""
        qkv_bias: bool = False
        """Whether queries, keys and values have a bias."""
        tie_embeddings: bool = True
        """Score tokens with their embeddings."""
        connector: Literal["linear", "mlp"] = "linear"
        """How latents enter: one matrix, or two with a norm between (VibeVoice)."""
        dropout: float = Field(default=0.0, ge=0, lt=1)
        """Rate on the output of attention and feed-forward networks."""
        latent_dropout: float = Field(default=0.0, ge=0, lt=1)
        """Share of the input latents that training replaces by their mean, so that the model predicts the next one from
        the text too, not from the last ones alone. Small data needs it."""
        head: HeadSection = HeadSection()
        """The diffusion head."""
        schedule: ScheduleName = "cosine"
        """Noise schedule."""
        prediction: Prediction = "v"
        """What the diffusion head predicts."""
        initializer_range: Fact[PositiveFloat] = 0.02
        """Standard deviation of initial weights."""
        adapters: AdapterSection | None = None
        """Train low-rank adapters of `init` in place of its weights."""

    config: LatentLM.Config

    def __init__(self, config: LatentLM.Config) -> None:
        super().__init__(config)
        hidden = config.hidden_size
        self.embeddings = nn.Embedding(config.vocab_size, hidden)
        connect = Connector if config.connector == "mlp" else nn.Linear
        self.connector: nn.Module = connect(config.latent_size, hidden)
        self.layers = nn.ModuleList(make_block(config) for _ in range(config.num_layers))
        self.norm = nn.RMSNorm(hidden, config.norm_eps)
        self.scores = None if config.tie_embeddings else nn.Linear(hidden, config.vocab_size, bias=False)
        self.apply(self._randomize)
        self.head = make_head(config)
        self.schedule = NoiseSchedule.named(config.schedule)
        self._keep_statistics(config.latent_mean, config.latent_std)

    @classmethod
    def resolve(cls, config: Any, defaults: dict[str, Any]) -> Any:
        for name in sorted(defaults.keys() - {*cls.Config.model_fields, "num_positions", "grid_size"}):
            able = [other for other in MODELS.names() if name in cast(Any, MODELS[other]).Config.model_fields]
            raise ConfigError(f"model.name: must be {' or '.join(map(repr, able))}, which the task's {name!r} is for")
        filled = facts_of_task(config, defaults, ("vocab_size", "latent_size", "latent_mean", "latent_std"))
        needed = defaults.get("num_positions", 0)
        if config.max_positions < needed:
            raise ConfigError(f"model.max_positions: must be at least {needed}, found {config.max_positions}")
        check_divisors(config, hidden_size="num_heads", num_heads="num_kv_heads")
        return config.model_copy(update=filled)

    def initialize(self) -> None:
        if self.config.init is not None:
            checkpoint.load_weights(self, whole_weights(Path(self.config.init)))

    def prepare(self, precision: Precision = "float32") -> None:
        remember_kernels()
        pack_linears(self.layers, precision)
        pack_linears(self.connector, precision)
        self.head.prepare(precision)

    def blocks(self) -> list[nn.Module]:
        return list(self.layers)

    def matrices(self) -> dict[str, dict[str, int]]:
        """See `s2s.models.base.Model`; public names are those of Qwen2 in `transformers`."""
        config = self.config
        hidden, inner = config.hidden_size, config.intermediate_size
        shared = hidden // config.num_heads * config.num_kv_heads
        parts = {
            "qkv": {"self_attn.q_proj": hidden, "self_attn.k_proj": shared, "self_attn.v_proj": shared},
            "out": {"self_attn.o_proj": hidden},
            "gate_up": {"mlp.gate_proj": inner, "mlp.up_proj": inner},
            "down": {"mlp.down_proj": hidden},
        }
        return {
            f"layers.{layer}.{name}": {f"layers.{layer}.{part}": rows for part, rows in within.items()}
            for layer in range(config.num_layers)
            for name, within in parts.items()
        }

    # Training

    def hidden(self, batch: MixedSequences) -> Tensor:
        """Hidden states, `(B, T, hidden_size)`; padding does not change them, and its own are 0 on a CPU."""
        embedded, positions = self.embed(batch), batch.position_ids()
        if embedded.device.type != "cpu":
            return self.read(embedded, positions, lambda layer: causal_attention)
        # Without padding, which is a third of the slots where some examples have voice prompts and others have none.
        real = torch.arange(embedded.shape[1]) < batch.lengths.unsqueeze(1)  # (B, T)
        places = positions.expand(len(embedded), -1)[real].unsqueeze(0)
        attention = ragged_attention(batch.lengths.tolist())
        rows = self.read(embedded[real].unsqueeze(0), places, lambda layer: attention).squeeze(0)
        return rows.new_zeros(*real.shape, rows.shape[1]).masked_scatter(real.unsqueeze(-1), rows)

    def read(self, embedded: Tensor, positions: Tensor, attention: Callable[[int], LayerAttention]) -> Tensor:
        """Hidden states of inputs of the first layer, both `(B, T, hidden_size)`; see `run_blocks`."""
        return self.norm(run_blocks(self._blocks(), embedded, positions, self.config.rope_theta, attention))  # type: ignore[no-any-return]

    def logits(self, features: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Scores `(N, V)` of the whole vocabulary, or of some `tokens` `(V,)` alone, from hidden states `(N, H)`."""
        weight = self.embeddings.weight if self.scores is None else self.scores.weight
        return features @ (weight if tokens is None else weight.index_select(0, tokens)).t()

    def embed(self, batch: MixedSequences) -> Tensor:
        """Inputs of the first layer, `(B, T, hidden_size)`."""
        embedded = self.embeddings(batch.tokens)
        if not len(batch.latents):
            return embedded  # type: ignore[no-any-return]
        normalized = self.normalize(batch.latents)
        if self.training and self.config.latent_dropout:
            normalized = normalized * (torch.rand_like(normalized[:, :1]) >= self.config.latent_dropout)
        latents = self.embed_latents(normalized.to(embedded.dtype)).to(embedded.dtype)
        return embedded.flatten(0, 1).index_copy(0, batch.latent_slots, latents).view_as(embedded)  # type: ignore[no-any-return]

    def embed_latents(self, latents: Tensor) -> Tensor:
        """Inputs `(..., hidden_size)` of the first layer for normalized latents `(..., L)`."""
        return self.connector(latents)  # type: ignore[no-any-return]

    def plan(self, tokens: Sequence[int], speaker: int, voice: Latents | None = None) -> NDArray[np.float64] | None:
        """Durations in latents, `(N,)`, of N tokens from `timed_tokens`; None: this model does not predict them.

        Args:
            tokens: The text.
            speaker: The token of the speaker.
            voice: A stranger's voice prompt, `(F, L)`.
        """
        return None

    # Generation

    def prefill(self, prompts: MixedSequences, capacity: int) -> MixedState:
        """Read the prompts; the longest row may grow to `capacity` positions, the prompt included.

        Raises:
            InputError: the statistics of the latents are unknown, or the capacity is more than `max_positions`.
        """
        if not torch.isfinite(self.latent_scale):
            raise InputError("model: latent_mean and latent_std are unknown; this model has not been trained")
        if capacity > self.config.max_positions:
            raise InputError(f"model.max_positions is {self.config.max_positions}, {capacity} positions are asked for")
        embedded = self.embed(prompts)
        block = cast(CausalBlock, self.layers[0])
        cache = RowCache(
            len(self.layers), len(embedded), self.config.num_kv_heads, capacity, block.head_dim, like=embedded
        )
        positions = prompts.position_ids()
        hidden = self._extend(cache, embedded, positions)
        cache.grow(prompts.lengths, embedded.shape[1])
        rows = torch.arange(len(embedded), device=embedded.device)
        cache.shifts = positions.expand(len(embedded), -1)[rows, prompts.lengths - 1] + 1 - prompts.lengths
        return MixedState(cache, hidden[rows, prompts.lengths - 1])

    def next_inputs(self, latents: Tensor, streams: int, cues: Tensor | None) -> Tensor:
        """What `append` reads after latents have been drawn: embeddings `(streams * R, hidden_size)`.

        Args:
            latents: Normalized, `(R, L)`.
            streams: The streams of guidance that read them.
            cues: Cues of the latents to be drawn next, for a model with cues, `(S · R, C)` int64; of the first S
                streams, the others have none.
        """
        return self.embed_latents(latents.repeat(streams, 1))

    def append(self, state: MixedState, inputs: Tensor, active: Tensor | None = None) -> Tensor:
        """Append one token or latent to each row, or to the `active` ones `(B,)` bool; changes the state in place.

        `inputs` `(B, hidden_size)` come from `embeddings` or `embed_latents`. Returns the new `state.hidden`.
        """
        return self.append_many(state, inputs.unsqueeze(1), active)

    def append_many(self, state: MixedState, inputs: Tensor, active: Tensor | None = None) -> Tensor:
        """Append T tokens or latents to each row: `append` with inputs `(B, T, hidden_size)`."""
        batch, tokens = len(state.hidden), inputs.shape[1]
        hidden = self._extend(state.cache, inputs.expand(batch, -1, -1))[:, -1]
        if active is None:
            active = torch.ones(batch, dtype=torch.bool, device=inputs.device)
        state.cache.grow(tokens * active.long(), tokens)
        state.hidden = torch.where(active.unsqueeze(1), hidden, state.hidden)
        return state.hidden

    # Writing after latents

    def check_lengths(self, lengths: Tensor, max_steps: int) -> None:
        """See `s2s.decoding.base.StepModel`."""
        Writing(self).check_lengths(lengths + 1, max_steps)

    def start(self, sources: SourceBatch, max_steps: int) -> TextState:
        """See `s2s.decoding.base.StepModel`; each source is read alone, so that others change nothing."""
        assert isinstance(sources, LatentSources), "tasks of this model have no others"
        self.check_lengths(sources.lengths, max_steps)
        writing, told, states = Writing(self), self.embeddings.weight[sources.feeding.start], []
        for row, length in zip(self.embed(sources.sequences), sources.lengths.tolist(), strict=True):
            states.append(writing.empty(length + 1 + max_steps))
            writing.read(states[-1], torch.cat([row[:length], told.unsqueeze(0)]).unsqueeze(0))
        return joined(states)

    def step(self, state: TextState, tokens: Tensor | None) -> Tensor:
        """See `s2s.decoding.base.StepModel`."""
        return self.logits(state.hidden.unsqueeze(1) if tokens is None else Writing(self).write(state, tokens))

    def _extend(self, cache: RowCache, embedded: Tensor, positions: Tensor | None = None) -> Tensor:
        return self.norm(extend(self._blocks(), cache, embedded, self.config.rope_theta, positions))  # type: ignore[no-any-return]

    def _blocks(self) -> list[CausalBlock]:
        return cast(list[CausalBlock], list(self.layers))

    def _randomize(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


class Connector(nn.Module):
    """Two matrices with a norm between, from latents to the model's inputs.

    Source: `SpeechConnector` of `vibevoice-community/VibeVoice: vibevoice/modular/modeling_vibevoice.py`.
    """

    def __init__(self, latent_size: int, hidden_size: int) -> None:
        super().__init__()
        self.up = nn.Linear(latent_size, hidden_size)
        self.norm = nn.RMSNorm(hidden_size, 1e-6)
        self.out = nn.Linear(hidden_size, hidden_size)

    def forward(self, latents: Tensor) -> Tensor:
        """`(..., latent_size)` gives `(..., hidden_size)`."""
        return self.out(self.norm(self.up(latents)))  # type: ignore[no-any-return]


def make_block(config: LatentLM.Config) -> CausalBlock:
    """One layer of a model with that configuration."""
    return CausalBlock(
        config.hidden_size,
        config.num_heads,
        config.num_kv_heads,
        config.intermediate_size,
        config.norm_eps,
        config.qkv_bias,
        config.dropout,
    )


def make_head(config: LatentLM.Config) -> DiffusionHead:
    """The diffusion head of a model with that configuration."""
    head = config.head
    hidden = head.hidden_size or config.hidden_size
    return DiffusionHead(
        latent_size=config.latent_size,
        condition_size=config.hidden_size,
        hidden_size=hidden,
        intermediate_size=head.intermediate_size or 3 * hidden,
        num_layers=head.num_layers,
        norm_eps=head.norm_eps,
        timestep_size=head.timestep_size,
        timestep_max_period=head.timestep_max_period,
        input_bias=head.input_bias,
    )
