"""`unilatent prepare`, verb by verb: options reach the functions, and mistakes are one line."""

import subprocess
import sys
from pathlib import Path

import pytest
from tiny_models import write_encoder
from typer.testing import CliRunner

from s2s.errors import InputError
from unilatent.commands.prepare import app


def prepare(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_importing_the_verb_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'numpy', 'tqdm', 'datasets'}"
    code = f"import unilatent.commands.prepare, sys; print(*sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


def test_plain_files_become_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("t\ts\nx\ty\n")
    (tmp_path / "a.src").write_text("y\n")
    (tmp_path / "a.tgt").write_text("x\n")
    (tmp_path / "a.json").write_text('{"src": "y", "tgt": "x"}\n')
    prepare("tsv", tmp_path / "1", "--test", tmp_path / "a.tsv", "--source-column", "s", "--target-column", "t")
    prepare("parallel", tmp_path / "2", "--test", tmp_path / "a.src", tmp_path / "a.tgt")
    prepare("s2s-ft", tmp_path / "3", "--test", tmp_path / "a.json")
    assert len({(tmp_path / name / "test.jsonl").read_bytes() for name in "123"}) == 1


def test_folders_of_fairseq_become_a_corpus_and_corpora_text_for_fairseq(tmp_path: Path) -> None:
    golden = Path(__file__).parents[1] / "data_prep/data/fairseq"
    prepare("fairseq", golden, tmp_path / "found", "--pieces", "subword_nmt")
    write_encoder(tmp_path / "encoder", ["tool"])
    assert "3 of train, 1 of valid" in prepare(
        "fairseq-text", tmp_path / "found", tmp_path / "text", "--tokenizer", tmp_path / "encoder"
    )
    assert (tmp_path / "text/train.tgt").read_text().splitlines()[0] == "a tool"


def test_given_lists_become_the_debian_corpus(tmp_path: Path) -> None:
    body = " ".join(f"word{number}" for number in range(30))
    (tmp_path / "Packages").write_text("Package: abx\nDescription: synopsis\nDescription-md5: 1\n")
    (tmp_path / "Translation-de").write_text(f"Description-md5: 1\nDescription-de: Zusammenfassung\n {body}\n")
    lists = ("--packages", tmp_path / "Packages", "--translation", tmp_path / "Translation-de")
    assert "0 / 0 / 1 pairs" in prepare("debian-synopsis", tmp_path / "out", "--language", "de", *lists)
    assert (tmp_path / "out/de/test.jsonl").is_file()


def test_published_divisions_ask_for_their_article_lists(tmp_path: Path) -> None:
    files = ("--train", tmp_path / "train.json", "--dev", tmp_path / "dev.json")
    with pytest.raises(InputError, match="--split du: needs --train-articles and --test-articles"):
        prepare("squad-qg", tmp_path / "out", *files, "--split", "du")
    with pytest.raises(InputError, match=r"train\.json: cannot be read: No such file or directory"):
        prepare("squad-qg", tmp_path / "out", *files, "--split", "zhou")


@pytest.mark.parametrize("verb", ["cnndm", "xsum", "gigaword"])
def test_folder_that_holds_no_such_corpus_is_refused(tmp_path: Path, verb: str) -> None:
    with pytest.raises(InputError, match=r"below it.*, found none"):
        prepare(verb, tmp_path, tmp_path / "out")


def test_a_new_vocabulary_tokenizes_text_for_pretraining(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(
        "Some words and some more words. " * 20 + "\n\n" + "Other words, of other documents. " * 20
    )
    prepare("vocabulary", tmp_path / "v", "--input", tmp_path / "a.txt", "--size", 64, "--document", "block")
    options = ["--tokenizer", tmp_path / "v", "--document", "block", "--max-length", 32, "--processes", 1]
    output = prepare("pretrain-text", tmp_path / "out", "--input", tmp_path / "a.txt", *options, "--valid-share", 0)
    assert "train" in output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "DATA_CARD.md",
        "stats.json",
        "tokenizer",
        "train-00000-of-00001.parquet",
    ]
    with pytest.raises(InputError, match=r"tokenizer .*none: expected a folder"):
        prepare("pretrain-text", tmp_path / "o", "--input", tmp_path / "a.txt", "--tokenizer", tmp_path / "none")


def test_descriptions_of_given_lists_become_raw_text(tmp_path: Path) -> None:
    (tmp_path / "Packages").write_text("Package: hello\nDescription: synopsis\nDescription-md5: 1\n")
    (tmp_path / "Translation-en").write_text("Package: hello\nDescription-md5: 1\nDescription-en: synopsis\n a body\n")
    lists = ["--packages", tmp_path / "Packages", "--translation", tmp_path / "Translation-en"]
    assert "1 descriptions" in prepare("debian-descriptions", tmp_path / "a.jsonl", *lists)
