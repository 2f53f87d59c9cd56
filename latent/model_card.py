"""The model card of a voice: a template in its run folder, which its maker completes before passing the voice on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from latent.data.latent_store import StoreFacts
from s2s.checkpoint import MODEL_CARD

_TEMPLATE = """\
# {name}

Speech from text: a LatentLM over the latents of a σ-VAE, trained with unilatent. `config.yaml` has every option.

| | |
|---|---|
| speakers | {speakers} |
| trained on | {hours:.2f} hours of speech |
| audio | {rate} Hz, {frames:g} latents of {size} numbers a second |

## Before you pass this voice on

- [ ] Training data: which recordings, whose, under which license. TO BE COMPLETED
- [ ] Consent: everyone who speaks in them has agreed to a synthetic voice, and knows what it is for; or the license and
      the law allow it without. TO BE COMPLETED
- [ ] Quality: word error rate, languages and texts that it reads badly (`unilatent evaluate speech`). TO BE COMPLETED
- [ ] License of these weights. TO BE COMPLETED

## What it may be used for

Reading texts aloud, assistive technology, research, games and art: wherever listeners know, or can easily find out,
that what they hear is synthetic.

## What it must not be used for

- Speaking in the voice of a person who has not agreed: in training, as a voice prompt, or by imitation.
- Making anyone believe that a person said what they did not say; fraud; getting past a voice login.
- Removing the marks that tell listeners and machines that the speech is synthetic.

Every file that `unilatent synthesize` writes says in its metadata that it is synthetic, by which model, with which
seed and when; `--watermark` marks the samples too.
"""


def write_model_card(run: Path, facts: StoreFacts, speakers: Sequence[str]) -> None:
    """Write the template into a run folder, unless it has a card already."""
    path = run / MODEL_CARD
    if path.exists():
        return
    shown = ", ".join(speakers[:20]) + (f" and {len(speakers) - 20} more" if len(speakers) > 20 else "")
    text = _TEMPLATE.format(
        name=run.resolve().name,
        speakers=shown,
        hours=facts.num_frames * facts.hop_length / facts.sample_rate / 3600,
        rate=facts.sample_rate,
        frames=facts.sample_rate / facts.hop_length,
        size=facts.latent_size,
    )
    path.write_text(text, encoding="utf-8")
