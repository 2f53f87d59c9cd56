"""A Transformer that writes the melody of lyrics, note by note, with a pointer to the syllable that is sung.

Axes: B lines, S syllables, C notes of the context, N notes, K hypotheses.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from s2s.config import Fact, Section
from s2s.data.batch import SourceBatch
from s2s.data.melody_batch import Lyrics, LyricsBatch, MelodyBatch
from s2s.data.melody_vocabulary import REST_PITCH, STREAMS
from s2s.errors import ConfigError, InputError
from s2s.models.base import Model
from s2s.models.melody_state import MelodyState, constrain
from s2s.models.sizes import check_heads, refuse_others
from s2s.nn.attention import Attention, attend
from s2s.nn.cache import Pool
from s2s.nn.crossing import DecoderBlock, see_all
from s2s.nn.factored import FactoredHead
from s2s.nn.packed import Precision, pack_linears
from s2s.nn.transformer import Block
from s2s.registry import register_model

_FACTS = {"stream_sizes": "notes", "num_letters": "letters", "max_syllables": "lines", "max_notes": "melodies"}
_BOUNDARY = STREAMS.index("boundary")


@register_model("melody_transformer")
class MelodyTransformer(Model):
    """Lyrics and the notes before in, notes out: pitch, length given the pitch, end of the syllable given both.

    A note is predicted from the notes before it and from the syllable that it belongs to, as the ends of syllables
    before it say. No melody can have more or fewer syllables than its lyrics: see `s2s.models.melody_state`.
    Source: the task and the pointer of Bao et al. 2018 (arXiv 1809.04318), with Transformers in place of GRUs.
    """

    class Config(Section):
        """Options of the model; what the task fixes needs not be given."""

        stream_sizes: Fact[tuple[int, ...]] = ()
        """Pitches, lengths and boundaries that are known."""
        num_letters: Fact[int] = Field(0, ge=0)
        """Letters of lyrics that are known."""
        max_syllables: Fact[int] = Field(0, ge=0)
        """Maximum syllables of a line."""
        max_notes: Fact[int] = Field(0, ge=0)
        """Maximum notes of a line, and of its context."""
        hidden_size: int = Field(128, ge=1)
        """Hidden size of the layers."""
        encoder_layers: int = Field(2, ge=1, le=100)
        """Number of layers that read lyrics and context."""
        decoder_layers: int = Field(2, ge=1, le=100)
        """Number of layers that write notes."""
        num_heads: int = Field(4, ge=1)
        """Number of attention heads per layer."""
        intermediate_size: int = Field(256, ge=1)
        """Inner size of the feed-forward networks."""
        hidden_dropout: float = Field(0.3, ge=0, lt=1)
        """Dropout rate on embeddings, on the output of each sublayer and in the heads."""
        lyrics_dropout: float = Field(0.5, ge=0, le=1)
        """Share of the lines whose letters are hidden in training, so that tunes are not learned by their words."""
        initializer_range: Fact[float] = Field(0.02, ge=0)
        """Standard deviation of random weights."""

    config: MelodyTransformer.Config

    def __init__(self, config: MelodyTransformer.Config) -> None:
        super().__init__(config)
        size = config.hidden_size
        self.letters = nn.Embedding(config.num_letters, size)
        self.syllable_places = nn.Embedding(config.max_syllables, size)
        self.syllables_left = nn.Embedding(config.max_syllables + 1, size)
        self.notes = nn.ModuleList(nn.Embedding(count, size) for count in config.stream_sizes)
        self.notes_ago = nn.Embedding(config.max_notes, size)
        self.note_places = nn.Embedding(config.max_notes, size)
        self.begin = nn.Parameter(torch.zeros(size))
        sizes = (size, config.num_heads, config.intermediate_size, "gelu", 1e-5, config.hidden_dropout, 0.0)
        self.encoder = nn.ModuleList(Block(*sizes) for _ in range(config.encoder_layers))
        self.decoder = nn.ModuleList(DecoderBlock(*sizes) for _ in range(config.decoder_layers))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.sung = nn.Linear(size, size)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.head = FactoredHead(size, config.stream_sizes, config.hidden_dropout)
        self.apply(self._randomize)

    def _randomize(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)

    @classmethod
    def resolve(cls, config: Any, defaults: dict[str, Any]) -> Any:
        refuse_others(defaults, {*_FACTS, "vocab_size"})
        facts = {name: defaults[name] for name in _FACTS if name in defaults}
        for name, value in facts.items():
            given = getattr(config, name)
            if given and given != value:
                raise ConfigError(f"model.{name}: must be {value}, as the task's {_FACTS[name]} say, found {given}")
        found = config.model_copy(update=facts)
        if not all(getattr(found, name) for name in _FACTS):
            raise ConfigError("model.name: must be another, this one writes melodies and the task has none")
        check_heads(found)
        return found

    def blocks(self) -> list[nn.Module]:
        return [*self.encoder, *self.decoder]

    # Training

    def note_features(self, batch: MelodyBatch) -> Tensor:
        """See `s2s.criteria.factored_cross_entropy.StreamScorer`."""
        lyrics, notes = batch.lyrics, batch.notes
        memory, real = self._read(lyrics)
        pointers = (notes[..., _BOUNDARY].cumsum(1) - notes[..., _BOUNDARY]).clamp(max=memory.shape[1] - 1)
        before = self._embed_notes(notes)[:, :-1]
        before = torch.cat([self.begin.expand(len(notes), 1, -1), before], dim=1)
        places = torch.arange(notes.shape[1], device=notes.device).expand(notes.shape[:2])
        x = self._feed(before, places, pointers, lyrics.counts, memory)
        for layer in self.decoder:
            x = layer(x, _causal, memory, _over(real))
        return x

    def stream_logits(self, stream: int, features: Tensor, values: Tensor) -> Tensor:
        """See `s2s.criteria.factored_cross_entropy.StreamScorer`; a syllable never ends in a rest."""
        logits: Tensor = self.head(stream, features, values)
        if stream != _BOUNDARY:
            return logits
        impossible = torch.zeros_like(logits, dtype=torch.bool)
        impossible[..., 1] = values[..., 0] == REST_PITCH
        return logits.masked_fill(impossible, -math.inf)

    def _embed_notes(self, values: Tensor) -> Tensor:
        tables = zip(self.notes, values.unbind(-1), strict=True)
        return torch.stack([table(value) for table, value in tables]).sum(0)

    def _read(self, lyrics: Lyrics) -> tuple[Tensor, Tensor]:
        """States of syllables and of the notes before, `(B, S + C, D)`, and which of them are real, `(B, S + C)`."""
        letters = self.letters(lyrics.letters) * (lyrics.letters > 0).unsqueeze(-1)
        size, device = int(lyrics.counts.max()), letters.device
        if self.training:
            letters = letters * (torch.rand(len(letters), 1, 1, device=device) >= self.config.lyrics_dropout)
        owners = lyrics.owners.unsqueeze(-1).expand_as(letters)
        spelled = letters.new_zeros(len(letters), size, letters.shape[-1]).scatter_add(1, owners, letters)
        places = torch.arange(size, device=device)
        left = (lyrics.counts.unsqueeze(1) - places).clamp(min=0)
        syllables = spelled + self.syllable_places(places) + self.syllables_left(left)
        ago = lyrics.context_lengths.unsqueeze(1) - 1 - torch.arange(lyrics.context.shape[1], device=device)
        context = self._embed_notes(lyrics.context) + self.notes_ago(ago.clamp(min=0))
        x, real = torch.cat([syllables, context], dim=1), torch.cat([left > 0, ago >= 0], dim=1)
        x = self.dropout(self.encoder_norm(x))
        for layer in self.encoder:
            x = layer(x, _over(real))
        return x, real

    def _feed(self, before: Tensor, places: Tensor, pointers: Tensor, counts: Tensor, memory: Tensor) -> Tensor:
        """Inputs of the decoder, `(B, N, D)`: the note before, its place, and the syllable that is sung."""
        sung = memory.gather(1, pointers.unsqueeze(-1).expand(-1, -1, memory.shape[-1]))
        left = (counts.unsqueeze(1) - pointers).clamp(min=0)
        x = before + self.note_places(places) + self.syllables_left(left) + self.sung(sung)
        return self.dropout(self.decoder_norm(x))  # type: ignore[no-any-return]

    # Generation

    joins = False
    """Whether lines may join others under way: all write the same part of a note at a step."""

    def check_lengths(self, lengths: Tensor, max_steps: int) -> None:
        """See `s2s.decoding.base.StepModel`; `start` knows how many syllables there are."""

    @torch.no_grad()
    def start(self, sources: SourceBatch, max_steps: int) -> MelodyState:
        """See `s2s.decoding.base.StepModel`."""
        assert isinstance(sources, LyricsBatch), "made by the task of this model"
        budget = min((max_steps - 1) // len(STREAMS), self.config.max_notes)
        longest = int(sources.lyrics.counts.max())
        if longest > budget:
            raise InputError(
                f"a line of {longest} syllables needs as many notes, decoder.max_length={max_steps} allows {budget}"
            )
        memory, real = self._read(sources.lyrics)
        layers = [layer for layer in self.decoder if isinstance(layer, DecoderBlock)]
        seen = torch.stack([layer.cross.keys_values(memory) for layer in layers], 1)
        heads, width = seen.shape[-2:]
        nothing = seen.new_empty(len(layers), 2, len(real), heads, 0, width)
        pool = Pool(nothing, real[:, :0], torch.zeros_like(real[:, :0], dtype=torch.int64))
        return MelodyState.begin(pool, memory, seen, real, sources.lyrics.counts, budget)

    @torch.no_grad()
    def step(self, state: MelodyState, tokens: Tensor | None) -> Tensor:
        """See `s2s.decoding.base.StepModel`."""
        if tokens is not None:
            state.take(tokens, self.config.stream_sizes)
        if state.stream == 0:
            state.features = self._next(state)
        logits = self.stream_logits(state.stream, state.features, state.note)
        return constrain(state, logits, self.config.stream_sizes)

    def _next(self, state: MelodyState) -> Tensor:
        """Features of the next note of each hypothesis, `(B, K, D)`."""
        first = state.notes_done == 0
        before = self.begin.expand(*state.note.shape[:2], -1) if first else self._embed_notes(state.note)
        place = min(state.notes_done, self.config.max_notes - 1)
        places = torch.full_like(state.pointers, place)
        own = state.pool.feed(places[:, :1], 1, max(state.budget - place, 0))
        pointers = torch.minimum(state.pointers, state.counts.unsqueeze(1) - 1)
        x = self._feed(before, places, pointers, state.counts, state.memory)
        for index, layer in enumerate(self.decoder):
            x = layer(x, own(index), None, state.across(index))
        return x

    def prepare(self, precision: Precision = "float32") -> None:
        pack_linears(self, precision)


def _over(real: Tensor) -> Attention:
    """Attention of padded rows to all keys that are real, `(B, K)`."""

    def attention(queries: Tensor, keys_values: Tensor, dropout: float) -> Tensor:
        return see_all(queries, keys_values, real, dropout)

    return attention


def _causal(queries: Tensor, keys_values: Tensor, dropout: float) -> Tensor:
    """Attention of each row to itself and the rows before."""
    keys, values = keys_values.permute(2, 0, 3, 1, 4)
    return attend(queries.transpose(1, 2), keys, values, None, dropout, causal=True).transpose(1, 2)
