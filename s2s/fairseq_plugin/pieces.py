"""The pieces of a tokenizer as a BPE of fairseq, for raw text in `fairseq-interactive` and readable outputs."""

from dataclasses import dataclass, field

from fairseq.data.encoders import register_bpe
from fairseq.dataclass import FairseqDataclass

from s2s.data.tokenizer import Tokenizer


@dataclass
class PiecesConfig(FairseqDataclass):
    """Options of the pieces."""

    pieces_of: str = field(default="???", metadata={"help": "folder or hub id of the encoder's tokenizer"})


@register_bpe("unilatent", dataclass=PiecesConfig)
class Pieces:
    """Text to vocabulary items between blanks, and back."""

    def __init__(self, cfg: PiecesConfig) -> None:
        self._tokenizer = Tokenizer.load(cfg.pieces_of)

    def encode(self, text: str) -> str:
        """The items of a text."""
        return " ".join(self._tokenizer.tokens(self._tokenizer.encode(text)))

    def decode(self, items: str) -> str:
        """The text of items."""
        known = [item for item in items.split() if item not in ("<unk>", "<<unk>>")]
        return self._tokenizer.text(self._tokenizer.encode(known) if known else [])
