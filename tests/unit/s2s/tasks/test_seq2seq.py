"""The seq2seq task: decoding reads sources as training does, noise is repeatable, and options are checked."""

import json

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from s2s.config import parse_section
from s2s.data.batch import Feeding
from s2s.errors import ConfigError, InputError
from s2s.registry import TASKS
from s2s.tasks.seq2seq import Seq2Seq

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh", "##s", "."]
PAD, CLS, SEP, MASK = 0, 2, 3, 4
METHODS = ["causal", "masked", "pseudo_masked"]


@pytest.fixture
def folder(tmp_path):
    backend = Tokenizer(models.WordPiece({word: id for id, word in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.save(str(tmp_path / "tokenizer.json"))
    pairs = [{"src": "a b c", "tgt": "d", "id": "x"}, {"src": ["e", "##s"], "tgt": "f g"}, {"src": "h", "tgt": ["a"]}]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return tmp_path


def task(folder, **options):
    pairs = str(folder / "pairs.jsonl")
    values = {"tokenizer": str(folder), "train": pairs, "valid": [pairs], "max_source": 8, "max_target": 6, **options}
    return Seq2Seq(parse_section(Seq2Seq.Config, values, "task"))


def same(first, second):
    return all((getattr(first, name) == getattr(second, name)).all() for name in ("source", "target", "pseudo"))


def test_it_is_registered():
    assert TASKS["seq2seq"] is Seq2Seq


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("source", ["a b", "a b c d e f g h a b", ["a", "##s"]])
def test_decoding_reads_a_source_exactly_as_training_does(folder, method, source):
    (folder / "pairs.jsonl").write_text(json.dumps({"src": source, "tgt": "a"}) + "\n")
    seq2seq = task(folder, method=method)
    trained = seq2seq.dataset("train", 1).example(0, 0).source.tolist()
    assert seq2seq.source({"src": source}, "x:1").tokens == trained
    assert len(trained) <= 8


@pytest.mark.parametrize("method", METHODS)
def test_lengths_are_the_slots_that_an_example_takes_in_a_batch(folder, method):
    seq2seq = task(folder, method=method)
    dataset = seq2seq.dataset("train", 1)
    assert len(dataset) == 3
    for index in range(3):
        batch = seq2seq.collate([dataset.example(index, 0)])
        assert dataset.lengths[index].tolist() == [batch.context, batch.tokens.shape[1] - batch.context]
        assert batch.num_tokens == dataset.lengths[index].sum()


def test_noise_depends_on_seed_epoch_and_index_alone(folder):
    text = " ".join("abcdefgh"[i % 8] for i in range(60))
    (folder / "pairs.jsonl").write_text((json.dumps({"src": "a", "tgt": text}) + "\n") * 2)
    seq2seq = task(folder, max_target=61)
    dataset = seq2seq.dataset("train", 1)
    dataset.example(1, 3)
    assert same(dataset.example(0, 2), seq2seq.dataset("valid", 1).example(0, 2))
    for other in (dataset.example(0, 3), dataset.example(1, 2), seq2seq.dataset("train", 2).example(0, 2)):
        assert not same(dataset.example(0, 2), other)


def test_random_replacements_stay_in_the_vocabulary_and_are_not_special(folder):
    (folder / "pairs.jsonl").write_text(json.dumps({"src": "a", "tgt": "a " * 300}) + "\n")
    dataset = task(folder, max_target=301, random_prob=1, keep_prob=0).dataset("train", 1)
    assert set(dataset.example(0, 0).pseudo.tolist()) == set(range(5, len(WORDS)))


def pseudo_labels(folder, *names):
    """Two records with the targets of a teacher; `names` are those of source and target."""
    source, target = names or ("src", "tgt")
    records = [{source: "a b", target: "c", "tgt_pseudo": "d e"}, {source: "f", target: "g", "tgt_pseudo": "h"}]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def targets(task, split):
    dataset = task.dataset(split, 1)
    return [" ".join(WORDS[id] for id in dataset.example(i, 0).target) for i in range(len(dataset))]


@pytest.mark.parametrize("names", [(), ("article", "highlights")])
@pytest.mark.parametrize(
    ("labels", "trained"), [("gold", ["c", "g"]), ("pseudo", ["d e", "h"]), ("both", ["c", "g", "d e", "h"])]
)
def test_labels_choose_the_targets_of_training_and_validation_is_on_gold(folder, labels, trained, names):
    pseudo_labels(folder, *names)
    seq2seq = task(folder, labels=labels, target_mask_prob=0)
    plain = [text.removesuffix(" [SEP]") for text in targets(seq2seq, "train")]
    assert plain == trained
    assert [text.removesuffix(" [SEP]") for text in targets(seq2seq, "valid")] == ["c", "g"]
    assert seq2seq.references("valid", [1])[0].target == "g"


def test_records_without_pseudo_labels_are_refused_with_the_verb_that_makes_them(folder):
    with pytest.raises(
        InputError, match=r"jsonl:1: 'tgt_pseudo' is missing; found .*`unilatent prepare pseudo-labels`"
    ):
        task(folder, labels="pseudo").dataset("train", 1)


def test_pseudo_labels_that_are_not_finished_or_were_cut_are_refused(folder):
    pseudo_labels(folder)
    file = folder / "pairs.jsonl"
    size = file.stat().st_size
    (folder / "pairs.jsonl.state.json").write_text(json.dumps({"lengths": {"output": size}}))
    assert len(task(folder, labels="pseudo").dataset("train", 1)) == 2
    file.write_text(file.read_text().splitlines(keepends=True)[0])
    with pytest.raises(InputError, match=rf"has \d+ bytes, {size} were written; it was changed since"):
        task(folder, labels="pseudo").dataset("train", 1)
    assert len(task(folder).dataset("train", 1)) == 1
    (folder / "pairs.jsonl.parts").mkdir()
    with pytest.raises(InputError, match="is not finished; the command that writes it continues it"):
        task(folder, labels="both").dataset("train", 1)


def test_a_batch_names_its_records(folder):
    seq2seq = task(folder)
    dataset = seq2seq.dataset("train", 1)
    batch = seq2seq.collate([dataset.example(index, 0) for index in range(3)])
    assert batch.ids == ["x", f"{folder / 'pairs.jsonl'}:2", f"{folder / 'pairs.jsonl'}:3"]
    assert batch.pad_id == PAD


def test_sources_are_padded_and_carry_prefixes_and_what_was_cut(folder):
    seq2seq = task(folder)
    records = [{"src": "a b", "id": 7, "prefix": "c ds"}, {"src": "a b c d e f g h", "prefix": ""}]
    examples = [seq2seq.source(record, f"x:{line}") for line, record in enumerate(records, start=1)]
    batch = seq2seq.collate_sources(examples)
    assert batch.tokens.tolist() == [[CLS, 5, 6, SEP, PAD, PAD, PAD, PAD], [CLS, 5, 6, 7, 8, 9, 10, SEP]]
    assert batch.tokens.dtype == batch.lengths.dtype == torch.int64
    assert batch.lengths.tolist() == [4, 8]
    assert batch.prefixes == [[7, 8, 13], []]
    assert batch.ids == ["7", "x:2"]
    assert [example.num_cut for example in examples] == [0, 2]


def test_a_record_may_list_phrases_of_its_output(folder):
    seq2seq = task(folder)
    records = [{"src": "a b", "constraints": ["c ds", ["b"]]}, {"src": "a", "constraints": []}, {"src": "a"}]
    examples = [seq2seq.source(record, "x:3") for record in records]
    assert examples[0].constraints == [("c ds", [7, 8, 13]), ("b", [6])]
    assert seq2seq.collate_sources(examples).constraints == [[[7, 8, 13], [6]], [], []]


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ("a b", "must be a list of texts, found a string"),
        ({"a": 1}, "must be a list of texts, found an object"),
        (["a", 3], "must be a string or a list of tokens, found a number"),
        (["a", " "], "is empty"),
        ([[]], "is empty"),
        ([["b", "[SEP]"]], r"holds '\[SEP\]', a special token; a constraint must not hold it"),
        (["b [SEP] a"], r"holds '\[SEP\]', a special token; a constraint must not hold it"),
        (["a", "b \u4e00"], "asks for 'b \u4e00', which the vocabulary cannot write"),
    ],
)
def test_phrases_that_no_output_can_contain_are_refused(folder, constraints, message):
    with pytest.raises(InputError, match=f"^x:3: 'constraints' {message}"):
        task(folder).source({"src": "a", "constraints": constraints}, "x:3")


@pytest.mark.parametrize(
    ("method", "feeding"),
    [
        ("causal", Feeding(end=SEP, start=SEP)),
        ("masked", Feeding(end=SEP, mask=MASK)),
        ("pseudo_masked", Feeding(end=SEP, mask=MASK)),
    ],
)
def test_the_model_is_fed_as_it_was_trained(folder, method, feeding):
    seq2seq = task(folder, method=method)
    assert seq2seq.collate_sources([seq2seq.source({"src": "a"}, "x:1")]).feeding == feeding


def test_outputs_come_as_readable_text_or_as_s2s_ft_writes_them(folder):
    tokens = [5, 13, 6, 14, SEP]
    assert task(folder).text(tokens) == "as b."
    assert task(folder, output="s2s_ft").text(tokens) == "as b ."
    assert task(folder).token_id("##s") == 13


def test_sizes_count_added_tokens_once(folder, tmp_path):
    sizes = {"vocab_size": len(WORDS), "num_positions": 14}
    assert task(folder).model_defaults() == sizes
    grown = task(folder, added_tokens=["[X_SEP]", "a"])
    assert grown.model_defaults() == {"vocab_size": len(WORDS) + 1, "num_positions": 14, "added_tokens": 1}
    run = tmp_path / "run"
    run.mkdir()
    grown.save(run)
    assert task(run, added_tokens=["[X_SEP]", "a"]).model_defaults() == sizes | {"vocab_size": len(WORDS) + 1}


def test_field_names_are_options(folder):
    (folder / "pairs.jsonl").write_text(json.dumps({"text": "a", "title": "b", "name": "n"}) + "\n")
    seq2seq = task(folder, source_field="text", target_field="title", id_field="name")
    assert seq2seq.dataset("train", 1).example(0, 0).id == "n"
    assert seq2seq.source({"text": "a", "name": "m"}, "x:1").id == "m"


def test_known_fields_and_templates_give_the_example_of_src_and_tgt(folder):
    wanted = task(folder).source({"src": "a b c"}, "x:1").tokens
    assert task(folder).source({"article": "a b c", "highlights": "d"}, "x:1").tokens == wanted
    assert task(folder, source_template="{x.y} {z}").source({"x": {"y": "a"}, "z": "b c"}, "x:1").tokens == wanted
    (folder / "pairs.csv").write_text("article,highlights\na b c,d\n")
    other = task(folder, train=str(folder / "pairs.csv")).dataset("train", 1)
    assert same(other.example(0, 0), task(folder).dataset("train", 1).example(0, 0))


def test_a_template_keeps_its_tokens(folder):
    tokens = task(folder, source_template="{a} [SEP] {b}").source({"a": "a", "b": "b"}, "x:1").tokens
    assert tokens == [CLS, WORDS.index("a"), SEP, WORDS.index("b"), SEP]


def test_a_source_without_an_id_gets_the_one_it_is_given_and_its_message_lists_none(folder):
    assert task(folder).source({"src": "a"}, "x:1", "7").id == "7"
    assert task(folder).source({"src": "a", "id": "own"}, "x:1", "7").id == "own"
    with pytest.raises(InputError, match=r"'src' is missing; found 'body'; --source-field \(task.source_field\) names"):
        task(folder).source({"body": "a"}, "x:1", "7")


def test_a_folder_is_validated_on_its_own_split_or_not_at_all(folder, caplog):
    data = folder / "data"
    data.mkdir()
    for split, text in (("train", "a"), ("valid", "b")):
        (data / f"{split}.csv").write_text(f"src,tgt\n{text},c\n")
    both = task(folder, train=str(data), valid=str(data))
    read = [both.dataset(split, 1).example(0, 0).source.tolist()[1] for split in ("train", "valid")]
    assert [WORDS[id] for id in read] == ["a", "b"]
    (data / "valid.csv").unlink()
    with pytest.raises(InputError, match=r"data: it has no split 'validation' or .*, only 'train'"):
        task(folder, train=str(data), valid=str(data)).dataset("valid", 1)
    (data / "train.csv").rename(data / "all.csv")
    with pytest.raises(InputError, match=r"data: is in task.train and in task.valid, and has no split for validation"):
        task(folder, train=str(data), valid=str(data)).dataset("valid", 1)
    task(folder).dataset("valid", 1)
    assert "pairs.jsonl: is in task.train and in task.valid" in caplog.text


@pytest.mark.parametrize(
    ("record", "options", "message"),
    [
        ({"tgt": "a"}, {}, r"x:3: 'src' is missing; found 'tgt'"),
        ({"src": ""}, {}, r"x:3: 'src' is empty"),
        ({"src": {"a": 1}}, {}, r"x:3: 'src' must be a string or a list of tokens, found an object"),
        ({"src": "\u200b"}, {}, r"x:3: 'src' holds no token"),
        ({"src": "a " * 9}, {"strict": True}, r"x:3: 'src' has 9 tokens, at most 6 are allowed; raise task.max_source"),
        ({"src": "a", "prefix": 3}, {}, r"x:3: 'prefix' must be a string or a list of tokens, found a number"),
    ],
)
def test_bad_sources_are_one_line(folder, record, options, message):
    with pytest.raises(InputError, match=message):
        task(folder, **options).source(record, "x:3")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep_prob": 0.6, "random_prob": 0.6}, r"task.keep_prob and task.random_prob together must be at most 1"),
        ({"tokenizer": None}, r"task.tokenizer: must be given"),
        (
            {"method": "prefix"},
            r"task.method: must be 'causal', 'masked', 'pseudo_masked' or 'encoder_decoder', found 'prefix'",
        ),
        ({"target_mask_prob": 1.5}, r"task.target_mask_prob: must be less than or equal to 1, found 1.5"),
        ({"max_sorce": 9}, r"task.max_sorce: no such option. Did you mean 'max_source'"),
    ],
)
def test_bad_options_are_one_line(folder, options, message):
    with pytest.raises(ConfigError, match=message):
        task(folder, **options)


