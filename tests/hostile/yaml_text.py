"""Configuration files that are bombs, riddles, or not YAML; the same values as overrides, and in run folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hostile.cases import Case, Command, Ending
from hostile.home import Home

_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
_FLAT_BOMB = f"task: {{train: x, max_source: {{ {', '.join(_BOMB.splitlines())} }} }}\n"
_TREE_BOMB = "&a [x]" + "".join(
    f", &{n} [{', '.join(['*' + o] * 12)}]" for o, n in zip("abcdefg", "bcdefgh", strict=True)
)

# file contents by name, with what the message must say besides the file's name
FILES: dict[str, tuple[bytes, str]] = {
    "an alias bomb as a section": (f"{_BOMB}task: *i\n".encode(), r""),
    "an alias bomb as a value": (_FLAT_BOMB.encode(), r"max_source|alias"),
    "an alias bomb of lists": (f"task: {{max_source: [{_TREE_BOMB}]}}\n".encode(), r"max_source|alias"),
    "a mapping that holds itself": (b"task: &t {more: *t}\n", r""),
    "a list that holds itself": (b"task: {train: &t [*t]}\n", r""),
    "a document that holds itself": (b"&t {task: *t}\n", r""),
    "lists 3,000 deep": (b"task: {train: " + b"[" * 3000 + b"]" * 3000 + b"}\n", r""),
    "lists 100,000 deep, open": (b"[" * 100_000, r""),
    "mappings 3,000 deep": (b"task: " + b"{a: " * 3000 + b"}" * 3000 + b"\n", r""),
    "block mappings 500 deep": ("".join(f"{' ' * i}a:\n" for i in range(500)).encode(), r""),
    "a tag of Python that runs": (b'task: !!python/object/apply:os.system ["touch attacked"]\n', r"python"),
    "a tag of Python for a name": (b"task: !!python/name:os.system\n", r"python"),
    "an unknown tag": (b"task: !secret {train: x}\n", r"secret"),
    "a tag of sets": (b"task: {train: !!set {a, b}}\n", r"task\.train"),
    "a tag of binary": (b"optim: {lr: !!binary aGVsbG8=}\n", r"optim\.lr"),
    "a wrong tag": (b"optim: {lr: !!int fast}\n", r""),
    "a key twice": (b"train: {max_steps: 1, max_steps: 2}\n", r"max_steps"),
    "a section twice": (b"optim: {lr: 0.1}\ntrain: {max_steps: 1}\noptim: {eps: 0.1}\n", r"optim"),
    "a number as a section": (b"5: {a: 1}\n", r"5"),
    "null as a section": (b"null: {a: 1}\n", r""),
    "true as a section": (b"on: {a: 1}\n", r""),
    "a date as a section": (b"2020-01-01: {a: 1}\n", r"2020-01-01"),
    "a list as a key": (b"[a, b]: 1\n", r""),
    "a mapping as a key": (b"{a: b}: 1\n", r""),
    "a number as an option": (b"task: {5: x}\n", r"task"),
    "null as an option": (b"task: {null: x}\n", r"task"),
    "a list as an option": (b"task: {[a]: x}\n", r""),
    "a zero byte": (b"task: {train: 'a\0b'}\n", r""),
    "a zero byte, escaped": (b'task: {train: "a\\0b"}\n', r""),
    "half a surrogate pair": (b'task: {train: "a\\ud800"}\n', r""),
    "latin-1": (b"task: {train: caf\xe9}\n", r"UTF-8"),
    "utf-16": ("task: {train: x}\n".encode("utf-16"), r"UTF-8"),
    "a date that is none": (b"optim: {lr: 2020-13-45}\n", r"optim\.lr"),
    "a date": (b"optim: {lr: 2020-01-01}\n", r"optim\.lr"),
    "a number of 5,000 digits": (b"train: {max_steps: " + b"7" * 5000 + b"}\n", r""),
    "a negative number of 3,000 digits": (b"train: {max_steps: -" + b"7" * 3000 + b"}\n", r"train\.max_steps"),
    "a number beyond floats": (b"optim: {lr: 1.0e+400}\n", r"optim\.lr"),
    "an octal number": (b"optim: {lr: 0o8}\n", r"optim\.lr"),
    "a merge of nothing": (b"task: {<<: 5}\n", r""),
    "a merge of itself": (b"task: &t {<<: *t}\n", r""),
    "an alias of nothing": (b"task: *nobody\n", r"nobody"),
    "two documents": (b"task: {}\n---\ntask: {}\n", r""),
    "an indent of tabs": (b"task:\n\ttrain: x\n", r":2"),
    "an open quote": (b"task: {train: 'x}\n", r""),
    "another version": (b"%YAML 9.9\n---\ntask: {}\n", r""),
    "only a comment": (b"# nothing\n", r""),
    "a word": (b"hello\n", r""),
    "a list": (b"- task\n- model\n", r""),
    "a key of a million letters": (b"k" * 1_000_000 + b": 1\n", r""),
    "a value of a million letters": (b"optim: {lr: " + b"x" * 1_000_000 + b"}\n", r"optim\.lr"),
    "a control character in a key": (b'"ta\\x1b[31msk": 1\n', r"ta.*sk"),
    "a line break in a key": (b'"ta\\nsk": 1\n', r"ta.*sk"),
    "a section that is a number": (b"task: 5\n", r"task"),
    "a section that is a list": (b"optim: [1]\n", r"optim"),
    "a section that is true": (b"train: true\n", r"train"),
    "a name that is a number": (b"task: {name: 5}\n", r"task\.name"),
    "a name that is a list": (b"model: {name: [unilm]}\n", r"model\.name"),
    "a name of a million letters": (b"task: {name: " + b"x" * 1_000_000 + b"}\n", r"task\.name"),
    "imports that are a word": (b"imports: latent.plugin\n", r"imports"),
    "imports of a number": (b"imports: [5]\n", r"imports"),
    "imports of nothing": (b"imports: ['']\n", r"imports"),
    "imports of a relative name": (b"imports: ['..evil']\n", r"imports"),
    "imports of a path": (b"imports: ['/tmp/evil.py']\n", r"imports"),
    "imports of a zero byte": (b'imports: ["a\\0b"]\n', r"imports"),
    "a seed that is a word": (b"seed: lucky\n", r"seed"),
    "a negative seed": (b"seed: -1\n", r"seed"),
    "a seed beyond 64 bits": (b"seed: 36893488147419103232\n", r"seed"),
    "a section that is misspelled": (b"trian: {max_steps: 1}\n", r"trian.*train"),
    "an empty file": (b"", r""),
    "zeros": (bytes(64), r""),
    "a web page": (b"<!DOCTYPE html>\n<html></html>\n", r""),
}

OVERRIDES: dict[str, tuple[str, str]] = {
    "deep lists": ("optim.lr=" + "[" * 3000, r"optim\.lr"),
    "deep lists, closed": ("optim.lr=" + "[" * 3000 + "]" * 3000, r"optim\.lr"),
    "an alias bomb": (f"optim.lr=[{_TREE_BOMB}]", r"optim\.lr"),
    "a list that holds itself": ("optim.lr=&t [*t]", r"optim\.lr"),
    "a tag that runs": ('optim.lr=!!python/object/apply:os.system ["touch attacked"]', r"optim\.lr"),
    "a date that is none": ("optim.lr=2020-13-45", r"optim\.lr"),
    "a date": ("optim.lr=2020-01-01", r"optim\.lr"),
    "5,000 digits": ("train.max_steps=" + "7" * 5000, r"train\.max_steps"),
    "nan": ("optim.lr=.nan", r"optim\.lr"),
    "infinity": ("optim.lr=.inf", r"optim\.lr"),
    "no value": ("optim.lr=", r"optim\.lr"),
    "no key": ("=5", r"key\.path=value|=5"),
    "no equals sign": ("optim.lr", r"optim\.lr"),
    "an empty part": ("optim..lr=5", r"optim\.\.lr|optim"),
    "a dot at the end": ("optim.=5", r"optim"),
    "a dot at the beginning": (".lr=5", r"lr"),
    "a blank in the key": ("optim. lr=5", r"optim"),
    "a section through a value": ("optim.lr.rate=5", r"optim\.lr"),
    "a section through the seed": ("seed.x=5", r"seed"),
    "a section that is a number": ("optim=5", r"optim"),
    "a section that is null": ("train=null", r"train"),
    "a key 500 deep": (".".join("a" * 500) + "=5", r""),
    "a key of many letters": ("k" * 30_000 + "=5", r""),
    "a mapping that is broken": ("optim={lr: 1", r"optim"),
    "an unknown option": ("task.max_sorce=5", r"task\.max_sorce.*max_source"),
    "an unknown section": ("tsak.max_source=5", r"tsak.*task"),
    "a new line": ("optim.lr=1\n2", r"optim\.lr"),
    "a control character": ("optim.\x1b[31mlr=1", r"optim"),
    "a length penalty of -1": ("decoder.length_penalty=-1", r"decoder\.length_penalty"),
}

_IN_RUNS = (
    "an alias bomb as a value",
    "a mapping that holds itself",
    "lists 3,000 deep",
    "a tag of Python that runs",
    "a date that is none",
    "a list",
    "a word",
    "an empty file",
    "a section that is a number",
    "latin-1",
    "zeros",
)


def cases() -> Iterator[Case]:
    """Configuration files, overrides, and configurations in run folders."""
    for name, (content, names) in FILES.items():
        bomb = "bomb" in name or "itself" in name
        yield Case(f"yaml/{name}", _train(content), rf"bad\.yaml|{names or 'bad.yaml'}", limited=bomb)
    for name, content in {
        "a byte-order mark": b"\xef\xbb\xbftrain: {max_steps: 1}\n",
        "CRLF": b"train: {}\r\n",
    }.items():
        yield Case(f"yaml/{name}", _train(content), r"train|task")
    for name, (override, names) in OVERRIDES.items():
        yield Case(f"override/{name}", _override(override), names, limited="bomb" in name or "itself" in name)
    for name in _IN_RUNS:
        for verb in ("show", "decode", "convert"):
            command = _run(FILES[name][0], verb)
            shown = verb == "show" and name in ("a date that is none", "a section that is a number")
            ending = Ending.EITHER if shown else Ending.REFUSED
            bomb = "bomb" in name or "itself" in name
            yield Case(f"yaml in a run/{name}, {verb}", command, r"\brun\b|optim|task", ending, limited=bomb)
    for place in ("a folder", "missing", "a loop of links"):
        yield Case(f"yaml/{place}", _place(place), r"bad\.yaml")


def _train(content: bytes) -> Command:
    def command(home: Home) -> list[str]:
        Path("bad.yaml").write_bytes(content)
        return ["train", "bad.yaml", "--output", "out"]

    return command


def _place(place: str) -> Command:
    def command(home: Home) -> list[str]:
        if place == "a folder":
            Path("bad.yaml").mkdir()
        elif place != "missing":
            Path("bad.yaml").symlink_to("bad.yaml")
        return ["train", "bad.yaml", "--output", "out"]

    return command


def _override(override: str) -> Command:
    def command(home: Home) -> list[str]:
        home.take("text.yaml")
        return ["train", "text.yaml", "--output", "out", override]

    return command


def _run(content: bytes, verb: str) -> Command:
    def command(home: Home) -> list[str]:
        home.take("run")
        home.take("train.jsonl", "in.jsonl")
        Path("run/config.yaml").write_bytes(content)
        more = {"show": [], "decode": ["--input", "in.jsonl", "--output", "out.jsonl"], "convert": ["out"]}
        return [verb, "run", *more[verb]]

    return command
