"""A vocabulary from text: WordPiece, sentencepiece's models, or whole words, as a folder that every tool reads."""

from __future__ import annotations

import io
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tqdm import tqdm

from data_prep.pretrain_text.raw_text import Unit, files_of, read_raw, text_of
from s2s.checkpoint import refuse_run
from s2s.data.sentences import sentences
from s2s.durable import write_whole
from s2s.errors import InputError

Kind = Literal["wordpiece", "unigram", "bpe", "words"]

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[PSEUDO]")
"""The first items of every vocabulary. [PSEUDO] is what pseudo-masked pretraining may predict from, beside [MASK]."""

_SPECIAL_TOKENS = [AddedToken(token, special=True, normalized=False) for token in SPECIAL]
_PAD, _UNKNOWN, _CLS, _SEP, _MASK, _PSEUDO = range(len(SPECIAL))
_LONGEST_SENTENCE = 4096


def train(
    folder: Path,
    inputs: Sequence[str],
    kind: Kind,
    size: int,
    lower_case: bool,
    document: Unit,
    field: str,
    max_sentences: int,
    seed: int,
) -> str:
    """Train a vocabulary on the text of some inputs and write it to `folder`; returns a summary.

    Args:
        folder: Gets tokenizer.json, tokenizer_config.json, and vocab.txt (WordPiece, words) or spiece.model.
        inputs, document, field: As in `data_prep.pretrain_text.raw_text`.
        size: Items, including the special ones.
        lower_case: Lower-case the text; WordPiece strips accents as well, as BERT's uncased models do.
        max_sentences: Train on a random sample of this many sentences, to bound memory.

    Raises:
        InputError: an input is missing or bad, holds no text, or too little for so many items.
    """
    refuse_run(folder)
    drawn = _draw(_sentences(inputs, document, field), max_sentences, seed)
    if not drawn:
        raise InputError(f"--input {', '.join(inputs)}: no text to learn a vocabulary from")
    if kind in ("wordpiece", "words"):
        backend = (_wordpiece if kind == "wordpiece" else _words)(drawn, size, lower_case)
        tokens = [backend.id_to_token(id) for id in range(backend.get_vocab_size())]
        name, model = "vocab.txt", "".join(f"{token}\n" for token in tokens).encode()
    else:
        name, model = "spiece.model", _sentencepiece(drawn, size, lower_case, kind)
        backend = _from_sentencepiece(model, kind)
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", _CLS), ("[SEP]", _SEP)]
    )
    _write(folder, backend, lower_case, name, model)
    return f"{folder}: {backend.get_vocab_size():,} items ({kind}) from {len(drawn):,} sentences"


def _sentences(inputs: Sequence[str], document: Unit, field: str) -> Iterator[str]:
    """The sentences of all inputs; documents with broken UTF-8 are left out, overlong sentences cut."""
    for raw in (raw for source in inputs for name in files_of(source) for raw in read_raw(name, document, field)):
        try:
            text = text_of(raw, field)
        except UnicodeError:
            continue
        for sentence in sentences(text):
            for start in range(0, len(sentence), _LONGEST_SENTENCE):
                yield sentence[start : start + _LONGEST_SENTENCE]


def _draw(found: Iterator[str], most: int, seed: int) -> list[str]:
    """At most `most` of the sentences, by reservoir sampling."""
    generator = random.Random(seed)
    drawn: list[str] = []
    for number, sentence in enumerate(tqdm(found, desc="reading", unit=" sentences", unit_scale=True, disable=None)):
        if len(drawn) < most:
            drawn.append(sentence)
        elif (place := generator.randrange(number + 1)) < most:
            drawn[place] = sentence
    return drawn


