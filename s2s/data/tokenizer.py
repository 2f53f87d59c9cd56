"""Tokenizers: text to ids without special tokens, ids back to text, and the special ids every model needs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, normalizers, processors
from tokenizers import Tokenizer as Backend

from s2s.data.readable import join_words
from s2s.durable import write_whole
from s2s.errors import InputError, shown
from s2s.hub import fetch
from s2s.json_files import dump_json, read_object
from s2s.shipped import run_folder

_FILES = ("tokenizer.json", "vocab.txt", "sentencepiece.bpe.model", "spm.model", "vocab.json", "merges.txt")
_KINDS = {
    "BertTokenizerFast": ["vocab.txt"],
    "XLMRobertaTokenizerFast": ["sentencepiece.bpe.model"],
    "DebertaV2TokenizerFast": ["spm.model"],
    "RobertaTokenizerFast": ["vocab.json", "merges.txt"],
}
"""Classes of transformers, and the files that each reads."""
_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json")
_USUAL_NAMES = {
    "cls": ("[CLS]", "<s>"),
    "sep": ("[SEP]", "</s>"),
    "mask": ("[MASK]", "<mask>"),
    "pad": ("[PAD]", "<pad>"),
}


@dataclass(frozen=True)
class SpecialIds:
    """The special tokens of an encoder's vocabulary: BERT's [CLS] [SEP] [MASK] [PAD], RoBERTa's <s> </s> ...

    `pseudo` is fed at a place to predict (UniLMv2's [P]); by default it is the mask token.
    """

    cls: int
    sep: int
    mask: int
    pad: int
    pseudo: int = -1

    def __post_init__(self) -> None:
        if self.pseudo < 0:
            object.__setattr__(self, "pseudo", self.mask)


class Tokenizer:
    """A vocabulary with its segmentation rule.

    Args:
        special_names: The special tokens by role ("cls", "sep", "mask", "pad"; "pseudo" if it is not the mask).
        name: The user's name for it, for messages.
    """

    def __init__(self, backend: Backend, special_names: dict[str, str], name: str) -> None:
        self.name = name
        self._backend = backend
        self._backend.no_truncation()
        self._backend.no_padding()
        self._special_names = special_names
        self.special = SpecialIds(**{role: self.token_id(token) for role, token in special_names.items()})
        vocabulary = backend.get_vocab()
        self.vocab_size: int = max(vocabulary.values()) + 1
        self.num_added = 0
        self.kept: set[int] = set()
        self.unknown: int | None = _unknown_id(backend)
        added = {id: token.content for id, token in backend.get_added_tokens_decoder().items() if token.special}
        unknown = {self.unknown} if self.unknown is not None else set()
        self.reserved = (added.keys() | {vocabulary[token] for token in special_names.values()}) - unknown
        """Ids that no text is encoded as: the special tokens but the unknown one."""
        self.special_ids = sorted(self.reserved | unknown)
        self._backend.encode_special_tokens = True  # a text that holds "[SEP]" is text, and is split as such
        self._written = re.compile("|".join(map(re.escape, added.values())) or r"\b\B")

    @classmethod
    def load(
        cls,
        name: str | Path,
        lower_case: bool | None = None,
        added_tokens: Sequence[str] = (),
        pseudo_token: str | None = None,
    ) -> Tokenizer:
        """The tokenizer in a folder, or of a hub id.

        Args:
            name: A folder with tokenizer.json or the vocabulary's own files, or a hub id.
            lower_case: Whether to lower-case text first; None leaves it to the tokenizer.
            added_tokens: Tokens that text may hold and that are never split, such as "[X_SEP]", or "[SEP]" between the
                parts of a source. Those that the vocabulary lacks are appended to it; `num_added` counts them.
            pseudo_token: The token at a place to predict. Default: as the folder sets it, else the mask token.

        Raises:
            InputError: the tokenizer is missing, cannot be read, or lacks one of the special tokens.
        """
        folder = _folder_of(str(name))
        settings = _settings(folder)
        backend = _read_backend(folder, settings.get("do_lower_case") if lower_case is None else lower_case)
        if lower_case is not None:
            _set_lower_case(backend, lower_case, str(name))
        before = backend.get_vocab_size()
        backend = _as_text(backend, added_tokens)
        backend.add_tokens([AddedToken(token, normalized=False) for token in added_tokens])
        names = _special_names(backend, settings, folder)
        pseudo_token = pseudo_token or _content(settings, "pseudo_token", folder)
        if pseudo_token is not None:
            if backend.token_to_id(pseudo_token) is None:
                raise InputError(
                    f"tokenizer {name}: its vocabulary has no pseudo token {pseudo_token!r}; "
                    "name one that it has by task.pseudo_token, or add it by task.added_tokens"
                )
            names["pseudo"] = pseudo_token
        tokenizer = cls(backend, names, str(name))
        tokenizer.num_added = backend.get_vocab_size() - before
        tokenizer.kept = {tokenizer.token_id(token) for token in added_tokens}
        return tokenizer

    def save(self, folder: Path) -> None:
        """Write tokenizer.json and tokenizer_config.json, which `load` and transformers' AutoTokenizer read."""
        write_whole(folder / "tokenizer.json", self._backend.to_str(pretty=True).encode("utf-8"))
        self._write_settings(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})

    def export(self, folder: Path, max_length: int, num_segments: int) -> None:
        """Write what `save` writes and what other libraries read: the vocabulary's own files, the maximum length, the
        inputs of the model, and the special tokens around every text.
        """
        backend = Backend.from_str(self._backend.to_str())
        backend.model.save(str(folder))  # vocab.txt; vocab.json and merges.txt; unigram.json
        if self.is_wordpiece:
            items = "".join(f"{item}\n" for item in self.tokens(range(self.vocab_size)))
            (folder / "vocab.txt").write_text(items, encoding="utf-8")  # with the added tokens
        if backend.post_processor is None:
            cls, sep = (self._special_names[role] for role in ("cls", "sep"))
            backend.post_processor = processors.BertProcessing((sep, self.special.sep), (cls, self.special.cls))
        write_whole(folder / "tokenizer.json", backend.to_str(pretty=True).encode("utf-8"))
        types = ["token_type_ids"] if num_segments > 1 else []
        settings = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": max_length,
            "model_input_names": ["input_ids", *types, "attention_mask"],
            "do_lower_case": self.drops_case,
        }
        self._write_settings(folder / "tokenizer_config.json", settings)
        self._write_settings(folder / "special_tokens_map.json", {})

    def _write_settings(self, path: Path, settings: dict[str, Any]) -> None:
        names: dict[str, Any] = {f"{role}_token": token for role, token in self._special_names.items()}
        if self.unknown is not None:
            names["unk_token"] = self._backend.id_to_token(self.unknown)
        path.write_text(dump_json(settings | names, indent=2) + "\n", encoding="utf-8")

    def encode(self, text: str | list[str]) -> list[int]:
        """Ids of a text, or of a list of vocabulary items, without special tokens.

        Raises:
            InputError: the vocabulary lacks an item of the list, and has no unknown token.
        """
        return self.encode_many([text])[0]

    def encode_many(self, texts: Sequence[str | list[str]]) -> list[list[int]]:
        """`encode` for many texts at once, on all processor cores."""
        strings = [text for text in texts if isinstance(text, str)]
        encoded = iter(self._backend.encode_batch_fast(strings, add_special_tokens=False))
        return [next(encoded).ids if isinstance(text, str) else self._ids_of(text) for text in texts]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where each piece of a text begins and ends, in characters; one for each of `encode`."""
        return list(self._backend.encode(text, add_special_tokens=False).offsets)

    def token_id(self, token: str) -> int:
        """The id of one vocabulary item, or of a word that is one piece ("The" for a lower-casing tokenizer)."""
        id = self._backend.token_to_id(token)
        if id is not None:
            return int(id)
        ids = self.encode(token)
        if len(ids) != 1 or ids[0] == self.unknown:
            raise InputError(f"{token!r} is not one item of the vocabulary of tokenizer {self.name}")
        return ids[0]

    def special_in(self, text: str) -> str | None:
        """A special token that a text spells out and that is read as plain text, or None."""
        found = self._written.search(text)
        return found[0] if found else None

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The vocabulary items of ids."""
        return [self._backend.id_to_token(int(id)) or f"<{id}>" for id in ids]

    def text(self, ids: Iterable[int]) -> str:
        """Readable text: pieces joined, punctuation attached; the special tokens left out."""
        kept = [int(id) for id in ids if int(id) not in vars(self.special).values()]
        if self.is_wordpiece:
            return join_words(wordpiece_join(self.tokens(kept)).split())
        return str(self._backend.decode(kept, skip_special_tokens=False)).strip()

    def s2s_ft_text(self, ids: Iterable[int]) -> str:
        """The text that s2s-ft writes: cut at the first separator or pad, words apart from punctuation.

        Source: `microsoft/unilm: s2s-ft/decode_seq2seq.py`. Published scores are computed on this form.
        """
        kept: list[int] = []
        for id in ids:
            if id in (self.special.sep, self.special.pad):
                break
            kept.append(int(id))
        if self.is_wordpiece:
            return wordpiece_join(self.tokens(kept))
        return str(self._backend.decode(kept, skip_special_tokens=False)).strip().replace("\n", " [X_SEP] ")

    @property
    def backend(self) -> Backend:
        """The segmentation itself, an object of the `tokenizers` library; do not change it."""
        return self._backend

    def over(self, backend: Backend) -> Tokenizer:
        """Another segmentation with the special tokens and the name of this one."""
        return Tokenizer(backend, self._special_names, self.name)

    @property
    def drops_case(self) -> bool:
        """Whether encoding drops capitals."""
        normalizer = self._backend.normalizer
        return normalizer is not None and bool(normalizer.normalize_str("A") == "a")

    @property
    def is_wordpiece(self) -> bool:
        """Whether pieces inside a word begin with ##."""
        return type(self._backend.model).__name__ == "WordPiece"

    def _ids_of(self, tokens: list[str]) -> list[int]:
        ids = []
        for token in tokens:
            id = self._backend.token_to_id(token)
            id = self.unknown if id is None else id
            if id is None:
                raise InputError(f"{token!r} is not in the vocabulary of tokenizer {self.name}, and it has no [UNK]")
            ids.append(int(id))
        return ids


