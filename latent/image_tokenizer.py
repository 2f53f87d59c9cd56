"""The image tokenizer: the σ-VAE of pictures of a run folder."""

from __future__ import annotations

from pathlib import Path

from latent.data.image_store import IMAGE_TOKENIZER, ImageFacts
from latent.models.image_sigma_vae import ImageTokenizer
from s2s import checkpoint
from s2s.checkpoint import CONFIG
from s2s.errors import InputError
from s2s.registry import MODELS
from s2s.run import build_model, read_run


def is_image_tokenizer(run: Path) -> bool:
    """Whether a folder is a run of an image tokenizer."""
    return (run / CONFIG).is_file() and issubclass(MODELS[read_run(run).model.name], ImageTokenizer)


def load_image_tokenizer(run: str | Path) -> ImageTokenizer:
    """The σ-VAE of a run folder, in evaluation mode; raises InputError if it is not the run of one."""
    config = read_run(run)
    if not issubclass(MODELS[config.model.name], ImageTokenizer):
        raise InputError(f"{run}: must be a run of a tokenizer of pictures, found the model {config.model.name!r}")
    model = build_model(config, fresh=False)
    checkpoint.load_weights(model, checkpoint.weights_path(Path(run), None))
    assert isinstance(model, ImageTokenizer)
    return model.eval()


def matching_image_tokenizer(run: Path) -> tuple[ImageTokenizer, ImageFacts]:
    """The copy of the tokenizer in a run that learned from its latents; InputError if there is none, or another."""
    facts = ImageFacts.load(run)
    tokenizer = load_image_tokenizer(run / IMAGE_TOKENIZER)
    for name in ("latent_size", "image_size", "channels"):
        found, expected = getattr(tokenizer.config, name), getattr(facts, name)
        if found != expected:
            raise InputError(f"{run / IMAGE_TOKENIZER}: is not that of {run}: {name} must be {expected}, found {found}")
    return tokenizer, facts
