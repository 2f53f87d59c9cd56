"""Encoder-decoders of transformers as models of this package, so that one trainer trains them and ours alike.

Importing this module registers what `quality.py` needs beside the package's own classes: the models, a task whose
batches are the same for every method, and a criterion that counts processor time. A peer runs its own layers on padded
sources and targets; the scores of padding are left out, which `transformers` would compute.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoConfig, BartConfig, BartForConditionalGeneration, EncoderDecoderConfig, EncoderDecoderModel
from transformers.utils import logging

from s2s import hub
from s2s.config import Section
from s2s.criteria.cross_entropy import CrossEntropy
from s2s.data.batch import PADDING, SourceBatch, TokenBatch
from s2s.data.corpus import Corpus
from s2s.data.pair_dataset import PairDataset
from s2s.decoding.wide import WideBeamSearch
from s2s.models.base import Model
from s2s.models.pretrained import locate
from s2s.registry import register_criterion, register_model, register_task
from s2s.tasks.seq2seq import Seq2Seq

logging.set_verbosity_error()  # what MiniLM lacks is what is compared
logging.disable_progress_bar()

NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


@register_task("same_pairs")
class SamePairs(Seq2Seq):
    """Pairs in batches that depend on the lengths of the texts alone, and not on the method that lays them out."""

    class Config(Seq2Seq.Config):
        """Options of the seq2seq task."""

    def examples(self, corpus: Corpus, seed: int) -> PairDataset:
        made = super().examples(corpus, seed)
        made.lengths = np.stack([corpus.sources.lengths, corpus.targets.lengths], axis=1)
        return made


@register_criterion("timed_cross_entropy")
class TimedCrossEntropy(CrossEntropy):
    """Cross entropy, with the processor seconds of all updates so far beside it; checkpoints keep the sum.

    The time of an update passes between two forward passes in training, or between one and the next validation. That of
    validations and checkpoints does not count.
    """

    class Config(CrossEntropy.Config):
        """Options of the cross-entropy criterion."""

    spent: Tensor

    def __init__(self, config: TimedCrossEntropy.Config) -> None:
        super().__init__(config)
        self.register_buffer("spent", torch.zeros((), dtype=torch.float64))
        self._since: float | None = None

    def weights(self, batch: TokenBatch) -> dict[str, float]:
        return {**super().weights(batch), "processor_seconds": 1.0}

    def forward(self, model: Any, batch: TokenBatch, phase: str = "model") -> dict[str, Tensor]:
        now = time.process_time()
        if self._since is not None:
            self.spent += now - self._since
        self._since = now if self.training else None
        return {**super().forward(model, batch, phase), "processor_seconds": self.spent}


class Peer(Model):
    """A model of transformers, `network`, that is trained on batches of the method `encoder_decoder`."""

    network: Any

    @abstractmethod
    def hidden(self, sources: Tensor, sources_real: Tensor, targets: Tensor, targets_real: Tensor) -> Tensor:
        """Last hidden states of the decoder, `(B, T, D)`, of ids and masks (1 = no padding) `(B, S)` and `(B, T)`."""

    def features(self, batch: TokenBatch) -> Tensor:
        context, real = batch.context, (batch.steps != PADDING).long()
        sides = [(table[:, :context], table[:, context:]) for table in (batch.tokens, real)]
        (sources, targets), (sources_real, targets_real) = sides
        rows, columns = batch.slots // real.shape[1], batch.slots % real.shape[1]
        return self.hidden(sources, sources_real, targets, targets_real)[rows, columns - context]

    @abstractmethod
    def logits(self, features: Tensor) -> Tensor:
        """Scores over the vocabulary, `(N, V)`, of rows of features, `(N, D)`."""

    @torch.inference_mode()
    def generate(self, sources: SourceBatch, search: WideBeamSearch.Config, pad_id: int) -> list[list[int]]:
        """The best output of each source by transformers' beam search, as ids without the end."""
        start, end = sources.feeding.start, sources.feeding.end
        columns = torch.arange(sources.context)
        made = self.network.generate(
            sources.tokens,
            attention_mask=(columns < sources.lengths.unsqueeze(1)).long(),
            num_beams=search.beam_size,
            no_repeat_ngram_size=search.no_repeat_ngram_size,
            length_penalty=search.length_penalty,
            max_new_tokens=search.max_length,
            early_stopping="never",  # it ends as ours does, when no open output can pass those that ended
            do_sample=False,
            decoder_start_token_id=start,
            eos_token_id=end,
            pad_token_id=pad_id,
        )
        return [row[: row.index(end)] if end in row else row for row in made[:, 1:].tolist()]


