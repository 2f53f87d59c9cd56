"""What is trained of a released VibeVoice: its language model, diffusion head and connectors, without tokenizers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import NonNegativeInt
from torch import Tensor

from latent.data.batch import MixedSequences
from latent.models.checkpoints import asr_config, asr_state, vibevoice_config, vibevoice_state
from latent.models.families import NAMES, Family, family_of
from latent.models.keymaps import Weights, above, listening_name, under
from latent.models.latent_lm import Connector, LatentLM
from latent.models.vibevoice import VibeVoice
from latent.models.vibevoice_asr import VibeVoiceASR
from latent.models.vibevoice_files import write_parts
from s2s import hub
from s2s.checkpoint import check_fit
from s2s.config import Fact
from s2s.errors import ConfigError, InputError
from s2s.json_files import read_object
from s2s.models.pretrained import locate, read_state
from s2s.registry import register_model

_FREE = ("init", "adapters", "dropout", "latent_dropout", "initializer_range")
"""Options that are not the checkpoint's."""


@register_model("vibevoice_language")
class VibeVoiceLanguage(LatentLM):
    """The language model of a VibeVoice, to be fine-tuned: latents of speech enter with its semantic features.

    At synthesis these features come from the audio that was generated; in training from the recording.
    """

    class Config(LatentLM.Config):
        """Options of a VibeVoice's language model; all sizes are those of `init`."""

        init: hub.Name = None
        """The checkpoint: a folder, or its name on the Hugging Face hub."""
        semantic_size: Fact[NonNegativeInt] = 0
        """Semantic features of each latent."""

    config: VibeVoiceLanguage.Config
    families: ClassVar[tuple[Family, ...]] = ("vibevoice",)
    """Of the checkpoints that can be trained."""
    task: ClassVar[str] = "vibevoice_synthesis"

    def __init__(self, config: VibeVoiceLanguage.Config) -> None:
        super().__init__(config)
        self.semantic_connector = Connector(config.semantic_size, config.hidden_size)

    @classmethod
    def resolve(cls, config: Any, defaults: dict[str, Any]) -> Any:
        if config.init is None:
            raise ConfigError("model.init: must name the VibeVoice checkpoint that training starts from")
        family = family_of(locate(config.init))
        if family not in cls.families:
            other = next((kind for kind in (VibeVoiceLanguage, VibeVoiceListener) if family in kind.families), None)
            advice = "cannot be trained" if other is None else f"is trained with task.name={other.task}"
            raise ConfigError(f"model.init: {config.init} is {NAMES[family]}, which {advice}")
        whole = read_config(config.init)
        known = {**dict(whole.language), "semantic_size": whole.semantic.latent_size}
        known = {name: value for name, value in known.items() if name not in _FREE}
        for name, value in known.items():
            if name in config.model_fields_set and getattr(config, name) != value:
                raise ConfigError(f"model.{name}: must be {value} as in {config.init}, found {getattr(config, name)}")
            if defaults.get(name, value) != value and name in ("latent_size", "semantic_size"):
                given = f"the data have {defaults[name]}, {config.init} has {value}"
                raise ConfigError(f"model.{name}: {given}; encode them with its tokenizers")
        if (tokens := defaults.get("vocab_size", 0)) > known["vocab_size"]:
            raise ConfigError(f"task.tokenizer: has {tokens} tokens, {config.init} has {known['vocab_size']}")
        if (needed := defaults.get("num_positions", 0)) > known["max_positions"]:
            longest = f"the longest example needs {needed} positions"
            raise ConfigError(f"task.train: {longest}, {config.init} has {known['max_positions']}; leave it out")
        return config.model_copy(update=known)

    def initialize(self) -> None:
        assert self.config.init is not None, "checked by `resolve`"
        folder = locate(self.config.init)
        found = trained_part(read_state(folder), read_config(self.config.init), folder)
        own = self.state_dict()
        check_fit(folder, found, own)
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(found[name])

    def embed(self, batch: MixedSequences) -> Tensor:
        embedded = super().embed(batch)
        if batch.features is None or batch.feature_slots is None:
            return embedded
        added = self.semantic_connector(batch.features.to(self.semantic_connector.up.weight.dtype)).to(embedded.dtype)
        return embedded.flatten(0, 1).index_add(0, batch.feature_slots, added).view_as(embedded)

    def export_parts(self, folder: Path) -> None:
        trained = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        whole = {"head": self.head, "connector": self.connector, "semantic_connector": self.semantic_connector}
        write_parts(
            {name: part.state_dict() for name, part in whole.items() if f"{name}.out.weight" in trained}, folder
        )

    def put_into(self, model: VibeVoice | VibeVoiceASR) -> None:
        """Replace the weights of a whole model by these, which must be free of adapters."""
        state = self.state_dict()
        model.semantic_connector.load_state_dict(under(state, "semantic_connector."))
        language = {name: tensor for name, tensor in state.items() if not name.startswith("semantic_connector.")}
        model.language.load_state_dict(language)


@register_model("vibevoice_listener")
class VibeVoiceListener(VibeVoiceLanguage):
    """The language model of a VibeVoice-ASR, to be fine-tuned: it reads audio, and has no diffusion head."""

    Config = VibeVoiceLanguage.Config
    families = ("vibevoice_asr", "vibevoice_asr_streaming")
    task = "vibevoice_recognition"

    def __init__(self, config: VibeVoiceLanguage.Config) -> None:
        super().__init__(config)
        del self.head

    def export_parts(self, folder: Path) -> None:
        """Nothing: no program looks for parts of a VibeVoice-ASR."""


def read_config(checkpoint: str) -> VibeVoice.Config | VibeVoiceASR.Config:
    """The configuration of a VibeVoice or a VibeVoice-ASR; InputError if it is of another model."""
    folder = locate(checkpoint)
    path = folder / "config.json"
    listens = family_of(folder) in VibeVoiceListener.families
    return (asr_config if listens else vibevoice_config)(read_object(path), str(path))


def trained_part(
    weights: Mapping[str, Tensor], config: VibeVoice.Config | VibeVoiceASR.Config, folder: Path
) -> Weights:
    """The weights of a `VibeVoiceLanguage` or `VibeVoiceListener` from those of a checkpoint in either layout."""
    try:
        if isinstance(config, VibeVoice.Config):
            state = vibevoice_state(weights, config)
        else:
            named = {listening_name(name): tensor for name, tensor in weights.items()}
            scores = named.get("lm_head.weight")
            words = named["model.language_model.embed_tokens.weight"]
            if config.language.tie_embeddings and scores is not None and not torch.equal(scores, words):
                raise InputError(f"{folder}: config.json ties embeddings and scores, but the weights have both")
            state = asr_state(named, config)
    except KeyError as error:
        raise InputError(f"{folder}: the weights lack {error.args[0]!r}") from error
    return {**under(state, "language."), **above({"semantic_connector": under(state, "semantic_connector.")})}
