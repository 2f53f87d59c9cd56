"""One Transformer that reads as a bidirectional encoder and writes as a generator (UniLM, s2s-ft)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from s2s import hub
from s2s.checkpoint import check_fit
from s2s.config import Fact, Section
from s2s.data.batch import PADDING, SourceBatch, TokenBatch
from s2s.errors import InputError
from s2s.models.base import Model
from s2s.models.initial_weights import choose_layers, fit_tables, without_others
from s2s.models.keymaps import bert_parts, from_bert_names, into_bert_names
from s2s.models.pretrained import read_weights
from s2s.models.sizes import resolve_sizes
from s2s.models.unilm_ends import Embeddings, Head
from s2s.models.unilm_layers import check_options, final_norm_of, make_layers, placing_of, relative_bias_of
from s2s.models.unilm_state import UniLMState
from s2s.nn.adapters import AdapterSection
from s2s.nn.attention import Attention, Rows, keeping
from s2s.nn.cache import Pool
from s2s.nn.disentangled import Distances
from s2s.nn.packed import Precision, cache_dtype, pack, pack_linears
from s2s.nn.packing import Packing
from s2s.nn.placing import Layers, Placing
from s2s.nn.tags import TagSection, pack_tags, tag_embeddings
from s2s.nn.temperature import NEUTRAL, AttentionTemperature, Factors, scaled
from s2s.nn.transformer import LayerStates, Noting, projections
from s2s.registry import register_model

logger = logging.getLogger(__name__)


@register_model("unilm")
class UniLM(Model):
    """A BERT-shaped encoder whose step codes say what each token sees, with a masked-language-model head.

    Source: UniLM (arXiv 1905.03197), UniLMv2 (arXiv 2002.12804), s2s-ft (arXiv 2110.13640).
    """

    class Config(Section):
        """Options of the model. Sizes come from `init` or `like` if given, and default to those of BERT base."""

        init: hub.Name = None
        """Pretrained checkpoint, weights and sizes: a folder, a file, a run, or a name on the Hugging Face hub."""
        like: hub.Name = None
        """Checkpoint to take only the sizes from; the weights are random but for `layers_from`."""
        layers_from: list[int] | None = Field(None, min_length=1)
        """Layers of `like` to copy, counted from 0, or from -1 for the last; embeddings and head come with them."""
        vocab_size: Fact[int] = Field(0, ge=0)
        """Size of the vocabulary; 0 takes that of the checkpoint or tokenizer."""
        hidden_size: int = Field(768, ge=1)
        """Hidden size of the layers."""
        num_layers: int = Field(12, ge=1, le=1000)
        """Number of layers."""
        num_heads: int = Field(12, ge=1)
        """Number of attention heads per layer."""
        intermediate_size: int = Field(3072, ge=1)
        """Inner size of the feed-forward networks."""
        max_positions: int = Field(512, ge=1)
        """Rows of the position table; if the task needs more, rows are repeated. Without a table, the longest input."""
        num_segments: Fact[int] = Field(2, ge=0)
        """Rows of the segment (token type) table; 0 for no table."""
        source_segment: Fact[int] = Field(0, ge=0)
        """Row of the segment table for the source."""
        target_segment: Fact[int] = Field(1, ge=0)
        """Row of the segment table for the target."""
        embedding_size: Fact[int] = Field(0, ge=0)
        """Size of the embeddings if it is not `hidden_size` (ELECTRA); 0 for the same."""
        relative_buckets: int = Field(0, ge=0, multiple_of=4)
        """Number of buckets of the relative position bias (UniLM v2: 32); 0 for none."""
        max_relative_distance: Fact[int] = Field(128, ge=0)
        """Distance from which on all share the last bucket."""
        rotary_base: Fact[float] = Field(0, ge=0)
        """Base of rotary positions, which take the place of the table (ModernBERT: 160000); 0 for none."""
        local_rotary_base: Fact[float] = Field(0, ge=0)
        """The same in layers with a window; 0 for the same base."""
        global_every: Fact[int] = Field(1, ge=1)
        """Of how many layers, from the first on, one has no window."""
        window: Fact[int] = Field(0, ge=0)
        """Width of the window of the other layers, half of it on each side; 0 for none."""
        distance_buckets: Fact[int] = Field(0, ge=0, multiple_of=4)
        """Buckets in each direction of disentangled attention, which takes the place of the table (DeBERTa: 256)."""
        norm_first: Fact[bool] = False
        """Normalize what each sublayer reads, and the last layer's output, instead of each sublayer's sum."""
        gated: Fact[bool] = False
        """Feed-forward networks with a gate (GeGLU)."""
        biases: Fact[bool] = True
        """Biases in layers, norms and the head; the scores of the vocabulary always have theirs."""
        neighbor_bias: float = Field(0, ge=0)
        """Initial relative bias of each head for one neighboring position, such as 4; 0 as published."""
        frequency_bias: bool = False
        """Start an untrained head with the token frequencies of the task's data, which saves updates."""
        activation: Literal["gelu", "gelu_tanh", "relu", "silu"] = "gelu"
        """Activation of the feed-forward networks."""
        layer_norm_eps: Fact[float] = Field(1e-12, gt=0)
        """Added to the variance in layer norms."""
        hidden_dropout: float = Field(0.1, ge=0, lt=1)
        """Dropout rate on embeddings and on the output of each sublayer."""
        attention_dropout: float = Field(0.1, ge=0, lt=1)
        """Dropout rate on attention weights. On a CPU 0 is much faster: only then the fast kernel is used."""
        initializer_range: Fact[float] = Field(0.02, ge=0)
        """Standard deviation of random weights."""
        freeze_embeddings: bool = False
        """Do not train the word embeddings, which are also the output matrix."""
        activation_checkpointing: bool = False
        """Recompute the layers in the backward pass, to save memory."""
        attention: Literal["auto", "flex"] = "auto"
        """Attention in training: by device, or FlexAttention (GPU only, no dropout on attention weights)."""
        features: TagSection = TagSection(size=16)
        """How the features of source tokens, which the task names, are read."""
        adapters: AdapterSection | None = None
        """Train low-rank adapters of `init` in place of its weights."""

        @property
        def copies_weights(self) -> bool:
            """Whether the model starts from weights of a checkpoint, not from its sizes alone."""
            return self.init is not None or self.layers_from is not None

        @property
        def position_table(self) -> bool:
            """Whether positions are added to the embeddings."""
            return not (self.rotary_base or self.distance_buckets)

    config: UniLM.Config
    layers_of = staticmethod(make_layers)
    _cache_dtype: torch.dtype | None = None

    def __init__(self, config: UniLM.Config) -> None:
        super().__init__(config)
        check_options(config)
        width = config.embedding_size or config.hidden_size
        self.embeddings = Embeddings(config, width)
        self.tags = tag_embeddings(config.features, width)
        self.relative_bias = relative_bias_of(config)
        self.distances = None
        if config.distance_buckets:
            sizes = config.hidden_size, config.distance_buckets, config.max_relative_distance
            self.distances = Distances(*sizes, config.layer_norm_eps, config.hidden_dropout)
        self.layers = self.layers_of(config)
        self.final_norm = final_norm_of(config)
        self.head = Head(config, width)
        self.apply(self._randomize)
        if self.tags is not None:
            self.tags.start_(config.initializer_range)
        nn.init.eye_(self.head.dense.weight)  # a fresh head compares the layers' output with the embeddings directly
        self.embeddings.tokens.weight.requires_grad_(not config.freeze_embeddings)

    def _randomize(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def blocks(self) -> list[nn.Module]:
        return list(self.layers)

    def matrices(self) -> dict[str, dict[str, int]]:
        return {name: bert_parts(name, self.get_parameter(f"{name}.weight")) for name in super().matrices()}

    @classmethod
    def resolve(cls, config: Any, defaults: dict[str, Any]) -> Any:
        return resolve_sizes(config, defaults)

    # Training

    def features(self, batch: TokenBatch) -> Tensor:
        slots, order = batch.slots.sort()
        packing, x = self._read(batch, len(self.layers) - 1)
        reading = packing.rows_at(slots)
        last = self._placing().attention(packing, reading, self.config.attention == "flex")
        layer = self.routed(batch, packing)[-1]
        hidden = self._closed(self._run(layer, x, last(len(self.layers) - 1), reading))
        return torch.empty_like(hidden).index_copy(0, order, hidden)

    def _read(self, batch: TokenBatch, depth: int) -> tuple[Packing, Tensor]:
        """The rows of a batch after the first `depth` layers, `(N, hidden_size)`."""
        packing, x, everything = self._begin(batch)
        for index, layer in enumerate(self.routed(batch, packing)[:depth]):
            x = self._run(layer, x, everything(index))
        return packing, x

    def routed(self, batch: TokenBatch | SourceBatch, packing: Packing) -> Any:
        """The layers, as the rows of a batch go through them."""
        return self.layers

    def _begin(self, batch: TokenBatch) -> tuple[Packing, Tensor, Layers]:
        """The rows of a batch, what the first layer reads, and the attention of each layer to all rows."""
        packing = Packing(batch.steps, batch.positions, batch.steps != PADDING, batch.context, batch.extents)
        x = self.embeddings(self.words(batch, packing), packing.positions, packing.pack(batch.segments))
        return packing, x, self._placing().attention(packing, flex=self.config.attention == "flex")

    def _closed(self, hidden: Tensor) -> Tensor:
        """The outputs of the last layer, as the head reads them."""
        return hidden if self.final_norm is None else self.final_norm(hidden)

    def _placing(self) -> Placing:
        return placing_of(self.config, self.relative_bias, self.distances, self.layers)

    @property
    def attention_sizes(self) -> tuple[int, int, int]:
        """See `s2s.criteria.relation_distillation.Attentive`."""
        return self.config.num_layers, self.config.num_heads, self.config.hidden_size

    def projections(self, batch: TokenBatch, layer: int) -> Tensor:
        """See `s2s.criteria.relation_distillation.Attentive`."""
        packing, x = self._read(batch, layer - 1)
        return packing.pad(projections(self.routed(batch, packing)[layer - 1], x))

    def layer_states(self, batch: TokenBatch, depth: int) -> LayerStates:
        """See `s2s.criteria.layerwise_distillation.Layered`."""
        packing, x, everything = self._begin(batch)
        hidden, vectors = [packing.pad(x)], []
        for index, layer in enumerate(self.routed(batch, packing)[:depth]):
            noting = Noting(everything(index))
            x = self._run(layer, x, noting)
            hidden.append(packing.pad(x))
            vectors.append(packing.pad(noting.vectors))
        return LayerStates(hidden, vectors)

    def words(self, batch: TokenBatch | SourceBatch, packing: Packing) -> Tensor:
        """What the rows of a batch hold, `(N, embedding_size)`, before positions and segments are added."""
        words = self.embeddings.tokens(packing.pack(batch.tokens))
        return words if self.tags is None else self.tags(words, pack_tags(batch.tags, packing))  # type: ignore[no-any-return]

    def logits(self, features: Tensor) -> Tensor:
        return self.head(features, self.embeddings.tokens.weight)  # type: ignore[no-any-return]

    def forward(self, batch: TokenBatch) -> Tensor:
        """Scores over the vocabulary at `batch.slots`, `(N, V)`."""
        return self.logits(self.features(batch))

    def encode(self, tokens: Tensor, lengths: Tensor, segments: Tensor | None = None) -> Tensor:
        """Hidden states of a bidirectional encoder, `(B, T, hidden_size)`, zero at padding.

        Args:
            tokens: Token ids, `(B, T)`, padded on the right.
            lengths: True lengths, `(B,)`.
            segments: 0 for source and 1 for target slots, `(B, T)`; all 0 if None.
        """
        positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        real = positions < lengths.unsqueeze(1)
        slots = real.flatten().nonzero().squeeze(1)
        steps = torch.where(real, 0, PADDING)
        segments = torch.zeros_like(tokens) if segments is None else segments
        batch = TokenBatch([], tokens, positions, segments, steps, tokens.shape[1], slots, slots, pad_id=0)
        rows = self.features(batch)
        padded = rows.new_zeros(tokens.numel(), rows.shape[1]).index_copy(0, slots, rows)
        return padded.view(*tokens.shape, -1)

    def _run(self, layer: Any, x: Tensor, attention: Attention, rows: Rows | None = None) -> Tensor:
        if self.config.activation_checkpointing and torch.is_grad_enabled():
            return checkpoint(layer, x, attention, rows, use_reentrant=False)  # type: ignore[no-any-return]
        return layer(x, attention, rows)  # type: ignore[no-any-return]

    # Generation

    def check_lengths(self, lengths: Tensor, max_steps: int) -> None:
        """See `s2s.decoding.base.StepModel`: a source and `max_steps` tokens may need too many positions."""
        needed = int(lengths.max()) + max_steps
        if needed > self.config.max_positions:
            raise InputError(
                f"the longest source and {max_steps} generated tokens need {needed} positions, "
                f"the model has {self.config.max_positions}; shorten the sources or the outputs"
            )

    def start(self, sources: SourceBatch, max_steps: int) -> UniLMState:
        """See `s2s.decoding.base.StepModel`."""
        return self._start(sources, max_steps, NEUTRAL)

    def start_tempered(self, sources: SourceBatch, max_steps: int, temperature: AttentionTemperature) -> UniLMState:
        """See `s2s.decoding.search_config.TemperedModel`."""
        factors = temperature.factors(self.config.hidden_size // self.config.num_heads)
        if self.distances is not None and factors != NEUTRAL:
            raise InputError("decoder.attention_temperature: must be neutral with disentangled attention (DeBERTa)")
        return self._start(sources, max_steps, factors)

    @torch.no_grad()
    def _start(self, sources: SourceBatch, max_steps: int, factors: Factors) -> UniLMState:
        tokens, lengths = sources.tokens, sources.lengths
        self.check_lengths(lengths, max_steps)
        positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        real = positions < lengths.unsqueeze(1)
        packing = Packing(sources.steps(), positions, real, sources.context)
        x = self.embeddings(self.words(sources, packing), packing.positions, torch.zeros_like(packing.positions))
        placing = self._placing()
        everything, stored = placing.attention(packing), placing.stored(packing)
        heads, width = self.config.num_heads, self.config.hidden_size // self.config.num_heads
        shape = len(self.layers), 2, len(tokens), heads, tokens.shape[1] + 1, width
        buffer = x.new_zeros(shape, dtype=self._cache_dtype)

        def keep(index: int, keys_values: Tensor) -> None:
            buffer[index, ..., :-1, :] = packing.pad(stored(index, keys_values)).permute(2, 0, 3, 1, 4)

        layers = self.routed(sources, packing)
        for index, layer in enumerate(layers[:-1]):
            x = layer(x, keeping(scaled(everything(index), factors.source), partial(keep, index)))
        keep(len(layers) - 1, layers[-1].keys_values(x))
        if factors.cross != factors.target:  # outputs ask with queries that are multiplied by the factor of targets
            buffer[:, 0] *= factors.cross / factors.target
        pool, most = Pool(buffer, real, positions), self.config.max_positions
        return UniLMState(pool, placing, lengths, sources.feeding, max_steps, most, factors.target)

    @torch.no_grad()
    def step(self, state: UniLMState, tokens: Tensor | None) -> Tensor:
        return self.logits(self._feed(state, tokens, slice(-1 if tokens is None else -tokens.shape[1], None)))

    @torch.no_grad()
    def step_represented(self, state: UniLMState, tokens: Tensor | None) -> tuple[Tensor, Tensor]:
        """See `s2s.decoding.contrastive.RepresentingModel`."""
        hypotheses = 1 if tokens is None else tokens.shape[1]
        rows = self._feed(state, tokens, slice(None))
        shown = rows if state.feeding.mask is None else rows[:, :-hypotheses]
        return self.logits(rows[:, -hypotheses:]), shown

    def _feed(self, state: UniLMState, tokens: Tensor | None, rows: slice) -> Tensor:
        """Hidden states of some of the rows that are fed, `(B, rows, hidden_size)`: of the tokens, then of masks."""
        following = state.following.unsqueeze(1)  # (B, 1)
        fed = state.feeding.fed(tokens, following)
        hypotheses, remembered = fed[0].shape[1], len(fed) - (state.feeding.mask is not None)
        positions = torch.cat([following - behind for behind in reversed(range(len(fed)))], dim=1)  # (B, G)
        state.advance()
        attention = state.placing.feed(state.pool, positions, remembered, state.steps_left)
        ids = torch.cat(fed, dim=1)  # (B, G K)
        x = self.embeddings.tokens(ids)
        x = x if self.tags is None else self.tags(x, None)
        x = self.embeddings(x, positions.repeat_interleave(hypotheses, 1), torch.ones_like(ids))
        for index, layer in enumerate(self.layers[:-1]):
            x = layer(x, scaled(attention(index), state.query_factor))
        return self._closed(self.layers[-1](x, scaled(attention(len(self.layers) - 1), state.query_factor), rows))

    def prepare(self, precision: Precision = "float32") -> None:
        pack_linears(self, precision, fused=self.distances is None)
        words = self.embeddings.tokens.weight
        self.head.output = pack(words, self.head.bias, precision)
        if self.distances is None:  # which ask keys for more than attention does
            self._cache_dtype = cache_dtype(precision, words, self.config.hidden_size // self.config.num_heads)

    # Weights

    def initialize(self) -> None:
        config = self.config
        source = config.init if config.layers_from is None else config.like
        if source is None:
            return
        state = read_weights(source)
        if config.layers_from is not None:
            state = choose_layers(state, config.layers_from, source)
        self.load_bert_state(fit_tables(state, config), where=source)

    def expect(self, token_counts: Callable[[], NDArray[np.int64]]) -> None:
        if self.config.frequency_bias and not self.head.bias.any():
            counts = torch.from_numpy(token_counts()).double()
            spare = len(self.head.bias) - len(counts)  # rows beyond the vocabulary
            counts = nn.functional.pad(counts, (0, spare)) + 1  # unseen tokens stay possible
            with torch.no_grad():
                self.head.bias.copy_((counts / counts.sum()).log())

    def keep_tokens(self, ids: Sequence[int]) -> None:
        """Cut the vocabulary, in place: the token i is the former token `ids[i]`. The scores of those kept stay."""
        rows, words = list(ids), self.embeddings.tokens
        words.weight = nn.Parameter(words.weight.detach()[rows], words.weight.requires_grad)
        words.num_embeddings = len(rows)
        self.head.keep(rows)
        self.config = self.config.model_copy(update={"vocab_size": len(rows)})

    def bert_state(self) -> dict[str, Tensor]:
        """The weights under BERT's names, as in `transformers`; the tied output matrix once."""
        state = {name: tensor.detach() for name, tensor in self.state_dict().items() if not name.startswith("tags.")}
        return into_bert_names(state)

    def load_bert_state(self, state: Mapping[str, Tensor], where: str = "checkpoint") -> None:
        """Load weights under BERT's names. A checkpoint without output head leaves the head random, with a warning.

        Args:
            state: Tensors by name; poolers, other heads, buffers and copies of tied weights are ignored.
            where: Their origin, for messages.

        Raises:
            InputError: see `s2s.checkpoint.check_fit`; or the output matrix differs from the word embeddings.
        """
        given = without_others(state, where)
        own = self.bert_state()
        head = {name for name in own if name.startswith("cls.")}
        headless = not head & given.keys()
        check_fit(where, given, own, may_lack=head if headless else ())
        if headless:
            logger.warning("%s has no masked-language-model head: the output head begins untrained", where)
        self.load_state_dict(from_bert_names(given), strict=False)