def wordpiece_join(tokens: Iterable[str]) -> str:
    """Words with spaces between them, from WordPieces; a ## piece that comes first stays as it is.

    Source: `microsoft/unilm: s2s-ft/decode_seq2seq.py`.
    """
    words: list[str] = []
    for token in tokens:
        if token.startswith("##") and words:
            words[-1] += token[2:]
        else:
            words.append(token)
    return " ".join(words)


def _folder_of(name: str) -> Path:
    folder = run_folder(name)
    if folder.is_dir():
        return folder
    if folder.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InputError(f"tokenizer {name}: expected a folder with one of {', '.join(_FILES[:4])}; no such folder")
    return fetch(name, [*_FILES, *_SETTINGS])


def _read_backend(folder: Path, lower_case: bool | None) -> Backend:
    """The segmentation in a folder: tokenizer.json as it is, else what the vocabulary's kind implies."""
    try:
        if (folder / "tokenizer.json").is_file():
            return Backend.from_file(str(folder / "tokenizer.json"))
        if kind := _kind_of(folder):
            return _convert(kind, folder, lower_case)
    except Exception as error:  # the tokenizers library raises bare Exception
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"tokenizer {folder}: its files cannot be read ({reason})") from error
    raise InputError(
        f"tokenizer {folder}: expected tokenizer.json, vocab.txt, sentencepiece.bpe.model, spm.model, "
        f"or vocab.json and merges.txt in the folder, found none of them"
    )


