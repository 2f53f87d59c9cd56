"""Reconstruct recordings by an audio tokenizer alone: encode, sample latents, decode.

    python scripts/reconstruct.py runs/voice/audio_tokenizer test.jsonl OUT
    unilatent evaluate speech --manifest test.jsonl --audio OUT --aligned

Latents are sampled with noise, as in training, because a speech model learns to generate such latents. Writes
OUT/ID.flac.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from latent.audio.files import write_audio
from latent.audio_tokenizer import load_tokenizer
from latent.data.manifest import read_manifest
from latent.encoding import encode_recordings


@torch.inference_mode()
def main() -> None:
    tokenizer = load_tokenizer(sys.argv[1])
    out = Path(sys.argv[3])
    for number, (spoken, mean) in enumerate(encode_recordings(tokenizer, read_manifest(sys.argv[2]))):
        latents = tokenizer.sample(torch.from_numpy(mean)[None], torch.Generator().manual_seed(number))
        audio = tokenizer.decode(latents)[0, 0].numpy()
        (out / spoken.id).parent.mkdir(parents=True, exist_ok=True)
        write_audio(out / f"{spoken.id}.flac", audio, tokenizer.config.sample_rate)


if __name__ == "__main__":
    main()
