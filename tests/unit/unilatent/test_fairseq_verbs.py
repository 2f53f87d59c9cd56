"""What `unilatent` says to and takes from fairseq."""

from pathlib import Path

import pytest
from command_line import unilatent

DATA = Path(__file__).parents[1] / "s2s/data/fairseq"


def test_the_folder_for_user_dir_is_a_package_of_a_name_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    unilatent("fairseq-plugin")
    folder = Path(capsys.readouterr().out.strip())
    assert folder.name == "fairseq_plugin"
    assert (folder / "__init__.py").is_file()


def test_a_checkpoint_of_fairseq_becomes_a_run_that_decodes(tmp_path: Path) -> None:
    unilatent("convert", DATA / "checkpoint.pt", tmp_path / "run", "--tokenizer", DATA)
    (tmp_path / "in.txt").write_text("a few small words\n")
    unilatent("decode", tmp_path / "run", "--input", tmp_path / "in.txt", "--output", tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text().strip()