def _kind_of(folder: Path) -> str | None:
    """The class of transformers that reads the files of a folder; None if there is none."""
    kind = next((kind for kind, files in _KINDS.items() if all((folder / name).is_file() for name in files)), None)
    if kind == "XLMRobertaTokenizerFast" and (folder / "config.json").is_file():  # the same file, but with other ids
        return (
            "CamembertTokenizerFast" if read_object(folder / "config.json").get("model_type") == "camembert" else kind
        )
    return kind


def _convert(kind: str, folder: Path, lower_case: bool | None) -> Backend:
    import transformers

    options = {}
    if kind == "BertTokenizerFast":
        items = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
        is_uncased = all(item == item.lower() for item in items if not item.startswith("["))
        options["do_lower_case"] = is_uncased if lower_case is None else lower_case
    backend: Backend = getattr(transformers, kind).from_pretrained(folder, **options).backend_tokenizer
    return backend


def _as_text(backend: Backend, tokens: Sequence[str]) -> Backend:
    """The segmentation, with the special tokens that text may hold made ordinary added tokens."""
    description = json.loads(backend.to_str())
    known = [token for token in description["added_tokens"] if token["special"] and token["content"] in tokens]
    for token in known:
        token["special"] = False
    return Backend.from_str(json.dumps(description)) if known else backend


def _set_lower_case(backend: Backend, lower_case: bool, name: str) -> None:
    normalizer = backend.normalizer
    if isinstance(normalizer, normalizers.BertNormalizer):
        normalizer.lowercase = lower_case
        backend.normalizer = normalizer
        return
    already = any(sign in repr(normalizer) for sign in ("Lowercase", "lowercase=True"))
    if lower_case and not already:
        lower = normalizers.Lowercase()
        backend.normalizer = lower if normalizer is None else normalizers.Sequence([lower, normalizer])
    if already and not lower_case:
        raise InputError(f"lower_case: tokenizer {name} always lower-cases; it must be true or left out, found false")


def _special_names(backend: Backend, settings: dict[str, Any], folder: Path) -> dict[str, str]:
    """The special tokens by role: from the folder's settings, else by their usual names."""
    names = {}
    for role, usual in _USUAL_NAMES.items():
        named = _content(settings, f"{role}_token", folder)
        token = next((token for token in (named, *usual) if token and backend.token_to_id(token) is not None), None)
        if token is None:
            raise InputError(f"tokenizer {folder}: it has no {role} token ({' or '.join(usual)}), which encoders need")
        names[role] = token
    return names


def _content(settings: Mapping[str, Any], option: str, folder: Path) -> str | None:
    """The text of a token in a tokenizer's settings, which may describe it by a mapping."""
    token = settings.get(option)
    text = token.get("content") if isinstance(token, dict) else token
    if not isinstance(text, str | None):
        raise InputError(f"tokenizer {folder}: {option} must be the text of a token, found {shown(token)}")
    return text


def _settings(folder: Path) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for name in _SETTINGS:
        if (folder / name).is_file():
            settings |= read_object(folder / name)
    return settings


def _unknown_id(backend: Backend) -> int | None:
    token = getattr(backend.model, "unk_token", None) or next(
        (token for token in ("[UNK]", "<unk>") if backend.token_to_id(token) is not None), None
    )
    return None if token is None else backend.token_to_id(token)