def _wordpiece(drawn: list[str], size: int, lower_case: bool) -> Tokenizer:
    """Give the characters to the trainer: it would number them in random order, and numbers decide ties."""
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=lower_case)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    alphabet, inner = _characters(drawn, backend, most=max(64, size // 16))
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=[*SPECIAL, *alphabet, *(f"##{character}" for character in inner)],
        limit_alphabet=0,
        show_progress=False,
    )
    backend.train_from_iterator(drawn, trainer, length=len(drawn))
    if backend.get_vocab_size() > size:
        raise InputError(f"--size {size}: must be more than {backend.get_vocab_size()}, the characters of this text")
    vocabulary = dict(sorted(backend.get_vocab().items(), key=lambda item: item[1]))
    trained = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        setattr(trained, part, getattr(backend, part))
    trained.add_special_tokens(_SPECIAL_TOKENS)
    return trained


def _characters(drawn: list[str], backend: Tokenizer, most: int) -> tuple[list[str], list[str]]:
    """The `most` common characters, and those of them that occur inside words; in code point order."""
    words = _counted(drawn, backend)
    inner = {character for word in words for character in word[1:]}
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    alphabet = sorted(sorted(counts, key=lambda character: (-counts[character], character))[:most])
    return alphabet, [character for character in alphabet if character in inner]


def _counted(drawn: list[str], backend: Tokenizer) -> Counter[str]:
    """How often each word comes, as a tokenizer divides text."""
    words: Counter[str] = Counter()
    for sentence in drawn:
        normal = backend.normalizer.normalize_str(sentence)
        words.update(word for word, _ in backend.pre_tokenizer.pre_tokenize_str(normal))
    return words


def _words(drawn: list[str], size: int, lower_case: bool) -> Tokenizer:
    """The most frequent words; all others are unknown. Punctuation marks are words, too."""
    normalizer = normalizers.BertNormalizer(lowercase=lower_case, strip_accents=False)
    backend = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = normalizer, pre_tokenizers.BertPreTokenizer()
    counts = _counted(drawn, backend)
    words = sorted(counts, key=lambda word: (-counts[word], word))[: size - len(SPECIAL)]
    backend.model = models.WordLevel({word: id for id, word in enumerate([*SPECIAL, *words])}, unk_token="[UNK]")
    backend.add_special_tokens(_SPECIAL_TOKENS)
    return backend


def _sentencepiece(drawn: list[str], size: int, lower_case: bool, kind: Kind) -> bytes:
    """A model of the library sentencepiece, serialized."""
    try:
        import sentencepiece
    except ImportError as error:
        raise InputError(
            f"--kind {kind}: needs the package sentencepiece: pip install 'unilatent[pretrain]'"
        ) from error
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(drawn),
            model_writer=model,
            model_type=kind,
            vocab_size=size,
            normalization_rule_name="nmt_nfkc_cf" if lower_case else "nmt_nfkc",
            hard_vocab_limit=False,
            max_sentence_length=4 * _LONGEST_SENTENCE,
            pad_id=_PAD,
            unk_id=_UNKNOWN,
            bos_id=_CLS,
            eos_id=_SEP,
            pad_piece=SPECIAL[_PAD],
            unk_piece=SPECIAL[_UNKNOWN],
            bos_piece=SPECIAL[_CLS],
            eos_piece=SPECIAL[_SEP],
            control_symbols=[SPECIAL[_MASK], SPECIAL[_PSEUDO]],
            num_threads=1,  # the order of sums, hence the scores, depends on it
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[-1].rpartition("] ")[2]
        raise InputError(f"--size {size}: sentencepiece cannot learn so many items here: {reason}") from error
    return model.getvalue()


def _from_sentencepiece(model: bytes, kind: Kind) -> Tokenizer:
    """The same model for the library tokenizers."""
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto.FromString(model)
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    backend = Tokenizer(models.Unigram(pieces, unk_id=_UNKNOWN) if kind == "unigram" else _bpe(pieces))
    charsmap = proto.normalizer_spec.precompiled_charsmap
    backend.normalizer = normalizers.Sequence(
        [normalizers.Precompiled(charsmap), normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens(_SPECIAL_TOKENS)
    return backend


def _bpe(pieces: Sequence[tuple[str, float]]) -> models.BPE:
    """sentencepiece merges into the best piece, whatever its parts; so every division of a piece is a merge."""
    ids = {piece: id for id, (piece, _) in enumerate(pieces)}
    merges = [
        (pieces[id][1], piece[:cut], piece[cut:])
        for piece, id in ids.items()
        if piece not in SPECIAL
        for cut in range(1, len(piece))
        if piece[:cut] in ids and piece[cut:] in ids
    ]
    merges.sort(key=lambda merge: (-merge[0], ids[merge[1]], ids[merge[2]]))
    return models.BPE(ids, [(left, right) for _, left, right in merges], unk_token=SPECIAL[_UNKNOWN], fuse_unk=True)


def _write(folder: Path, backend: Tokenizer, lower_case: bool, name: str, model: bytes) -> None:
    """Write tokenizer.json, its settings, and the model in its own format."""
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "do_lower_case": lower_case,
        "pad_token": SPECIAL[_PAD],
        "unk_token": SPECIAL[_UNKNOWN],
        "cls_token": SPECIAL[_CLS],
        "sep_token": SPECIAL[_SEP],
        "mask_token": SPECIAL[_MASK],
        "additional_special_tokens": [SPECIAL[_PSEUDO]],
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "tokenizer.json", backend.to_str(pretty=True).encode("utf-8"))
        (folder / name).write_bytes(model)
        (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from error