@register_model("bert_pair")
class BertPair(Peer):
    """`EncoderDecoderModel`: an encoder and a decoder from the same checkpoint; the attention between them is random.

    transformers ties the output matrix to the decoder's embeddings, as this package does.
    """

    class Config(Section):
        """Options of the model."""

        init: hub.RequiredName
        """Checkpoint of both, without an output head."""
        head: Literal["random", "identity"] = "random"
        """How the dense layer of the head begins: at random, or as the identity, as `unilm` begins."""

    config: BertPair.Config

    def __init__(self, config: BertPair.Config) -> None:
        super().__init__(config)
        parts = [AutoConfig.from_pretrained(locate(config.init), **NO_DROPOUT) for _ in range(2)]
        self._take(EncoderDecoderModel(EncoderDecoderConfig.from_encoder_decoder_configs(*parts)))

    def initialize(self) -> None:
        options = {f"{side}_{name}": rate for side in ("encoder", "decoder") for name, rate in NO_DROPOUT.items()}
        folder = str(locate(self.config.init))
        self._take(EncoderDecoderModel.from_encoder_decoder_pretrained(folder, folder, **options).train())
        if self.config.head == "identity":
            nn.init.eye_(self.network.decoder.cls.predictions.transform.dense.weight)

    def _take(self, network: Any) -> None:
        network.encoder.pooler = None  # nothing reads it
        self.network = network

    def hidden(self, sources: Tensor, sources_real: Tensor, targets: Tensor, targets_real: Tensor) -> Tensor:
        memory = self.network.encoder(input_ids=sources, attention_mask=sources_real).last_hidden_state
        made = self.network.decoder.bert(
            input_ids=targets,
            attention_mask=targets_real,
            encoder_hidden_states=memory,
            encoder_attention_mask=sources_real,
            use_cache=False,
        )
        return made.last_hidden_state  # type: ignore[no-any-return]

    def logits(self, features: Tensor) -> Tensor:
        return self.network.decoder.cls(features)  # type: ignore[no-any-return]


@register_model("equal_bart")
class EqualBart(Peer):
    """A BART with random weights, as many as an encoder has: half of its layers read and half write.

    The feed-forward networks are narrower by the hidden size, which pays for the attention between the two.
    """

    class Config(Section):
        """Options of the model."""

        like: hub.RequiredName
        """Encoder in BERT's layout whose size is taken."""

    config: EqualBart.Config

    def __init__(self, config: EqualBart.Config) -> None:
        super().__init__(config)
        self.network = BartForConditionalGeneration(equal_bart(locate(config.like)))

    def hidden(self, sources: Tensor, sources_real: Tensor, targets: Tensor, targets_real: Tensor) -> Tensor:
        made = self.network.model(
            input_ids=sources,
            attention_mask=sources_real,
            decoder_input_ids=targets,
            decoder_attention_mask=targets_real,
            use_cache=False,
        )
        return made.last_hidden_state  # type: ignore[no-any-return]

    def logits(self, features: Tensor) -> Tensor:
        return self.network.lm_head(features) + self.network.final_logits_bias  # type: ignore[no-any-return]


def equal_bart(folder: Path) -> BartConfig:
    """The sizes of a BART with as many weights as the encoder in a folder."""
    given = AutoConfig.from_pretrained(folder)
    layers, inner = max(1, given.num_hidden_layers // 2), given.intermediate_size - given.hidden_size
    return BartConfig(
        vocab_size=given.vocab_size,
        d_model=given.hidden_size,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=given.num_attention_heads,
        decoder_attention_heads=given.num_attention_heads,
        encoder_ffn_dim=inner,
        decoder_ffn_dim=inner,
        max_position_embeddings=given.max_position_embeddings // 2,
        dropout=0.0,
        pad_token_id=given.pad_token_id,
        forced_eos_token_id=None,
    )
