"""A Transformer with an encoder for sources and a decoder that sees them by cross-attention (BART)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from s2s import hub
from s2s.checkpoint import check_fit
from s2s.config import Fact, Section, parse_section
from s2s.data.batch import PADDING, Batch, CopyBatch, SourceBatch, TokenBatch
from s2s.errors import ConfigError, InputError
from s2s.models.bart import SIZES, read_sizes, read_weights
from s2s.models.base import Model
from s2s.models.encoder_decoder_state import EncoderDecoderState
from s2s.models.initial_weights import fit_rows
from s2s.models.pretrained import resize_positions
from s2s.models.shifted import check_batch, check_vocabulary, start_token
from s2s.models.sizes import check_copied, check_heads, features_for, positions_for, refuse_others, vocabulary_for
from s2s.nn.attention import Attention
from s2s.nn.cache import Pool
from s2s.nn.copying import CopyHead, Copying, CopySources, joint_scores
from s2s.nn.crossing import DecoderBlock, crossing
from s2s.nn.linear import linear
from s2s.nn.packed import Precision, cache_dtype, pack, pack_linears
from s2s.nn.packing import Packing
from s2s.nn.tags import TagSection, pack_tags, tag_embeddings
from s2s.nn.temperature import NEUTRAL, AttentionTemperature, Factors, scaled
from s2s.nn.transformer import Block
from s2s.registry import register_model


@register_model("encoder_decoder")
class EncoderDecoder(Model):
    """A Transformer encoder and decoder with shared word embeddings, which are also the output matrix.

    Source: Vaswani et al. 2017 (arXiv 1706.03762) with the layers of BART (arXiv 1910.13461).
    """

    class Config(Section):
        """Options of the model. Sizes come from `init` or `like` if given, and default to a small Transformer."""

        init: hub.Name = None
        """Pretrained BART, weights and sizes: a folder, a run, or a name on the Hugging Face hub."""
        like: hub.Name = None
        """BART to take only the sizes from; the weights are random."""
        vocab_size: Fact[int] = Field(0, ge=0)
        """Size of the vocabulary; 0 takes that of the checkpoint or tokenizer."""
        hidden_size: int = Field(512, ge=1)
        """Hidden size of the layers."""
        encoder_layers: int = Field(6, ge=1, le=1000)
        """Number of layers that read the source."""
        decoder_layers: int = Field(6, ge=1, le=1000)
        """Number of layers that write the target."""
        num_heads: int = Field(8, ge=1)
        """Number of attention heads per layer."""
        intermediate_size: int = Field(2048, ge=1)
        """Inner size of the feed-forward networks."""
        max_positions: int = Field(512, ge=1)
        """Rows of the two position tables; if the task needs more, rows are repeated."""
        activation: Literal["gelu", "gelu_tanh", "relu", "silu"] = "gelu"
        """Activation of the feed-forward networks."""
        layer_norm_eps: Fact[float] = Field(1e-5, gt=0)
        """Added to the variance in layer norms."""
        hidden_dropout: float = Field(0.1, ge=0, lt=1)
        """Dropout rate on embeddings and on the output of each sublayer."""
        attention_dropout: float = Field(0, ge=0, lt=1)
        """Dropout rate on attention weights. On a CPU 0 is much faster: only then the fast kernel is used."""
        initializer_range: Fact[float] = Field(0.02, ge=0)
        """Standard deviation of random weights."""
        features: TagSection = TagSection(size=16)
        """How the features of source tokens, which the task names, are read."""
        copies: bool = False
        """A copy head beside the vocabulary; task.copying implies it."""

        @property
        def copies_weights(self) -> bool:
            """Whether the model starts from weights of a checkpoint, not from its sizes alone."""
            return self.init is not None

    config: EncoderDecoder.Config
    _cache_dtype: torch.dtype | None = None

    def __init__(self, config: EncoderDecoder.Config) -> None:
        super().__init__(config)
        self.tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.tags = tag_embeddings(config.features, config.hidden_size)
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.copier = CopyHead(config.hidden_size) if config.copies else None
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.output: nn.Module | None = None
        self.apply(self._randomize)
        if self.tags is not None:
            self.tags.start_(config.initializer_range)

    def _randomize(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)

    def blocks(self) -> list[nn.Module]:
        return [*self.encoder.layers, *self.decoder.layers]

    @classmethod
    def resolve(cls, config: Any, defaults: dict[str, Any]) -> Any:
        refuse_others(defaults, {"vocab_size", "num_positions", "added_tokens", "features"})
        if config.init and config.like:
            raise ConfigError("model.init: give either init (weights and sizes) or like (sizes alone), found both")
        checkpoint, given = config.init or config.like, config.model_fields_set
        known = read_sizes(checkpoint) if checkpoint and not given >= set(SIZES) else {}
        check_copied(config, known)
        if known:
            values = {**known, **config.model_dump(exclude_unset=True)}
            config = parse_section(cls.Config, values, f"{checkpoint}: model")
        sizes: dict[str, Any] = {
            "vocab_size": vocabulary_for(config, given, known, defaults),
            "max_positions": positions_for(config, given, defaults.get("num_positions", 0)),
        }
        sizes["features"] = features_for(config, defaults)
        check_vocabulary(config.copies, sizes["vocab_size"], defaults)
        check_heads(config)
        return config.model_copy(update=sizes)

    # Training

    def check(self, batch: Batch) -> None:
        check_batch(batch, self.config.copies)

    def features(self, batch: TokenBatch) -> Tensor:
        x, target, _, _ = self._read(batch)
        return x[self._rows(batch, target)]

    def copying(self, batch: CopyBatch) -> tuple[Tensor, Copying]:
        """See `s2s.criteria.copying.Copier`."""
        assert self.copier is not None, "checked before the first update"
        x, target, memory, source = self._read(batch)
        rows = self._rows(batch, target)
        found = self.copier(target.pad(x), self.copier.sources(source.pad(memory), batch.copies))
        return x[rows], Copying(*(target.pack(part)[rows] for part in found))

    def _rows(self, batch: TokenBatch, target: Packing) -> Tensor:
        row = torch.div(batch.slots, batch.steps.shape[1], rounding_mode="floor")
        return target.rows_at(batch.slots - (row + 1) * batch.context)

    def _read(self, batch: TokenBatch) -> tuple[Tensor, Packing, Tensor, Packing]:
        """Hidden states of target rows and of source rows, `(N, hidden_size)`, each with its packing."""
        context = batch.context
        source = _packed(batch.steps[:, :context], batch.positions[:, :context], context)
        steps = batch.steps[:, context:]
        target = _packed(steps, (steps - 1).masked_fill(steps == PADDING, 0), 0)
        given = self._source_words(source, batch.tokens[:, :context], batch.tags)
        memory = self.encoder(given, source.positions, source.attention())
        words, own, across = (
            self._words(target, batch.tokens[:, context:]),
            target.attention(),
            crossing(target, source),
        )
        x = self.decoder(words, target.positions, memory, lambda _: own, lambda _: across)
        return x, target, memory, source

    def _words(self, packing: Packing, tokens: Tensor) -> Tensor:
        return self.tokens(packing.pack(tokens))  # type: ignore[no-any-return]

    def _source_words(self, packing: Packing, tokens: Tensor, tags: Tensor | None) -> Tensor:
        words = self._words(packing, tokens)
        if self.tags is None:
            return words
        return self.tags(words, pack_tags(tags, packing))  # type: ignore[no-any-return]

    def logits(self, features: Tensor) -> Tensor:
        return linear(features, self.tokens.weight, self.bias) if self.output is None else self.output(features)

    def forward(self, batch: TokenBatch) -> Tensor:
        """Scores over the vocabulary at `batch.slots`, `(N, V)`."""
        return self.logits(self.features(batch))

    # Generation

    def check_lengths(self, lengths: Tensor, max_steps: int) -> None:
        """See `s2s.decoding.base.StepModel`: the source or the output may need too many positions."""
        for name, needed in (("the longest source", int(lengths.max())), ("the longest output", max_steps)):
            if needed > self.config.max_positions:
                raise InputError(f"{name} needs {needed} positions, the model has {self.config.max_positions}")

    def start(self, sources: SourceBatch, max_steps: int) -> EncoderDecoderState:
        """See `s2s.decoding.base.StepModel`."""
        return self._start(sources, max_steps, NEUTRAL)

    def start_tempered(
        self, sources: SourceBatch, max_steps: int, temperature: AttentionTemperature
    ) -> EncoderDecoderState:
        """See `s2s.decoding.search_config.TemperedModel`."""
        return self._start(sources, max_steps, temperature.factors(self.config.hidden_size // self.config.num_heads))

    @torch.no_grad()
    def _start(self, sources: SourceBatch, max_steps: int, factors: Factors) -> EncoderDecoderState:
        self.check_lengths(sources.lengths, max_steps)
        start = start_token(sources.feeding)
        positions = torch.arange(sources.tokens.shape[1], device=sources.tokens.device).expand_as(sources.tokens)
        real = positions < sources.lengths.unsqueeze(1)
        source = _packed(torch.where(real, 0, PADDING), positions, positions.shape[1])
        words = self._source_words(source, sources.tokens, sources.tags)
        attention = scaled(source.attention(), factors.source)
        memory = self.encoder(words, source.positions, attention)
        seen = torch.stack([source.pad(layer.cross.keys_values(memory)) for layer in self.decoder.decoders()], 1)
        seen = seen.to(self._cache_dtype or seen.dtype)
        heads, width = seen.shape[-2:]
        nothing = seen.new_empty(len(self.decoder.layers), 2, len(real), heads, 0, width)
        pool, most = Pool(nothing, real[:, :0], positions[:, :0]), self.config.max_positions
        following = torch.zeros_like(sources.lengths)
        copies = self._copies(source.pad(memory), sources)
        return EncoderDecoderState(pool, seen, real, following, start, max_steps, most, factors, copies)

    def _copies(self, memory: Tensor, sources: SourceBatch) -> CopySources | None:
        if self.copier is None or sources.copies is None:
            return None
        made: CopySources = self.copier.sources(memory, sources.copies)
        return made.limited(sources.tokens, self.config.vocab_size)

    @torch.no_grad()
    def step(self, state: EncoderDecoderState, tokens: Tensor | None) -> Tensor:
        return self.step_represented(state, tokens)[0]

    @torch.no_grad()
    def step_represented(self, state: EncoderDecoderState, tokens: Tensor | None) -> tuple[Tensor, Tensor]:
        """See `s2s.decoding.contrastive.RepresentingModel`."""
        positions = state.following.unsqueeze(1)  # (B, 1)
        fed = torch.full_like(positions, state.start) if tokens is None else tokens  # (B, K)
        fed = fed if state.copies is None else state.copies.read(fed, self.config.vocab_size)
        state.advance()
        own = state.pool.feed(positions, 1, state.steps_left, None)
        target = state.factors.target
        x = self.decoder(
            self.tokens(fed), positions.expand_as(fed), None, lambda layer: scaled(own(layer), target), state.across
        )
        if self.copier is None or state.copies is None:
            return self.logits(x), x
        return joint_scores(self.logits(x), self.copier(x, state.copies), state.copies), x

    def prepare(self, precision: Precision = "float32") -> None:
        pack_linears(self, precision)
        self.output = pack(self.tokens.weight, self.bias, precision)
        self._cache_dtype = cache_dtype(precision, self.tokens.weight, self.config.hidden_size // self.config.num_heads)

    # Weights

    def initialize(self) -> None:
        config, checkpoint = self.config, self.config.init
        if checkpoint is None:
            return
        state = read_weights(checkpoint)
        for name, tensor in state.items():
            if name.endswith(".positions.weight"):
                state[name] = resize_positions(tensor, config.max_positions)
            if name in ("tokens.weight", "bias"):
                state[name] = fit_rows(tensor, config.vocab_size, config.initializer_range)
        fresh = [name for name in self.state_dict() if name.startswith(("tags.", "copier."))]
        check_fit(checkpoint, state, self.state_dict(), may_lack=fresh)
        self.load_state_dict(state, strict=False)

    def keep_tokens(self, ids: Sequence[int]) -> None:
        """See `s2s.trim.Trimmable`."""
        rows = list(ids)
        self.tokens.weight = nn.Parameter(self.tokens.weight.detach()[rows], self.tokens.weight.requires_grad)
        self.tokens.num_embeddings = len(rows)
        self.bias = nn.Parameter(self.bias.detach()[rows], self.bias.requires_grad)
        self.config = self.config.model_copy(update={"vocab_size": len(rows)})


def _packed(steps: Tensor, positions: Tensor, context: int) -> Packing:
    return Packing(steps, positions, steps != PADDING, context)


class _Embedded(nn.Module):
    """What encoder and decoder begin with: words and positions, summed and normalized."""

    def __init__(self, config: EncoderDecoder.Config) -> None:
        super().__init__()
        self.positions = nn.Embedding(config.max_positions, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def embed(self, words: Tensor, positions: Tensor) -> Tensor:
        """Inputs `(..., hidden_size)` of the first layer."""
        return self.dropout(self.norm(words + self.positions(positions)))  # type: ignore[no-any-return]


class Encoder(_Embedded):
    """Layers that read the source."""

    def __init__(self, config: EncoderDecoder.Config) -> None:
        super().__init__(config)
        self.layers = nn.ModuleList(Block(*_sizes(config)) for _ in range(config.encoder_layers))

    def forward(self, words: Tensor, positions: Tensor, attention: Attention) -> Tensor:
        """Hidden states of words `(..., hidden_size)`, of the same shape."""
        x = self.embed(words, positions)
        for layer in self.layers:
            x = layer(x, attention)
        return x


class Decoder(_Embedded):
    """Layers that write the target."""

    def __init__(self, config: EncoderDecoder.Config) -> None:
        super().__init__(config)
        self.layers = nn.ModuleList(DecoderBlock(*_sizes(config)) for _ in range(config.decoder_layers))

    def decoders(self) -> list[DecoderBlock]:
        """The layers, by their type."""
        return [layer for layer in self.layers if isinstance(layer, DecoderBlock)]

    def forward(
        self,
        words: Tensor,
        positions: Tensor,
        memory: Tensor | None,
        attention: Callable[[int], Attention],
        across: Callable[[int], Attention],
    ) -> Tensor:
        """Hidden states of words `(..., hidden_size)`, of the same shape; attention to outputs and sources by layer."""
        x = self.embed(words, positions)
        for index, layer in enumerate(self.layers):
            x = layer(x, attention(index), memory, across(index))
        return x


def _sizes(config: EncoderDecoder.Config) -> tuple[int, int, int, str, float, float, float]:
    """The arguments of a layer."""
    return (
        config.hidden_size,
        config.num_heads,
        config.intermediate_size,
        config.activation,
        config.layer_norm_eps,
        config.hidden_dropout,
        config.attention_dropout,
    )
