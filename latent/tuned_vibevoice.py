"""What a run has trained of a VibeVoice, and the whole checkpoint that the run and its base make."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from latent.models.vibevoice_files import write_checkpoint
from latent.models.vibevoice_language import VibeVoiceLanguage
from s2s.checkpoint import weights_path
from s2s.durable import fingerprint
from s2s.hub import find_run
from s2s.models.pretrained import locate
from s2s.run import RunConfig, build_model, load_weights, read_run


def read_tuned(
    run: Path, overrides: Iterable[str], checkpoint_name: str | None = None
) -> tuple[RunConfig, VibeVoiceLanguage]:
    """The configuration of a run and its model, free of adapters; `base_of` finds the rest.

    Raises:
        InputError: the base is missing or another one, or the run is incomplete.
        ConfigError: an override does not fit.
    """
    config = read_run(run, overrides)
    language = build_model(config)
    assert isinstance(language, VibeVoiceLanguage)
    load_weights(language, run, checkpoint_name)
    return config, language


def base_of(config: RunConfig) -> Path:
    """The folder of the checkpoint that a run changes; raises InputError if it cannot be found."""
    assert isinstance(config.model.config, VibeVoiceLanguage.Config)
    return locate(str(config.model.config.init))


def tuned_digest(base: str, run: Path, checkpoint_name: str | None) -> str:
    """A hash of the weights of a run and of those of its base, whose hash is given."""
    own = fingerprint(weights_path(run, checkpoint_name))["sha256"]
    return hashlib.sha256(f"{base}{own}".encode()).hexdigest()[:16]


def write_tuned(run: str | Path, output: Path, checkpoint_name: str | None = None) -> None:
    """Write a run as a checkpoint in the layout of its base, the weights that were trained in float32.

    Raises:
        InputError: see `read_tuned`; or the folder is not empty.
    """
    config, language = read_tuned(find_run(run), (), checkpoint_name)
    write_checkpoint(base_of(config), language.state_dict(), language.config, output)
