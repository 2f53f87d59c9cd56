"""Scripts of several speakers as people write them, and as nobody would."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hostile.cases import Case, Command, Ending
from hostile.damage import DEEP, JUNK
from hostile.home import SPEAK, Home

# name of the file, content, what the message must say
BAD: dict[str, tuple[str, bytes, str]] = {
    "an unknown speaker": ("s.txt", b"ann: Good.\ncarl: Two.\n", r"carl"),
    "a label without a text": ("s.txt", b"ann:\nbob: Two.\n", r"s\.txt:1"),
    "only pauses": ("s.txt", b"[pause 1]\n\n[pause 2]\n", r"s\.txt"),
    "a pause first": ("s.txt", b"[pause 1]\nann: Good.\n", r"s\.txt:1"),
    "a pause of NaN": ("s.txt", b"ann: Good. [pause nan]\n", r"s\.txt:1.*pause"),
    "a pause of infinity": ("s.txt", b"ann: Good. [pause inf]\n", r"s\.txt:1.*pause"),
    "a negative pause": ("s.txt", b"ann: Good. [pause -1]\n", r"s\.txt:1.*pause"),
    "a pause of 1e300": ("s.txt", b"ann: Good. [pause 1e300]\n", r"s\.txt:1.*pause"),
    "a pause of words": ("s.txt", b"ann: Good. [pause a while]\n", r"s\.txt:1.*pause"),
    "not UTF-8": ("s.txt", b"ann: caf\xe9\n", r"s\.txt:1.*UTF-8"),
    "blank": ("s.txt", b" \n\n\t\n", r"s\.txt"),
    "a list of words": ("s.json", b'["ann: Good."]', r"s\.json"),
    "an object": ("s.json", b'{"ann": "Good."}', r"s\.json"),
    "an empty list": ("s.json", b"[]", r"s\.json"),
    "a deep list": ("s.json", DEEP, r"s\.json"),
    "a deep value": ("s.json", b'[{"speaker": "ann", "text": ' + DEEP + b"}]", r"s\.json"),
    "an open list": ("s.json", b'[{"speaker": "ann", "text": "Good."},', r"s\.json"),
    "an unknown field": ("s.json", b'[{"speaker": "ann", "txt": "Good."}]', r"s\.json:1.*txt"),
    "a speaker that is a list": ("s.json", b'[{"speaker": ["ann"], "text": "Good."}]', r"s\.json:1.*speaker"),
    "a pause of a million seconds": ("s.json", b'[{"speaker": "ann", "text": "Good.", "pause": 1e6}]', r"pause"),
    "a seed of 2**64": ("s.json", b'[{"speaker": "ann", "text": "Good.", "seed": 18446744073709551616}]', r"s\.json:1"),
    "JSON with commas too many": ("s.json", b'[{"speaker": "ann", "text": "Good."},,]', r"s\.json"),
    "JSON in text": ("s.txt", b'ann: Good.\n{"speaker": "ann", "text": "Good."}\n', r"s\.txt.*(JSON|json)"),
    "an upper-case suffix": ("S.JSON", b"ann: Good.\n", r"S\.JSON"),
}
TAKEN: dict[str, bytes] = {
    "no blank after the colon": b"ann:Good.\nbob:Two.\n",
    "a full-width colon": "ann：Good.\nbob：Two.\n".encode(),
    "bold labels": b"**ann:** Good.\n**bob**: Two.\n",
    "stage directions": b"ann: (softly) Good.\nbob: [laughs] Two.\n",
    "CRLF and a byte-order mark": b"\xef\xbb\xbfann: Good.\r\nbob: Two.\r\n",
    "CR alone": b"ann: Good.\rbob: Two.\r",
    "many spaces": b"  ann  :   Good.\n\tbob: Two.\n",
    "labels in another case": b"ANN: Good.\nBob: Two.\n",
    "marks alone": b"ann: *** --- !!!\nbob: Two.\n",
    "emoji": "ann: Good. \u2764\ufe0f \U0001f44d\U0001f3fd \U0001f468\u200d\U0001f469\nbob: Two.\n".encode(),
    "control characters": b"ann: Good\x07 \x1b[31mday\x00.\nbob: Two.\n",
    "unassigned and private characters": "ann: Good \ue000 \U000e0001 \ufffe.\nbob: Two.\n".encode(),
    "a long word": b"ann: " + b"a" * 500 + b"\n",
    "half a combining mark": "ann: \u0301\u0301 Good.\n".encode(),
}


def cases() -> Iterator[Case]:
    """Scripts, casts, and the options that go with them."""
    for name, (file, content, names) in BAD.items():
        yield Case(f"script/{name}", _script(file, content), names)
    for name, content in TAKEN.items():
        yield Case(f"script/{name}", _script("s.txt", content), r"s\.txt", Ending.EITHER)
    for name, content in JUNK.items():
        if name not in ("a web page", "an LFS pointer"):
            yield Case(f"script/{name}", _script("s.txt", content), r"s\.txt")
    casts = {
        "": r"--cast",
        "ann": r"--cast",
        "=ann": r"--cast",
        "ann=": r"--cast",
        "ann=nobody": r"nobody",
        "nobody=ann": r"nobody",
        "ann=s.txt": r"s\.txt",
        "ann=voice": r"voice",
        "ann=/dev/null": r"/dev/null",
        "ann=a\0b": r"cast|ann",
    }
    for cast, names in casts.items():
        yield Case(f"cast/{cast!r}", _cast("--cast", cast), names)
    yield Case("cast/one name twice", _cast("--cast", "ann=ann", "--cast", "ann=bob"), r"ann")
    yield Case("cast/two names by case", _cast("--cast", "ann=ann", "--cast", "ANN=bob"), r"(?i)ann")
    for value in ("nan", "inf", "1e300", "-1"):
        yield Case(f"script option/pause of {value}", _cast(f"script.pause_seconds={value}"), r"script.pause_seconds")
    for option, value in (("max_characters", "0"), ("continuity_frames", "-1"), ("max_characters", "9" * 30)):
        ending = Ending.EITHER if value[0] == "9" else Ending.REFUSED
        name, command = f"script option/{option} {value}", _cast(f"script.{option}={value}")
        yield Case(name, command, rf"script.{option}", ending)
    for text in ("", " ", "\n\n", "\0", "\u200b", "...", "[pause 1]"):
        yield Case(
            f"text/{text!r}",
            _text(text),
            r"text|said|say",
            Ending.EITHER if text in ("...", "[pause 1]") else Ending.REFUSED,
        )
    for name, content in TAKEN.items():
        text = content.decode("utf-8-sig").partition(":")[2].partition("\n")[0]
        if text.strip():
            yield Case(f"text/{name}", _text(text), r"", Ending.EITHER)


def _script(file: str, content: bytes) -> Command:
    def command(home: Home) -> list[str]:
        home.take("voice")
        Path(file).write_bytes(content)
        return [
            "synthesize",
            "voice",
            *SPEAK[:-2],
            "--script",
            file,
            "--output",
            "out.wav",
            "--no-picture",
            *_cast_of(content),
        ]

    return command


def _cast_of(content: bytes) -> list[str]:
    """Only the names that a script has: a cast with others is refused."""
    known = [name for name in ("ann", "bob") if name.encode() in content.lower() and not content.startswith(b"{")]
    return [part for name in known for part in ("--cast", f"{name}={name}")]


def _cast(*options: str) -> Command:
    def command(home: Home) -> list[str]:
        home.take("voice")
        Path("s.txt").write_text("ann: Good.\n")
        cast = [] if "--cast" in options else ["--cast", "ann=ann"]
        return [
            "synthesize",
            "voice",
            *SPEAK[:-2],
            "--script",
            "s.txt",
            "--output",
            "out.wav",
            "--no-picture",
            *cast,
            *options,
        ]

    return command


def _text(text: str) -> Command:
    def command(home: Home) -> list[str]:
        home.take("voice")
        return ["synthesize", "voice", *SPEAK, "--text", text, "--output", "out.wav"]

    return command
