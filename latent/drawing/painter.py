"""A model that draws, from its run folder alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from latent.data.image_prompts import DrawingRequest, ImageVocabulary, drawing_prompts
from latent.data.image_store import IMAGE_TOKENIZER, ImageFacts
from latent.image_tokenizer import matching_image_tokenizer
from latent.images.files import Pixels
from latent.models.image_sigma_vae import ImageTokenizer
from s2s import checkpoint
from s2s.decoding.base import Search, Streamer
from s2s.durable import fingerprint
from s2s.errors import ConfigError, InputError
from s2s.hub import find_run, repository_of
from s2s.models.base import Model
from s2s.registry import DECODERS
from s2s.run import RunConfig, build_decoder, build_model, load_weights, read_run

_DRAWS = "raster_diffusion"


class Painter:
    """Draws pictures from texts or classes. `open` makes one."""

    def __init__(
        self,
        name: str,
        config: RunConfig,
        model: Model,
        tokenizer: ImageTokenizer,
        facts: ImageFacts,
        vocabulary: ImageVocabulary,
        hashes: dict[str, str],
        device: str | torch.device,
    ) -> None:
        self.name, self.config, self.facts, self.vocabulary = name, config, facts, vocabulary
        self._model, self._tokenizer, self._hashes, self._device = model, tokenizer, hashes, device
        self._decoder = build_decoder(config, Streamer)  # type: ignore[type-abstract]

    @classmethod
    def open(
        cls,
        run: str | Path,
        *,
        device: str | torch.device = "cpu",
        overrides: Iterable[str] = (),
        checkpoint_name: str | None = None,
    ) -> Painter:
        """The model of a run of the task `image_generation` or `image_and_text`.

        Args:
            run: A run folder, or the name of one on the hub.
            device: Of torch.
            overrides: Options of the decoder such as `decoder.guidance_scale=1.5`.
            checkpoint_name: A step or a file (see `s2s.checkpoint.weights_path`); the best weights by default.

        Raises:
            InputError: the folder is not such a run.
            ConfigError: an override does not fit.
        """
        run = find_run(run)
        config = read_run(run, _of_decoder(overrides, read_run(run)))
        tokenizer, facts = matching_image_tokenizer(run)
        vocabulary, model = ImageVocabulary.load(run), build_model(config, fresh=False)
        size = getattr(model.config, "vocab_size", None)
        if len(vocabulary) != size:
            raise InputError(f"{run}: its vocabulary has {len(vocabulary)} tokens, its model {size}; they must agree")
        weights = {
            "model": checkpoint.weights_path(run, checkpoint_name),
            "tokenizer": checkpoint.weights_path(run / IMAGE_TOKENIZER, None),
        }
        load_weights(model, run, checkpoint_name)
        for part in (model, tokenizer):
            part.eval().requires_grad_(False).to(device).prepare()
        hashes = {name: fingerprint(path)["sha256"][:16] for name, path in weights.items()}
        name = repository_of(run) or run.resolve().name
        return cls(name, config, model, tokenizer, facts, vocabulary, hashes, device)

    @property
    def temperature(self) -> float:
        """That of pictures whose request names none."""
        return float(cast(Any, self.config.decoder).config.temperature)

    def request(self, id: str, text: str, seed: int, temperature: float | None = None) -> DrawingRequest:
        """A picture to draw; an empty text is any picture.

        Raises:
            InputError: the model cannot read the text, or it is too long.
        """
        tokens = self.vocabulary.prompt(text)
        longest = getattr(self._model.config, "max_positions", None)
        if longest is not None and (found := len(tokens) + self.facts.num_latents + 1) > longest:
            raise InputError(f"'text' must leave {self.facts.num_latents} of {longest} positions, it needs {found}")
        return DrawingRequest(id, text, tokens, seed, self.temperature if temperature is None else temperature)

    @torch.inference_mode()
    def draw(self, requests: Sequence[DrawingRequest]) -> list[Pixels]:
        """The pixels `(C, S, S)` of each request; numbers may lie beyond -1 and 1. A row does not depend on others."""
        facts = self.facts
        prompts = drawing_prompts(requests, facts.latent_size, facts.num_latents).to(self._device)
        parts: list[list[torch.Tensor]] = [[] for _ in requests]
        for frames in self._decoder.stream(self._model, prompts):
            for row, latents in zip(frames.rows, frames.latents, strict=True):
                parts[row].append(latents)
        if any(sum(map(len, row)) != facts.num_latents * facts.latent_size for row in parts):
            raise InputError("decoder.name: must be 'raster_diffusion' or 'diffusion', another ends before all latents")
        latents = torch.stack([torch.cat(row).view(facts.num_latents, -1) for row in parts])
        pixels: list[Pixels] = list(self._tokenizer.decode(latents.float()).cpu().numpy().astype(np.float32))
        return pixels

    def fingerprint(self) -> dict[str, Any]:
        """What all pictures depend on: the weights and the options of the decoder."""
        return {**self._hashes, "decoder": self.config.tree()["decoder"]}

    def tags(self, seed: int) -> dict[str, str]:
        """Metadata of a file: that it is synthetic, by which model, with which seed, and when."""
        made, software = date.today().isoformat(), f"unilatent {version('unilatent')}"
        who = f"Model {self.name} ({self._hashes['model']}), seed {seed}, {made}, {software}."
        return {"comment": f"Synthetic picture, not a photograph or a drawing by hand. {who}", "software": software}


def _of_decoder(overrides: Iterable[str], config: RunConfig) -> list[str]:
    """Options of the decoder that draws; that of a run which also writes is a search for texts."""
    given = list(overrides)
    for override in given:
        if not override.startswith("decoder."):
            raise ConfigError(f"{override.partition('=')[0]}: changes nothing here; expected an option of the decoder")
    writes = config.decoder is not None and issubclass(DECODERS[config.decoder.name], Search)
    return [f"decoder.name={_DRAWS}", *given] if writes else given
