"""A discriminator that learns to find what a smaller generator has replaced (ELECTRA)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from s2s import hub
from s2s.checkpoint import check_fit
from s2s.config import Section
from s2s.data.batch import MaskedBatch
from s2s.errors import ConfigError
from s2s.models.base import Model
from s2s.models.initial_weights import without_others
from s2s.models.keymaps import from_bert_names
from s2s.models.pretrained import read_sizes
from s2s.models.unilm import UniLM
from s2s.nn.linear import Linear
from s2s.nn.transformer import ACTIVATIONS
from s2s.registry import register_model

_OWN_SIZES = ("hidden_size", "num_layers", "num_heads", "intermediate_size")
_SHARED_SIZES = ("embedding_size", "relative_buckets", "max_relative_distance", "activation")


class GeneratorSection(Section):
    """Options of the generator; what is 0 follows from the discriminator, of which it is a quarter."""

    init: hub.Name = None
    """Pretrained checkpoint of the generator, weights and sizes, such as ELECTRA's own: as `model.init`."""
    hidden_size: int = Field(default=0, ge=0)
    """Hidden size of its layers. Default: that of a quarter of the discriminator's heads."""
    num_layers: int = Field(default=0, ge=0, le=1000)
    """Number of layers. Default: as many as the discriminator has."""
    num_heads: int = Field(default=0, ge=0)
    """Number of attention heads per layer. Default: a quarter of the discriminator's."""
    intermediate_size: int = Field(default=0, ge=0)
    """Inner size of its feed-forward networks. Default: smaller as the hidden size is."""
    hardness_rank: int = Field(default=64, ge=0)
    """Inner size of the head that predicts the discriminator's loss of each token; 0 for no such head."""


@register_model("electra")
class Electra(Model):
    """A UniLM that says of each token whether it was replaced, and a generator, which is discarded after training.

    The two share all of their embeddings. A run of it is the `model.init` of a `unilm`, which takes the discriminator's
    encoder; an output head it has not.

    Source: ELECTRA (arXiv 2003.10555); the generator's second head after Hao et al. (arXiv 2106.13715).
    """

    class Config(UniLM.Config):
        """Options of the model: those of UniLM, for the discriminator, and the generator's."""

        generator: GeneratorSection = GeneratorSection()

    config: Electra.Config

    def __init__(self, config: Electra.Config) -> None:
        super().__init__(config)
        self.discriminator = Discriminator(config)
        self.generator = Generator(_generator_config(config), config.generator.hardness_rank)
        self.generator.embeddings.share(self.discriminator.embeddings)

    @classmethod
    def resolve(cls, config: Any, defaults: dict[str, Any]) -> Any:
        if config.adapters is not None:
            raise ConfigError("model.adapters: cannot pretrain an 'electra', whose weights are all trained")
        resolved = UniLM.resolve(config, defaults)
        generator = _with_sizes(resolved)
        return resolved.model_copy(update={"generator": generator})

    def initialize(self) -> None:
        self.generator.initialize()
        self.discriminator.initialize()  # last, for the shared embeddings are those of `model.init` if it is given

    def expect(self, token_counts: Callable[[], NDArray[np.int64]]) -> None:
        self.generator.expect(token_counts)

    def blocks(self) -> list[nn.Module]:
        return [*self.discriminator.blocks(), *self.generator.blocks()]

    # Training

    @property
    def predicts_hardness(self) -> bool:
        """See `s2s.criteria.replaced_token_detection.Detector`, also for the methods that follow."""
        return self.generator.hardness is not None

    def generator_features(self, batch: MaskedBatch) -> Tensor:
        return self.generator.features(batch)

    def generator_logits(self, features: Tensor) -> Tensor:
        return self.generator.logits(features)

    def hardness(self, features: Tensor) -> Tensor:
        assert self.generator.hardness is not None, "the criterion has checked it"
        return self.generator.hardness(features)  # type: ignore[no-any-return]

    def detect(self, batch: MaskedBatch) -> Tensor:
        return self.discriminator.detection(self.discriminator.features(batch))  # type: ignore[no-any-return]


