"""The documentation as a site: it builds without a warning, asks no other host for anything, and names what exists."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

import unilatent

REPO = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(package, reason="the site needs the extra docs")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_MKDOCS_2_WARNING", "1")
        patch.chdir(REPO)
        build(load_config(str(REPO / "mkdocs.yml"), strict=True, site_dir=str(folder)))
    return folder


def test_every_document_is_a_page(site: Path) -> None:
    pages = {path.stem for path in site.glob("*.html")}
    assert pages >= {path.stem for path in REPO.glob("docs/*.md")}
    assert pages >= {"index", "contributing", "decisions", "changelog"}


def test_no_page_asks_another_host_for_anything(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|audio|source)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^\s\"'>]+", text)
        loaded += re.findall(r"<link\b[^>]*\brel=[\"']?(?:stylesheet|preconnect|icon)[^>]*(?:https?:)?//[^>]+", text)
        assert not loaded, page.name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?https?:|@import", sheet.read_text(encoding="utf-8")), sheet.name


def test_the_reference_shows_signatures_and_texts(site: Path) -> None:
    reference = (site / "reference.html").read_text(encoding="utf-8")
    shown = set(re.findall(r'id="([\w.]+)" class="doc doc-heading"', reference))
    named = set(re.findall(r"^::: (\S+)", (REPO / "docs/reference.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= shown
    assert {name.rpartition(".")[2] for name in named} >= set(unilatent.__all__) - {"__version__"}
    assert ":::" not in re.sub(r"<[^>]+>", "", reference)


def test_the_recipes_are_those_that_are_shipped() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", (REPO / "docs/recipes.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(path.stem for path in REPO.glob("*/configs/*.yaml"))


def test_the_names_of_transformers_are_those_of_transformers() -> None:
    from transformers import GenerationConfig, Seq2SeqTrainingArguments

    known = vars(GenerationConfig()).keys() | {field.name for field in dataclasses.fields(Seq2SeqTrainingArguments)}
    elsewhere = {"do_lower_case", "trust_remote_code", "decoder_input_ids", "from_pretrained", "datasets", "evaluate"}
    text = (REPO / "docs/coming_from.md").read_text(encoding="utf-8")
    last_cells = [row.removesuffix("|").rpartition("|")[2] for row in text.splitlines() if row.endswith("|")]
    named = {name for cell in last_cells for name in re.findall(r"`([a-z_0-9]+)`", cell)}
    assert len(named) > 25
    assert not named - known - elsewhere
