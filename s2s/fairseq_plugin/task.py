"""The task `unilatent` of fairseq."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from fairseq.data import Dictionary
from fairseq.data.data_utils import infer_language_pair, load_indexed_dataset
from fairseq.dataclass import FairseqDataclass
from fairseq.tasks import FairseqTask, register_task
from omegaconf import II
from torch import Tensor

from s2s.config import options_in, parse_section
from s2s.data.layout import SHIFTED
from s2s.errors import ConfigError, InputError
from s2s.tasks.seq2seq import Seq2Seq

from .dataset import Pairs
from .vocabulary import Vocabulary


@dataclass
class TaskConfig(FairseqDataclass):
    """Options of the task."""

    data: str = field(default="???", metadata={"help": "folder that fairseq-preprocess wrote"})
    source_lang: str = field(default="", metadata={"help": "language of the sources", "argparse_alias": "-s"})
    target_lang: str = field(default="", metadata={"help": "language of the targets", "argparse_alias": "-t"})
    seq2seq: str = field(
        default="",
        metadata={
            "help": 'options as "tokenizer=FOLDER method=masked max_source=192": `unilatent options task seq2seq`'
        },
    )
    seed: int = II("common.seed")


@register_task("unilatent", dataclass=TaskConfig)
class PairTask(FairseqTask):
    """Text to text by `s2s.tasks.seq2seq`, on data of `fairseq-preprocess`."""

    def __init__(self, cfg: TaskConfig, pairs: Seq2Seq, vocabularies: tuple[Vocabulary, Vocabulary]) -> None:
        super().__init__(cfg)
        self.pairs, self.vocabularies = pairs, vocabularies

    @classmethod
    def setup_task(cls, cfg: TaskConfig, **_: Any) -> "PairTask":
        """Read tokenizer and dictionaries; InputError if they do not fit."""
        config = parse_section(Seq2Seq.Config, options_in(cfg.seq2seq, "--seq2seq"), "--seq2seq")
        if config.method in SHIFTED[1:] or config.features or config.copying:
            raise ConfigError("--seq2seq: method must be causal, masked or pseudo_masked, without features or copying")
        if not (cfg.source_lang and cfg.target_lang):
            cfg.source_lang, cfg.target_lang = infer_language_pair(cfg.data)
        if not (cfg.source_lang and cfg.target_lang):
            raise InputError(f"{cfg.data}: expected a folder of fairseq-preprocess, or --source-lang and --target-lang")
        pairs = Seq2Seq(config)
        source, target = (
            Vocabulary(cls.load_dictionary(str(path)), pairs.tokenizer, str(path))
            for path in (Path(cfg.data, f"dict.{language}.txt") for language in (cfg.source_lang, cfg.target_lang))
        )
        return cls(cfg, pairs, (source, target))

    @property
    def source_dictionary(self) -> Dictionary:
        """The dictionary of the sources."""
        return self.vocabularies[0].dictionary

    @property
    def target_dictionary(self) -> Dictionary:
        """The dictionary of the targets."""
        return self.vocabularies[1].dictionary

    def load_dataset(self, split: str, combine: bool = False, **_: Any) -> None:
        """Read the pairs of a split."""
        name = Path(self.cfg.data, f"{split}.{self.cfg.source_lang}-{self.cfg.target_lang}")
        sides = [
            load_indexed_dataset(f"{name}.{language}", vocabulary.dictionary, combine=combine)
            for language, vocabulary in zip(
                (self.cfg.source_lang, self.cfg.target_lang), self.vocabularies, strict=True
            )
        ]
        if None in sides or len(sides[0]) != len(sides[1]):
            raise InputError(f"{name}: expected .bin and .idx of both languages, with as many sequences in each")
        self.datasets[split] = Pairs(self.pairs, self.vocabularies, sides[0], sides[1], self.cfg.seed)

    def build_dataset_for_inference(
        self,
        src_tokens: list[Tensor],
        src_lengths: Any,
        constraints: Tensor | None = None,
        **_: Any,
    ) -> Pairs:
        """Sources to generate from."""
        return Pairs(self.pairs, self.vocabularies, src_tokens, None, self.cfg.seed, constraints)

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> torch.nn.Module:
        """A model, whose sizes are noted for checkpoints, so that they are read without the encoder it began with."""
        model = super().build_model(cfg, from_checkpoint)
        cfg.sizes = model.unilm.config.model_dump_json()
        return model  # type: ignore[no-any-return]
