"""The latents of a corpus on disk: encoded once, read by the task that learns to generate them.

A store is a folder: `store.json` (facts and statistics), `index.jsonl` (one utterance a line, with its shard),
`shard-00000.safetensors` and so on (for each id the means, `(F, L)` float32), and `audio_tokenizer/`, a copy of the
tokenizer for runs that are trained on the store. Means are stored, not samples: every epoch draws its own.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from latent.data.latent_shards import Latents as Latents
from latent.data.latent_shards import ShardReader, ShardWriter, sample_around, sigma_of
from latent.data.manifest import Alignment, Utterance, read_alignment, write_alignment
from latent.data.turns import SpeakerTurn, Turns, read_turns, write_turns
from s2s import checkpoint
from s2s.config import read_tree
from s2s.data.jsonl import read_records
from s2s.durable import WAY_OUT, claimed, write_whole, writing
from s2s.errors import ConfigError, InputError
from s2s.generation.shard_folders import ShardFolder
from s2s.json_files import describe, read_object
from s2s.renamed import current_facts

logger = logging.getLogger(__name__)

TOKENIZER = "audio_tokenizer"
"""Folder of the audio tokenizer in a store, and in a run trained on it."""
LATENTS = "latents"
"""What a shard of such a store holds."""
_FACTS = "latents.json"
_OF_MANIFEST = ("id", "text", "speaker", "language", "alignment", "turns")


@dataclass(frozen=True)
class StoreFacts:
    """Facts about the latents of a store.

    Args:
        tokenizer: Where the tokenizer came from, for people.
        latent_size, sample_rate, sigma_rule, std: See `SigmaVAE.Config`.
        hop_length: Samples per frame.
        mean, latent_std: Of all numbers of sampled latents.
        semantic_size: Numbers per frame of a second encoder (VibeVoice's semantic one), which stand after those of the
            mean.
        encoder_sha256: Of the weights of a pretrained speech encoder (`latent.speech_encoder`); empty for a σ-VAE.
    """

    tokenizer: str
    latent_size: int
    sample_rate: int
    hop_length: int
    sigma_rule: str
    std: float
    mean: float = 0.0
    latent_std: float = 1.0
    num_frames: int = 0
    semantic_size: int = 0
    encoder_sha256: str = ""

    @property
    def frame_size(self) -> int:
        """All numbers per frame that are stored."""
        return self.latent_size + self.semantic_size

    @property
    def sigma(self) -> float:
        """Standard deviation of what sampling adds to the means."""
        return sigma_of(self.sigma_rule, self.std)

    def sample(self, mean: Latents, generator: np.random.Generator) -> Latents:
        """Latents around the means `(F, L)` of one recording; "gaussian" draws its scale first."""
        return sample_around(mean, self.sigma_rule, self.std, generator)

    def save(self, run: Path) -> None:
        """Write them into the folder of a run."""
        (run / _FACTS).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, run: Path) -> StoreFacts:
        """Read them from the folder of a run.

        Raises:
            InputError: the file is missing or broken.
        """
        if not (run / _FACTS).is_file():
            raise InputError(f"{run}: is not a run of speech synthesis, it lacks {_FACTS}")
        return _read_facts(run / _FACTS)


def copy_tokenizer(run: Path, folder: Path, name: str = TOKENIZER) -> None:
    """Copy configuration and weights of a tokenizer's run, or of such a copy, to the folder `name` in a folder."""
    target = folder / name
    target.mkdir(parents=True, exist_ok=True)
    for name in (checkpoint.CONFIG, checkpoint.WEIGHTS):
        shutil.copyfile(run / name, target / name)


def check_copy(tokenizer: Path) -> None:
    """Raise InputError for a damaged copy of a tokenizer: it goes into runs, which could not generate with it."""
    if missing := [name for name in (checkpoint.CONFIG, checkpoint.WEIGHTS) if not (tokenizer / name).is_file()]:
        raise InputError(f"{tokenizer}: lacks {missing[0]}; encode the corpus again")
    read_tree(tokenizer / checkpoint.CONFIG)
    checkpoint.read_tensors(tokenizer / checkpoint.WEIGHTS)


@dataclass(frozen=True)
class StoredUtterance:
    """One line of the index; without `alignment` where the recordings are not aligned, and without `turns` where
    nobody told who says what.
    """

    id: str
    text: str
    speaker: str
    language: str
    frames: int
    shard: str
    alignment: Alignment | None = None
    turns: Turns = ()

    @property
    def script(self) -> Turns:
        """Who says what: the turns, or the text as the only one."""
        return self.turns or (SpeakerTurn(self.speaker, self.text),)

    def line(self) -> str:
        """The line of the index."""
        record = asdict(self)
        del record["alignment"], record["turns"]
        if self.turns:
            record["segments"] = write_turns(self.turns)
        if self.alignment is not None:
            record["alignment"] = write_alignment(self.alignment)
        return json.dumps(record, ensure_ascii=False) + "\n"


def write_store(
    folder: Path,
    facts: StoreFacts,
    entries: Iterable[tuple[Utterance | StoredUtterance, Latents]],
    shard_frames: int = 100_000,
) -> StoreFacts:
    """Write the means of a corpus, one shard in memory at a time.

    Args:
        folder: Created if it does not exist; the store is valid once it holds `store.json`.
        facts: Without statistics.
        entries: Utterances with their means, `(F, L)`, and features if there are any, `(F, L + S)`.
        shard_frames: Approximate number of frames in a shard.

    Returns:
        The facts with their statistics: mean and standard deviation of latents sampled around the means.

    Raises:
        InputError: there are no entries.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards = ShardWriter(folder, facts.latent_size, shard_frames)
    with (folder / "index.jsonl").open("w", encoding="utf-8") as index:
        for utterance, mean in entries:
            same = {name: getattr(utterance, name) for name in _OF_MANIFEST}
            index.write(StoredUtterance(**same, frames=len(mean), shard=shards.add(utterance.id, mean)).line())
    statistics = shards.finish(facts.sigma)
    if statistics is None:
        raise InputError(f"{folder}: no recordings to store")
    facts = replace(facts, mean=statistics.mean, latent_std=statistics.std, num_frames=statistics.rows)
    write_whole(folder / "store.json", f"{json.dumps(asdict(facts), indent=1)}\n".encode())
    return facts


class LatentStore:
    """A store for reading. Opening it checks every file, so that training cannot fail on one later.

    Raises:
        InputError: the folder is not a finished store, or a file in it is missing, damaged or does not fit the others.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.facts = _read_facts(self.folder / "store.json")
        copy = self.folder / TOKENIZER
        if self.facts.semantic_size or self.facts.encoder_sha256:
            pass  # of released weights, which stay where they are
        elif not copy.is_dir():
            logger.warning("%s: holds no %s/; to speak, its models will need --tokenizer", folder, TOKENIZER)
        else:
            check_copy(copy)
        self.utterances: list[StoredUtterance] = []
        self._shards = ShardReader(self.folder)
        for where, record in read_records(self.folder / "index.jsonl"):
            stored = _read_line(record, where, self.facts)
            self._shards.check(stored.shard, stored.id, [stored.frames, self.facts.frame_size], where)
            self.utterances.append(stored)
        frames = sum(stored.frames for stored in self.utterances)
        if self.facts.num_frames not in (0, frames):
            raise InputError(
                f"{self.folder / 'index.jsonl'}: has {frames} frames, store.json counts {self.facts.num_frames}; "
                "encode the corpus again"
            )

    @classmethod
    def spoken(cls, folder: str | Path) -> LatentStore:
        """A store whose latents can become speech again; InputError if a pretrained speech encoder made them."""
        store = cls(folder)
        if store.facts.encoder_sha256:
            heard = f"latents of {store.facts.tokenizer}, a speech encoder, which cannot become speech"
            raise InputError(f"{folder}: holds {heard}; encode with the run of an audio tokenizer")
        return store

    def __len__(self) -> int:
        return len(self.utterances)

    def copy_tokenizer(self, folder: Path) -> None:
        """Copy the audio tokenizer, if there is one, into the folder of a run."""
        if (self.folder / TOKENIZER).is_dir():
            copy_tokenizer(self.folder / TOKENIZER, folder)

    def mean(self, index: int) -> Latents:
        """The means of one utterance, `(F, L)`; errors as for `frames`."""
        return self.frames(index)[:, : self.facts.latent_size]

    def frames(self, index: int) -> Latents:
        """The means and features of one utterance, `(F, L + S)`.

        Raises:
            InputError: a number in them is not finite.
        """
        utterance = self.utterances[index]
        return self._shards.rows(utterance.shard, utterance.id)


def join_stores(output: Path, shards: Sequence[ShardFolder], overwrite: bool) -> str:
    """Write the store of one process from those of all shards; a summary.

    Raises:
        InputError: the folder has latents already, is being written, or cannot be written; a shard is damaged.
    """
    with claimed(output, output / ".lock"), writing(output):
        if (output / "store.json").exists() and not overwrite:
            raise InputError(f"{output}: already has latents; {WAY_OUT}")
        stores = [LatentStore(shard.path) for shard in shards if (shard.path / "store.json").is_file()]
        (output / "store.json").unlink(missing_ok=True)
        stores[0].copy_tokenizer(output)
        entries = ((said, store.frames(index)) for store in stores for index, said in enumerate(store.utterances))
        facts = write_store(output, replace(stores[0].facts, mean=0.0, latent_std=1.0, num_frames=0), entries)
    return f"{len(shards)} shards, {facts.num_frames:,} latents"


def check_alike(train: LatentStore, valid: LatentStore) -> None:
    """Raise ConfigError if stores to learn from and to validate with have other latents."""
    for name, what in (("latent_size", "numbers per latent"), ("hop_length", "samples per latent")):
        if (wanted := getattr(train.facts, name)) != (found := getattr(valid.facts, name)):
            raise ConfigError(
                f"task.valid: must have {wanted} {what} as task.train, found {found}; encode both with one tokenizer"
            )


def check_single_speakers(*stores: LatentStore) -> None:
    """Raise InputError if a recording has several speakers, for tasks that learn from one at a time."""
    for folder, said in ((store.folder, said) for store in stores for said in store.utterances):
        if len({turn.speaker for turn in said.script}) > 1:
            raise InputError(
                f"{folder}: {said.id!r} has 'segments' of several speakers; this task learns from recordings of "
                "one: cut it into its turns"
            )


def _read_facts(path: Path) -> StoreFacts:
    if not path.is_file():
        raise InputError(f"{path.parent}: is not a finished store of latents, it lacks {path.name}")
    record = current_facts(read_object(path))
    numbers = [record.get(name) for name in ("latent_size", "sample_rate", "hop_length")]
    try:
        facts = StoreFacts(**record)
        if not all(isinstance(number, int) and number > 0 for number in numbers) or not facts.sigma >= 0:
            raise TypeError("latent_size, sample_rate and hop_length must be whole numbers above 0, std 0 or more")
        if not isinstance(facts.mean, float | int) or not isinstance(facts.latent_std, float | int):
            raise TypeError("mean and latent_std must be numbers")
    except (TypeError, KeyError) as error:
        raise InputError(f"{path}: damaged: {error}") from error
    return facts


def _read_line(record: dict[str, Any], where: str, facts: StoreFacts) -> StoredUtterance:
    segments = record.pop("segments", [])
    try:
        stored = StoredUtterance(**record)
    except TypeError as error:
        raise InputError(f"{where}: not a line of an index of latents: {error}") from error
    for name in ("id", "text", "speaker", "language", "shard"):
        if not isinstance(value := getattr(stored, name), str) or not value:
            raise InputError(f"{where}: {name!r} must be a string, found {describe(value)}")
    if not isinstance(stored.frames, int) or stored.frames < 1:
        raise InputError(f"{where}: 'frames' must be a whole number above 0, found {describe(stored.frames)}")
    seconds = stored.frames * facts.hop_length / facts.sample_rate
    stored = replace(stored, turns=read_turns(segments, seconds, where))
    if stored.alignment is None:
        return stored
    return replace(stored, alignment=read_alignment(record["alignment"], seconds, where))