def test_a_split_without_files_is_an_error(folder):
    with pytest.raises(ConfigError, match=r"task.valid: must name at least one file"):
        task(folder, valid=None).dataset("valid", 1)


def test_a_run_keeps_how_its_training_data_spell_words(folder):
    pairs = [{"src": "use an ABC of As", "tgt": "the ABC"}] * 3 + [{"src": ["a"], "tgt": "b"}]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    (folder / "run").mkdir()
    task(folder, lower_case=True).save(folder / "run")
    (folder / "pairs.jsonl").unlink()
    run = task(folder / "run")
    assert run.spell("abc (f)", run.source_text({"src": "an F"})) == "ABC (F)"
    assert run.spell("abc f", run.source_text({"src": ["F"]})) == "ABC f"
    (folder / "copy").mkdir()
    run.save(folder / "copy")  # the training data are gone
    assert (folder / "copy" / "spelling.json").read_bytes() == (folder / "run" / "spelling.json").read_bytes()
    (folder / "run" / "spelling.json").unlink()
    old = task(folder / "run")
    assert old.spell("abc f", old.source_text({"src": "an F"})) == "abc F"


@pytest.mark.parametrize("options", [{"output": "s2s_ft"}, {"restore_spelling": False}, {"lower_case": False}])
def test_published_output_and_models_with_capitals_keep_their_own_spelling(folder, options):
    (folder / "run").mkdir()
    seq2seq = task(folder, **options)
    seq2seq.save(folder / "run")
    assert not (folder / "run" / "spelling.json").exists()
    assert seq2seq.spell("a f", "A F") == "a f"
    assert seq2seq.source_text({"src": "A F"}) == ""


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"src": "a", "prefix": ["b", "[SEP]"]}, r"x:3: 'prefix' holds '\[SEP\]', a special token; a prefix must not"),
        ({"src": "a", "prefix": 0}, r"x:3: 'prefix' must be a string or a list of tokens, found a number"),
        ({"src": "a", "prefix": []}, r"x:3: 'prefix' is empty"),
    ],
)
def test_prefixes_that_would_end_or_do_nothing_are_refused(folder, record, message):
    with pytest.raises(InputError, match=message):
        task(folder).source(record, "x:3")
