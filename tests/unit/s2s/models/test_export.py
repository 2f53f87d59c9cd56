"""Folders that we export are read by the readers of `transformers`: tokenizer, configuration, the same scores."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer, BertTokenizer

from s2s.data.tokenizer import Tokenizer
from s2s.errors import InputError
from s2s.models.export import save_bert_folder, save_tokenizer
from s2s.models.unilm import UniLM

BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "dog", "##s", "ran", ".", "x"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def bert(folder: Path) -> Tokenizer:
    (folder / "vocab.txt").write_text("\n".join(BERT) + "\n")
    return Tokenizer.load(folder, added_tokens=["[X_SEP]"])


def roberta(folder: Path) -> Tokenizer:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: id for id, token in enumerate([*ROBERTA, *letters, "th", "the"])}
    backend = Backend(models.BPE(vocabulary, [("t", "h"), ("th", "e")], unk_token="<unk>"))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    backend.add_special_tokens(ROBERTA)
    backend.save(str(folder / "tokenizer.json"))
    return Tokenizer.load(folder)


def xlm_roberta(folder: Path) -> Tokenizer:
    pieces = [*ROBERTA[:4], "▁der", "▁Hund", "▁", "n", "."]
    backend = Backend(models.Unigram([(piece, -1.0) for piece in pieces] + [("<mask>", 0.0)], unk_id=3))
    backend.normalizer, backend.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens(ROBERTA)
    backend.save(str(folder / "tokenizer.json"))
    return Tokenizer.load(folder)


@pytest.mark.parametrize(
    ("make", "text", "segments"),
    [(bert, "The dogs [X_SEP] ran.", 2), (roberta, "the dog", 1), (xlm_roberta, "der Hund.", 0)],
)
def test_the_real_readers_take_what_we_export(tmp_path, make, text, segments):
    tokenizer = make(tmp_path)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_layers": 2, "num_heads": 2, "intermediate_size": 24, "max_positions": 12}
    model = UniLM(
        UniLM.Config(vocab_size=tokenizer.vocab_size, num_segments=segments, initializer_range=0.3, **sizes)
    ).eval()
    out = tmp_path / "out"
    save_bert_folder(model, out)
    save_tokenizer(tokenizer, out)
    (tmp_path / "config.yaml").touch()
    with pytest.raises(InputError, match="is a run folder, whose files would be replaced"):
        save_bert_folder(model, tmp_path)

    special = tokenizer.special
    theirs = AutoTokenizer.from_pretrained(out)
    encoded = theirs(text, return_tensors="pt")
    assert encoded["input_ids"][0].tolist() == [special.cls, *tokenizer.encode(text), special.sep]
    assert ("token_type_ids" in encoded) == (segments > 1)
    assert 1 in theirs(text, text).get("token_type_ids", [1])
    assert (theirs.model_max_length, len(theirs(f"{text} " * 12, truncation=True)["input_ids"])) == (12, 12)
    assert (theirs.pad_token_id, theirs.mask_token_id, len(theirs)) == (special.pad, special.mask, tokenizer.vocab_size)
    config = AutoConfig.from_pretrained(out)
    assert (config.max_position_embeddings, config.pad_token_id, config.type_vocab_size) == (
        12,
        special.pad,
        max(1, segments),
    )

    network, found = AutoModelForMaskedLM.from_pretrained(out, output_loading_info=True)
    assert not any(found.values())
    assert network.cls.predictions.decoder.weight is network.bert.embeddings.word_embeddings.weight
    with torch.no_grad():
        scores = network.eval()(**encoded).logits
        tokens = encoded["input_ids"]
        ours = model.logits(model.encode(tokens, torch.tensor([tokens.shape[1]])))
    torch.testing.assert_close(scores, ours, atol=1e-5, rtol=1e-5)


def test_the_vocabulary_is_there_for_readers_of_its_own_files(tmp_path):
    tokenizer = bert(tmp_path)
    (tmp_path / "out").mkdir()
    tokenizer.export(tmp_path / "out", 12, 2)
    assert (tmp_path / "out" / "vocab.txt").read_text().split("\n") == [*BERT, "[X_SEP]", ""]
    (tmp_path / "out" / "tokenizer.json").unlink()
    assert BertTokenizer.from_pretrained(tmp_path / "out").tokenize("The dogs") == ["the", "dog", "##s"]
    (tmp_path / "bpe").mkdir()
    (tmp_path / "bpe" / "out").mkdir()
    roberta(tmp_path / "bpe").export(tmp_path / "bpe" / "out", 12, 1)
    assert {"vocab.json", "merges.txt"} <= {path.name for path in (tmp_path / "bpe" / "out").iterdir()}