class Discriminator(UniLM):
    """An encoder with a head that scores each token instead of the vocabulary."""

    def __init__(self, config: UniLM.Config) -> None:
        super().__init__(config)
        del self.head
        self.detection = Detection(config)
        self.detection.apply(self._randomize)

    def bert_state(self) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in super().bert_state().items() if name.startswith("bert.")}

    def load_bert_state(self, state: Mapping[str, Tensor], where: str = "checkpoint") -> None:
        """See `UniLM.load_bert_state`; an output head is ignored."""
        given = {name: tensor for name, tensor in without_others(state, where).items() if name.startswith("bert.")}
        check_fit(where, given, self.bert_state())
        self.load_state_dict(from_bert_names(given), strict=False)


class Detection(nn.Module):
    """The score that a token was replaced, from the discriminator's hidden state of it."""

    def __init__(self, config: UniLM.Config) -> None:
        super().__init__()
        self.dense = Linear(config.hidden_size, config.hidden_size)
        self.score = Linear(config.hidden_size, 1)
        self._activation = ACTIVATIONS[config.activation]

    def forward(self, features: Tensor) -> Tensor:
        """Scores `(...)` of features `(..., hidden_size)`."""
        return self.score(self._activation(self.dense(features))).squeeze(-1)  # type: ignore[no-any-return]


class Generator(UniLM):
    """A masked language model, with a second head of low rank if `rank` is above 0.

    That head begins with zeros: for each token it predicts the loss of a discriminator that knows nothing, log 2.
    """

    def __init__(self, config: UniLM.Config, rank: int) -> None:
        super().__init__(config)
        self.hardness = None
        if rank:
            down, up = Linear(config.hidden_size, rank, bias=False), Linear(rank, config.vocab_size)
            nn.init.normal_(down.weight, std=config.hidden_size**-0.5)
            nn.init.zeros_(up.weight)
            nn.init.zeros_(up.bias)
            self.hardness = nn.Sequential(down, up)

    def bert_state(self) -> dict[str, Tensor]:
        names = ("bert.", "cls.")
        return {name: tensor for name, tensor in super().bert_state().items() if name.startswith(names)}


def _generator_config(config: Electra.Config) -> UniLM.Config:
    """What makes the generator: the discriminator's options with sizes of its own."""
    own = {"generator", "init", "like", "layers_from", "freeze_embeddings"}
    generator = config.generator.model_dump(exclude={"hardness_rank"})
    width = config.embedding_size or config.hidden_size
    return UniLM.Config(**{**config.model_dump(exclude=own), **generator, "embedding_size": width})


def _with_sizes(config: Electra.Config) -> GeneratorSection:
    """The generator's section with every size, of the resolved section of the model."""
    asked = config.generator
    known = {} if asked.init is None else _sizes_of_checkpoint(asked, config)
    given = {name: getattr(asked, name) for name in _OWN_SIZES if getattr(asked, name)}
    heads = max(1, config.num_heads // 4)
    width = heads * (config.hidden_size // config.num_heads)
    sizes = {"hidden_size": width, "num_layers": config.num_layers, "num_heads": heads} | known | given
    sizes = {"intermediate_size": max(1, config.intermediate_size * sizes["hidden_size"] // config.hidden_size)} | sizes
    if sizes["hidden_size"] % sizes["num_heads"]:
        raise ConfigError(
            f"model.generator.num_heads: must divide model.generator.hidden_size ({sizes['hidden_size']}), "
            f"found {sizes['num_heads']}"
        )
    return asked.model_copy(update=sizes)


def _sizes_of_checkpoint(asked: GeneratorSection, config: Electra.Config) -> dict[str, int]:
    """The sizes of the generator's checkpoint; ConfigError if they are not those asked for, or cannot be shared."""
    known, where = read_sizes(str(asked.init)), f"model.generator.init: {asked.init}"
    found = int(known.get("vocab_size", config.vocab_size))
    if found != config.vocab_size:
        raise ConfigError(f"{where} has a vocabulary of {found} items, the discriminator one of {config.vocab_size}")
    known["embedding_size"] = known.get("embedding_size") or known.get("hidden_size", config.embedding_size)
    for name in (name for name in _SHARED_SIZES if known.get(name, getattr(config, name)) != getattr(config, name)):
        raise ConfigError(
            f"{where} has {name} {known[name]}, the discriminator {getattr(config, name)}; they must agree"
        )
    sizes = {name: int(known[name]) for name in _OWN_SIZES if name in known}
    for name, size in sizes.items():
        if getattr(asked, name) not in (0, size):
            raise ConfigError(
                f"model.generator.{name}: must be {size} as in {asked.init}, found {getattr(asked, name)}"
            )
    return sizes
