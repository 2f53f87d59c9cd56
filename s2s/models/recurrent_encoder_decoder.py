"""An encoder-decoder of GRUs with features of words, attention, maxout and copying (NQG)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from s2s.config import Fact, Section
from s2s.data.batch import PADDING, Batch, CopyBatch, SourceBatch, TokenBatch
from s2s.models.base import Model
from s2s.models.shifted import check_batch, check_vocabulary, start_token
from s2s.models.sizes import features_for, refuse_others, vocabulary_for
from s2s.nn.cache import placed
from s2s.nn.copying import Copying, CopySources, joint_scores
from s2s.nn.linear import Linear
from s2s.nn.masks import additive
from s2s.nn.packed import Precision, pack_linears
from s2s.nn.recurrent import MaxoutReadout, Output, RecurrentDecoder, RecurrentEncoder
from s2s.nn.tags import TagSection, tag_embeddings
from s2s.registry import register_model


@dataclass
class RecurrentState:
    """State while sentences are generated: B sentences, K hypotheses of each.

    Args:
        sources: Memory and keys of the sources, and what can be copied from them.
        real: Source slots that are not padding, `(B, S)` bool.
        hidden: The state of each hypothesis, `(B, K, D)`.
        context: What it attended to last, `(B, K, D)`.
        start: The token that is fed before the first one.
    """

    sources: CopySources
    real: Tensor
    hidden: Tensor
    context: Tensor
    start: int

    def select(self, sentences: Tensor | None, parents: Tensor) -> None:
        """See `s2s.decoding.base.State`."""
        if sentences is not None:
            self.sources.select(sentences)
            self.real = self.real.index_select(0, sentences)
            self.hidden, self.context = (table.index_select(0, sentences) for table in (self.hidden, self.context))
        rows = parents.unsqueeze(-1).expand(-1, -1, self.hidden.shape[-1])
        self.hidden, self.context = self.hidden.gather(1, rows), self.context.gather(1, rows)

    def join(self, other: RecurrentState, places: Sequence[int]) -> None:
        """See `s2s.decoding.base.JoinableState`."""
        width = max(self.real.shape[1], other.real.shape[1])
        mine, theirs = (F.pad(state.real, (0, width - state.real.shape[1])) for state in (self, other))
        self.real = placed(mine, theirs, places)
        self.sources.join(other.sources, places)
        self.hidden = placed(self.hidden, other.hidden, places)
        self.context = placed(self.context, other.context, places)


@register_model("recurrent_encoder_decoder")
class RecurrentEncoderDecoder(Model):
    """A GRU that reads in both directions, and one that writes with input feeding and attention; sizes as published.

    Source: Zhou et al. 2017 (arXiv 1704.01792) and its program, magic282/NQG. Each feature has a table of its own;
    there, those other than the answer's place share one. Attention is also what words are copied by.
    """

    class Config(Section):
        """Options of the model; the sizes are those of NQG."""

        vocab_size: Fact[int] = Field(0, ge=0)
        """Size of the vocabulary; 0 takes that of the tokenizer."""
        embedding_size: int = Field(300, ge=1)
        """Width of the embeddings of words."""
        hidden_size: int = Field(512, ge=2, multiple_of=2)
        """Width of states, attention and readout; the encoder has half of it in each direction."""
        share_embeddings: bool = False
        """One table for the words of sources and of targets, as NQG++ has."""
        hidden_dropout: float = Field(0.5, ge=0, lt=1)
        """Dropout rate on what words are predicted from."""
        features: TagSection = TagSection(join="concat", size=16)
        """How the features of source tokens, which the task names, are read; put beside, they are not projected."""
        copies: bool = False
        """Copy words by the attention; task.copying implies it."""

        @property
        def copies_weights(self) -> bool:
            """Whether the model starts from weights of a checkpoint: never."""
            return False

    config: RecurrentEncoderDecoder.Config

    def __init__(self, config: RecurrentEncoderDecoder.Config) -> None:
        super().__init__(config)
        words, width = config.embedding_size, config.hidden_size
        self.source_words = nn.Embedding(config.vocab_size, words)
        self.target_words = self.source_words if config.share_embeddings else nn.Embedding(config.vocab_size, words)
        self.tags = tag_embeddings(config.features, words, project=False)
        self.encoder = RecurrentEncoder(words if self.tags is None else self.tags.width, width)
        self.decoder = RecurrentDecoder(words, width)
        self.gate = Linear(2 * width, 1) if config.copies else None
        self.readout = MaxoutReadout(words + 2 * width, width, config.hidden_dropout)
        self.output = Linear(width // 2, config.vocab_size)
        self._start_()

    def _start_(self) -> None:
        """Xavier-normal matrices with a gain of sqrt(3), as in the program of NQG; biases and unused tags are 0."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_normal_(parameter, 3**0.5)
            else:
                nn.init.zeros_(parameter)
        for table in [] if self.tags is None else self.tags.tables:
            assert isinstance(table, nn.Embedding)
            with torch.no_grad():
                table.weight[0].zero_()

    @classmethod
    def resolve(cls, config: Any, defaults: dict[str, Any]) -> Any:
        refuse_others(defaults, {"vocab_size", "num_positions", "added_tokens", "features"})
        size = vocabulary_for(config, config.model_fields_set, {}, defaults)
        check_vocabulary(config.copies, size, defaults)
        return config.model_copy(update={"vocab_size": size, "features": features_for(config, defaults)})

    # Training

    def check(self, batch: Batch) -> None:
        check_batch(batch, self.config.copies)

    def features(self, batch: TokenBatch) -> Tensor:
        return self._read(batch)[0]

    def copying(self, batch: CopyBatch) -> tuple[Tensor, Copying]:
        """See `s2s.criteria.copying.Copier`."""
        features, output = self._read(batch)
        ids = batch.copies[torch.div(batch.slots, batch.steps.shape[1], rounding_mode="floor")]
        found = self._copying(Output(*(part.unsqueeze(1) for part in output)), ids)
        return features, Copying(*(part.squeeze(1) for part in found))

    def _read(self, batch: TokenBatch) -> tuple[Tensor, Output]:
        """Features `(N, D / 2)` at `batch.slots`, and what the decoder has there, `(N, ...)`."""
        context, length = batch.context, batch.steps.shape[1]
        real = batch.steps[:, :context] != PADDING
        memory, hidden = self._encode(batch.tokens[:, :context], batch.tags, real)
        words = self.target_words(batch.tokens[:, context:])
        made = self._teach(words, hidden.unsqueeze(1), memory, real)
        row = torch.div(batch.slots, length, rounding_mode="floor")
        column = batch.slots - row * length - context
        output = Output(*(torch.cat(parts, 1)[row, column] for parts in zip(*made, strict=True)))
        return self.readout(words[row, column], output.state, output.context), output

    def _teach(self, words: Tensor, state: Tensor, memory: Tensor, real: Tensor) -> list[Output]:
        """What the decoder has after each of the words `(B, T, E)`, which it is fed one by one."""
        keys, attended, made = self.decoder.key(memory), torch.zeros_like(state), list[Output]()
        for word in words.unbind(1):
            made.append(self.decoder(word.unsqueeze(1), state, attended, memory, keys, real))
            state, attended = made[-1].state, made[-1].context
        return made

    def _encode(self, tokens: Tensor, tags: Tensor | None, real: Tensor) -> tuple[Tensor, Tensor]:
        words = self.source_words(tokens)
        return self.encoder(words if self.tags is None else self.tags(words, tags), real.sum(1))  # type: ignore[no-any-return]

    def _copying(self, output: Output, ids: Tensor) -> Copying:
        """What is copied at outputs `(B, Q, ...)` from sources with extended ids `(B, S)`."""
        assert self.gate is not None, "checked before the first update"
        attention = output.energies + additive(ids >= 0, torch.float32).unsqueeze(1)
        gate = self.gate(torch.cat([output.state, output.context], -1)).squeeze(-1).float()
        return Copying(gate, attention.log_softmax(-1))

    def logits(self, features: Tensor) -> Tensor:
        return self.output(features)  # type: ignore[no-any-return]

    def forward(self, batch: TokenBatch) -> Tensor:
        """Scores over the vocabulary at `batch.slots`, `(N, V)`."""
        return self.logits(self.features(batch))

    # Generation

    def check_lengths(self, lengths: Tensor, max_steps: int) -> None:
        """See `s2s.decoding.base.StepModel`: nothing is too long for it."""

    @torch.no_grad()
    def start(self, sources: SourceBatch, max_steps: int) -> RecurrentState:
        """See `s2s.decoding.base.StepModel`."""
        start = start_token(sources.feeding)
        places = torch.arange(sources.tokens.shape[1], device=sources.tokens.device)
        real = places < sources.lengths.unsqueeze(1)
        memory, hidden = self._encode(sources.tokens, sources.tags, real)
        nothing = torch.full_like(sources.tokens, -1)
        ids = nothing if self.gate is None or sources.copies is None else sources.copies
        read = CopySources(memory, self.decoder.key(memory), ids).limited(sources.tokens, self.config.vocab_size)
        hidden = hidden.unsqueeze(1)
        return RecurrentState(read, real, hidden, torch.zeros_like(hidden), start)

    @torch.no_grad()
    def step(self, state: RecurrentState, tokens: Tensor | None) -> Tensor:
        return self.step_represented(state, tokens)[0]

    @torch.no_grad()
    def step_represented(self, state: RecurrentState, tokens: Tensor | None) -> tuple[Tensor, Tensor]:
        """See `s2s.decoding.contrastive.RepresentingModel`."""
        read = state.sources
        fed = (
            state.hidden.new_full(state.hidden.shape[:2], state.start, dtype=torch.int64) if tokens is None else tokens
        )
        words = self.target_words(read.read(fed, self.config.vocab_size))
        output = self.decoder(words, state.hidden, state.context, read.memory, read.keys, state.real)
        state.hidden, state.context = output.state, output.context
        features = self.readout(words, output.state, output.context)
        logits = self.logits(features)
        if self.gate is None:
            return logits, features
        return joint_scores(logits, self._copying(output, read.ids), read), features

    def prepare(self, precision: Precision = "float32") -> None:
        pack_linears(self, precision)

    # Weights

    def keep_tokens(self, ids: Sequence[int]) -> None:
        """See `s2s.trim.Trimmable`."""
        rows = list(ids)
        for table in {id(table): table for table in (self.source_words, self.target_words)}.values():
            table.weight = nn.Parameter(table.weight.detach()[rows], table.weight.requires_grad)
            table.num_embeddings = len(rows)
        for name, parameter in self.output.named_parameters():
            setattr(self.output, name, nn.Parameter(parameter.detach()[rows], parameter.requires_grad))
        self.output.out_features = len(rows)
        self.config = self.config.model_copy(update={"vocab_size": len(rows)})
