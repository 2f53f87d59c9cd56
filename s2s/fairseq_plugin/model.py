"""The model `unilatent` of fairseq: UniLM, and its generation as an encoder and a decoder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, FairseqEncoder, FairseqIncrementalDecoder, register_model
from torch import Tensor

from s2s.config import options_in, parse_section
from s2s.data.batch import TokenBatch
from s2s.errors import ConfigError
from s2s.json_files import parse_object
from s2s.models.unilm import UniLM
from s2s.models.unilm_state import UniLMState
from s2s.tasks.seq2seq import Source


@dataclass
class ModelConfig(FairseqDataclass):
    """Options of the model."""

    unilm: str = field(
        default="",
        metadata={"help": 'options as "init=FOLDER hidden_dropout=0": `unilatent options model unilm` explains them'},
    )
    sizes: str = field(default="", metadata={"help": "resolved options, which checkpoints keep"})


class Hypotheses:
    """The state of a generation, in which fairseq counts hypotheses through the batch: sentence * beam + hypothesis."""

    def __init__(self, state: UniLMState, sentences: int) -> None:
        self.state, self.beam = state, 0
        self._sentences = sentences

    def reorder(self, order: Tensor) -> "Hypotheses":
        """Follow hypotheses; the first call, before any step, only tells how many there are of each sentence."""
        if not self.beam:
            self.beam = len(order) // self._sentences
            return self
        rows = order.view(-1, self.beam)
        sentences = None if len(rows) == self._sentences else rows[:, 0] // self.beam
        self.state.select(sentences, rows % self.beam)
        self._sentences = len(rows)
        return self


class Reader(FairseqEncoder):
    """Reads sources; its output is a `Hypotheses`."""

    def __init__(self, read: Callable[[Tensor], Hypotheses], longest: int) -> None:
        super().__init__(None)
        self._read, self._longest = read, longest

    def forward(self, src_tokens: Tensor, src_lengths: Any = None, **_: Any) -> Hypotheses:
        """Read sources, `(B, S)` ids of the dictionary."""
        return self._read(src_tokens)

    def reorder_encoder_out(self, encoder_out: Hypotheses, new_order: Tensor) -> Hypotheses:
        """See `Hypotheses.reorder`."""
        return encoder_out.reorder(new_order)

    def max_positions(self) -> int:
        """Longest source."""
        return self._longest


class Writer(FairseqIncrementalDecoder):
    """Scores the next item of each hypothesis. The state is the encoder's output, so fairseq's own stays empty."""

    def __init__(self, score: Callable[[Hypotheses, Tensor | None], Tensor], longest: int) -> None:
        super().__init__(None)
        self._score, self._longest = score, longest

    def forward(
        self, prev_output_tokens: Tensor, encoder_out: Hypotheses, incremental_state: Any = None, **_: Any
    ) -> tuple[Tensor, None]:
        """Scores `(B K, 1, D)` after tokens `(B K, T)`, whose first is only fairseq's sign that there is none yet."""
        latest = prev_output_tokens[:, -1] if prev_output_tokens.shape[1] > 1 else None
        return self._score(encoder_out, latest).flatten(0, 1).unsqueeze(1), None

    def max_positions(self) -> int:
        """Longest output, the end counted."""
        return self._longest


@register_model("unilatent", dataclass=ModelConfig)
class FairseqUniLM(BaseFairseqModel):
    """UniLM, in training a function of a `TokenBatch`, in generation an encoder and a decoder."""

    def __init__(self, unilm: UniLM, task: Any) -> None:
        super().__init__()
        self.unilm = unilm
        self._pairs, (self._source, self._target) = task.pairs, task.vocabularies
        limits = task.pairs.config
        self.encoder = Reader(self._read, limits.max_source)
        self.decoder = Writer(self._score, limits.max_target)

    @classmethod
    def build_model(cls, cfg: ModelConfig, task: Any) -> "FairseqUniLM":
        """The model of a checkpoint, or a new one from the encoder that `init` names."""
        if cfg.sizes:
            values = parse_object(cfg.sizes, "model of the checkpoint")
            return cls(UniLM(parse_section(UniLM.Config, values, "model of the checkpoint")), task)
        config = parse_section(UniLM.Config, options_in(cfg.unilm, "--unilm"), "--unilm")
        if config.adapters is not None:
            raise ConfigError("--unilm: adapters must be left out, fairseq trains and stores all weights")
        unilm = UniLM(UniLM.resolve(config, task.pairs.model_defaults()))
        unilm.initialize()
        return cls(unilm, task)

    def forward(self, batch: TokenBatch) -> Tensor:
        """Hidden states at the places to predict, `(N, hidden_size)`."""
        return self.unilm.features(batch)

    def logits(self, features: Tensor) -> Tensor:
        """Scores of the tokenizer's vocabulary, `(N, V)`."""
        return self.unilm.logits(features)

    def max_positions(self) -> None:
        """No limit for fairseq to enforce: the task cuts what is too long."""
        return None

    def max_decoder_positions(self) -> int:
        """Longest output, the end counted."""
        return self.decoder.max_positions()

    def _read(self, src_tokens: Tensor) -> Hypotheses:
        rows: Sequence[Any] = [self._source.ids(row).tolist() for row in src_tokens.cpu()]
        sources = [Source(str(number), self._pairs.framed(row), [], 0) for number, row in enumerate(rows)]
        batch = self._pairs.collate_sources(sources).to(src_tokens.device)
        return Hypotheses(self.unilm.start(batch, self.decoder.max_positions()), len(rows))

    def _score(self, hypotheses: Hypotheses, latest: Tensor | None) -> Tensor:
        """Scores of the dictionary's items, `(B, K, D)`."""
        tokens = None if latest is None else self._target.tokens(latest.view(-1, hypotheses.beam))
        scores: Tensor = self._target.scores(self.unilm.step(hypotheses.state, tokens))
        return scores if tokens is not None else scores.repeat(1, hypotheses.beam, 1)

    def upgrade_state_dict_named(self, state_dict: dict[str, Tensor], name: str) -> None:
        """Leave out fairseq's marks of versions, for which our modules have no place."""
        for key in [key for key in state_dict if key.endswith("decoder.version")]:
            del state_dict[key]

    @torch.jit.unused
    def prepare_for_inference_(self, cfg: Any) -> None:
        """Nothing to do: keys and values are always kept."""
