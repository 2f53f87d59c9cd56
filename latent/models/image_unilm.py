"""UniLM whose sources are pictures: the decoder, masks and search of text, for what is seen."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from pydantic import NonNegativeInt
from torch import Tensor, nn

from latent.data.batch import NOT_SEEN, SeenBatch, SeenSources, picture_slots
from latent.models.beit3 import beit3_sizes, read_beit3
from latent.models.facts import facts_of_task
from latent.nn.patches import Patches
from s2s.checkpoint import check_fit
from s2s.config import Fact
from s2s.data.batch import SourceBatch, TokenBatch
from s2s.errors import ConfigError
from s2s.models.initial_weights import fit_rows
from s2s.models.sizes import check_copied
from s2s.models.unilm import UniLM
from s2s.models.unilm_layers import make_layers
from s2s.nn.linear import Linear
from s2s.nn.multiway import MultiwayBlock, Routed, Way, Ways
from s2s.nn.packed import Precision, pack_linears
from s2s.nn.packing import Packing
from s2s.registry import register_model

_FACTS = ("image_size", "patch_size", "channels")
_WIDTHS = ("hidden_size", "num_heads", "intermediate_size")
_OF_BLOCKS = (*_WIDTHS, "activation", "layer_norm_eps", "hidden_dropout", "attention_dropout", "gated", "biases")
_ONE_WAY = (
    "norm_first",
    "frequency_bias",
    "rotary_base",
    "distance_buckets",
    "embedding_size",
    "layers_from",
    "adapters",
)


class PlainHead(nn.Module):
    """A linear layer that scores the vocabulary, whose matrix is not the word embeddings."""

    def __init__(self, width: int, vocab_size: int) -> None:
        super().__init__()
        self.output = Linear(width, vocab_size)

    def forward(self, features: Tensor, words: Tensor) -> Tensor:
        """Scores `(..., V)` of features `(..., width)`."""
        return self.output(features)  # type: ignore[no-any-return]

    def keep(self, rows: list[int]) -> None:
        """Score only some tokens of the vocabulary, in this order."""
        kept = Linear(self.output.in_features, len(rows))
        kept.load_state_dict({name: tensor[rows] for name, tensor in self.output.state_dict().items()})
        self.output = kept


def layers_of(config: Any) -> nn.ModuleList:
    """The layers for an `ImageUniLM.Config`."""
    if not config.multiway:
        return make_layers(config)
    options = {name: getattr(config, name) for name in _OF_BLOCKS}
    last = config.num_layers - 1
    return nn.ModuleList(MultiwayBlock(partial(Way, index == last, **options)) for index in range(config.num_layers))


@register_model("image_unilm")
class ImageUniLM(UniLM):
    """UniLM that reads pictures, as patches, at the first slots of a source; with `multiway` it is BEiT-3.

    The position table holds the places of a picture, then those of a text.

    Source: BEiT-3 (arXiv 2208.10442); `microsoft/unilm: beit3/modeling_finetune.py`, `BEiT3ForCaptioning`.
    """

    class Config(UniLM.Config):
        """Options of the model: those of UniLM, and facts about its pictures, which are the task's."""

        multiway: bool = False
        """Other weights for patches than for words, as in BEiT-3: normalized first and inside of each sublayer, and a
        head of its own. `init` is then a checkpoint of BEiT-3, else a text encoder that has yet to learn to see."""
        image_size: Fact[NonNegativeInt] = 0
        """Pixels of a picture, a side."""
        patch_size: Fact[NonNegativeInt] = 0
        """Pixels of a patch, a side."""
        channels: Fact[NonNegativeInt] = 0
        """1: gray, 3: color."""

    config: ImageUniLM.Config
    layers_of = staticmethod(layers_of)

    def __init__(self, config: ImageUniLM.Config) -> None:
        super().__init__(config)
        width = config.embedding_size or config.hidden_size
        self.patches = Patches(config.patch_size, config.channels, width, config.initializer_range)
        if config.multiway:
            self.embeddings.norm = nn.Identity()  # type: ignore[assignment]
            self.head = PlainHead(config.hidden_size, config.vocab_size)  # type: ignore[assignment]
            self.head.apply(self._randomize)

    @classmethod
    def resolve(cls, config: Any, defaults: dict[str, Any]) -> Any:
        facts = facts_of_task(config, defaults, _FACTS)
        rest = {name: value for name, value in defaults.items() if name not in facts}
        if not config.multiway:
            return super().resolve(config, rest).model_copy(update=facts)
        for name in _ONE_WAY:
            usual = (type(config).model_fields[name].default, config.hidden_size)  # the width of embeddings, resolved
            if getattr(config, name) not in usual:
                raise ConfigError(f"model.{name}: cannot be combined with model.multiway, leave it out")
        is_resolved = bool(config.image_size)  # as in a run folder, when the checkpoint may be gone
        sizes = beit3_sizes(config.init, facts) if config.init and not is_resolved else {}
        check_copied(config, sizes)
        rows = max(sizes.pop("vocab_size", 0), rest.get("vocab_size", 0))
        known = config.model_copy(update={**facts, **sizes, "init": None, "num_segments": 0})
        resolved = super().resolve(known, rest)
        return resolved.model_copy(update={"init": config.init, "vocab_size": rows or resolved.vocab_size})

    # What is seen

    def words(self, batch: TokenBatch | SourceBatch, packing: Packing) -> Tensor:
        if not isinstance(batch, SeenBatch | SeenSources):
            raise ConfigError(NOT_SEEN)
        words = super().words(batch, packing)
        seen = self.patches(batch.images.to(words.dtype)).flatten(0, 1).to(words.dtype)
        return words.index_copy(0, packing.rows_at(picture_slots(batch.tokens, batch.places)), seen)

    def routed(self, batch: TokenBatch | SourceBatch, packing: Packing) -> Any:
        if not self.config.multiway or not isinstance(batch, SeenBatch | SeenSources):
            return self.layers
        seen = torch.zeros(len(packing.slots), dtype=torch.bool, device=packing.slots.device)
        seen[packing.rows_at(picture_slots(batch.tokens, batch.places))] = True
        ways = Ways(seen)
        return [Routed(layer, ways) for layer in self.layers]  # type: ignore[arg-type]

    def prepare(self, precision: Precision = "float32") -> None:
        if self.config.multiway:
            pack_linears(self, precision, fused=False)  # two ways ask, and attend together
        else:
            super().prepare(precision)

    # Weights

    def initialize(self) -> None:
        if not self.config.multiway or self.config.init is None:
            super().initialize()
            return
        state = read_beit3(self.config.init)
        for name in ("embeddings.tokens.weight", "head.output.weight", "head.output.bias"):
            if name in state:
                state[name] = fit_rows(state[name], self.config.vocab_size, self.config.initializer_range)
        self.load_beit3_state(state, self.config.init)

    def load_beit3_state(self, state: dict[str, Tensor], where: str) -> None:
        """Load weights under our names; a checkpoint without a head leaves the head random.

        Raises:
            InputError: see `s2s.checkpoint.check_fit`.
        """
        own = self.state_dict()
        head = {name for name in own if name.startswith("head.")}
        rows = len(own["embeddings.positions.weight"])
        table = state["embeddings.positions.weight"][:rows]
        state = {**state, "embeddings.positions.weight": table}
        check_fit(where, state, own, may_lack=() if head & state.keys() else head)
        self.load_state_dict(state, strict=False)

    def bert_state(self) -> dict[str, Tensor]:
        """What it shares with a text model; `init` may name one, which has yet to learn to see."""
        return {name: tensor for name, tensor in super().bert_state().items() if not name.startswith("patches.")}
