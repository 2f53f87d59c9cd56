"""Pretraining on pictures, judged by linear probes: every method at equal budget, with several seeds.

    unilatent prepare emoji data/emoji
    python benchmarks/linear_probe.py data/emoji /tmp/probe

Trains encoders of the same size without labels on the pictures of a prepared corpus (`unilatent prepare emoji`, and so
on), averages the features of the patches of each picture, and fits a logistic regression to the field `group` of the
training pictures; its strength of regularization is chosen on the validation pictures. Prints the accuracy on the test
pictures, which show other things than the training pictures: mean and standard deviation over seeds. The tokenizers
and the teacher are trained once. Runs that are there already are not trained again.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from latent.images.files import read_image
from s2s.data.jsonl import read_records
from s2s.packages import load
from s2s.run import build_model, load_weights, parse_config, read_run, train_run

SIZE, PATCH, CODES = 32, 8, 256
ENCODER = {"patch_size": PATCH, "hidden_size": 96, "num_layers": 4, "num_heads": 3}
PIXELS = 3 * PATCH**2
_BATCH = 256
STRENGTHS = (0.001, 0.01, 0.1, 1.0)

Sections = dict[str, dict[str, Any]]
Rows = NDArray[np.float32]


def methods(folder: Path) -> dict[str, Sections]:
    """The sections of each method by name; the first three are helpers, trained once."""
    random, blocks = {"masking": "random", "mask_share": 0.75}, {"masking": "blockwise", "mask_share": 0.4}
    quantizer = {"name": "image_quantizer", **ENCODER, "num_layers": 2, "num_codes": CODES, "decoder_layers": 1}
    pixel_codes, teacher = str(folder / "tokenizer of pixels"), str(folder / "MAE, seed 1")
    feature_codes = str(folder / "tokenizer of features")

    def encoder(size: int) -> dict[str, Any]:
        return {"name": "image_encoder", **ENCODER, "output_size": size}

    def tokens(run: str) -> dict[str, Any]:
        return {"name": "masked_image_tokens", "teacher": run}

    autoencoding = {"name": "image_autoencoding"}
    return {
        "MAE": {"task": random, "model": {"name": "masked_autoencoder", **ENCODER, "decoder_size": 48}},
        "tokenizer of pixels": {
            "task": autoencoding,
            "model": {**quantizer, "output_size": PIXELS},
            "criterion": {"name": "image_quantization"},
        },
        "tokenizer of features": {
            "task": autoencoding,
            "model": {**quantizer, "output_size": ENCODER["hidden_size"]},
            "criterion": {"name": "image_quantization", "teacher": teacher},
        },
        "SimMIM": {"task": blocks, "model": encoder(PIXELS), "criterion": {"name": "masked_pixels"}},
        "BEiT": {"task": blocks, "model": encoder(CODES), "criterion": tokens(pixel_codes)},
        "BEiT v2": {"task": blocks, "model": encoder(CODES), "criterion": tokens(feature_codes)},
        "MaskDistill": {
            "task": blocks,
            "model": encoder(ENCODER["hidden_size"]),
            "criterion": {"name": "masked_features", "teacher": teacher},
        },
        "CIM": {
            "task": blocks,
            "model": {"name": "corrupted_image", **ENCODER, "num_codes": CODES, "generator_size": 48},
            "criterion": {"name": "corrupted_image", "teacher": pixel_codes},
        },
    }


def train(corpus: Path, folder: Path, name: str, sections: Sections, seed: int, updates: int) -> Path:
    """Train one run; returns its folder."""
    helper = name.startswith("tokenizer")
    lists = {split: str(corpus / f"{split}.jsonl") for split in ("train", "valid")}
    tree: dict[str, Any] = {
        **sections,
        "task": {"name": "masked_images", **lists, "image_size": SIZE, **sections["task"]},
        "optim": {"lr": 1e-3, "weight_decay": 0.05, "warmup_steps": updates // 10},
        "train": {"max_steps": updates, "max_tokens": 64 * SIZE**2, "device": "cpu", "validate_every": updates},
        "seed": seed,
    }
    tree["task"] |= {} if helper else {"patch_size": PATCH}
    run = folder / (name if helper else f"{name}, seed {seed}")
    if stopped := train_run(parse_config(tree), run).signal:
        raise SystemExit(128 + stopped)
    return run


def read(corpus: Path, split: str) -> tuple[torch.Tensor, list[str]]:
    """The pictures `(B, 3, S, S)` of a split, each once, and their groups."""
    found: dict[str, str] = {}
    for _, record in read_records(corpus / f"{split}.jsonl"):
        found[str(record["image"])] = str(record["group"])
    pixels = [read_image(corpus / image, SIZE, 3) for image in found]
    return torch.from_numpy(np.stack(pixels)), list(found.values())


def features_of(run: Path, trained: bool) -> Callable[[torch.Tensor], torch.Tensor]:
    """The encoder of a run with its weights, or with the random ones that it began with."""
    config = read_run(run)
    torch.manual_seed(config.seed)
    model = build_model(config)
    if trained:
        load_weights(model, run)
    return cast(Any, model.eval()).features  # type: ignore[no-any-return]


def averaged(features: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor) -> Rows:
    """The mean over patches of the features of pictures, `(B, D)`."""
    with torch.inference_mode():
        parts = (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))
        return np.concatenate([features(part).mean(1).numpy() for part in parts])


def probe(rows: dict[str, Rows], groups: dict[str, list[str]]) -> tuple[float, float]:
    """Percentage of test pictures whose group is found, and the mean over groups of this percentage."""
    linear, scaling = load("sklearn.linear_model", ""), load("sklearn.preprocessing", "")
    scaler = scaling.StandardScaler().fit(rows["train"])
    scaled = {split: scaler.transform(part) for split, part in rows.items()}
    fitted = [linear.LogisticRegression(C=c, max_iter=1000).fit(scaled["train"], groups["train"]) for c in STRENGTHS]
    best = max(fitted, key=lambda model: model.score(scaled["valid"], groups["valid"]))
    right = best.predict(scaled["test"]) == np.array(groups["test"])
    by_group = [right[np.array(groups["test"]) == group].mean() for group in sorted(set(groups["test"]))]
    return 100 * float(right.mean()), 100 * float(np.mean(by_group))


def spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    return f"{statistics.mean(values):.1f}" + (f" ±{statistics.stdev(values):.1f}" if len(values) > 1 else "")


def chosen(known: dict[str, Sections], names: list[str] | None) -> dict[str, Sections]:
    """The methods of some names, and the tokenizers that they learn from, in the order of `known`."""
    kept = set(names or known)
    for name in reversed(known):
        if name in kept and (teacher := known[name].get("criterion", {}).get("teacher")):
            kept.add(Path(teacher).name.partition(",")[0])
    return {name: sections for name, sections in known.items() if name in kept}


def main() -> None:
    """Train, probe, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--updates", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--methods", nargs="+", help="of all by default; teachers and tokenizers are trained as needed")
    given = parser.parse_args()
    parts = {split: read(given.corpus, split) for split in ("train", "valid", "test")}
    groups = {split: names for split, (_, names) in parts.items()}

    def judge(features: Callable[[torch.Tensor], torch.Tensor]) -> tuple[float, float]:
        return probe({split: averaged(features, images) for split, (images, _) in parts.items()}, groups)

    common = max(set(groups["train"]), key=groups["train"].count)
    sizes = " / ".join(f"{len(names):,}" for names in groups.values())
    print(f"{sizes} pictures, {len(set(groups['train']))} groups, {given.updates} updates of 64 pictures\n")
    print("| | accuracy | mean over groups |\n|---|---|---|")
    share = 100 * groups["test"].count(common) / len(groups["test"])
    print(f"| the most common group | {share:.1f} | {100 / len(set(groups['test'])):.1f} |")
    pixels = judge(lambda images: images.flatten(1).unsqueeze(1))
    print(f"| pixels | {pixels[0]:.1f} | {pixels[1]:.1f} |", flush=True)
    for name, sections in chosen(methods(given.folder), given.methods).items():
        helper = name.startswith("tokenizer")
        seeds = given.seeds[:1] if helper else given.seeds
        runs = [train(given.corpus, given.folder, name, sections, seed, given.updates) for seed in seeds]
        if helper:
            continue
        if name == "MAE":
            found = [judge(features_of(run, trained=False)) for run in runs]
            print(f"| random features | {' | '.join(spread(list(part)) for part in zip(*found, strict=True))} |")
        found = [judge(features_of(run, trained=True)) for run in runs]
        print(f"| {name} | {' | '.join(spread(list(part)) for part in zip(*found, strict=True))} |", flush=True)


if __name__ == "__main__":
    main()
