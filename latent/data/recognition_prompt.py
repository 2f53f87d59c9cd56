"""The prompts of VibeVoice-ASR: the recording, then what is asked of the model, in the template of its language model.

    <|im_start|>system
    You are a helpful assistant that ... in JSON format.<|im_end|>
    <|im_start|>user
    <start> ⟂ ⟂ ⟂ <end>
    This is a 2.50 seconds audio, please transcribe it with these keys: ...<|im_end|>

⟂ holds a frame of audio. The model writes the header of its answer itself. The streaming model reads one line instead,
and then its windows of audio, each followed by the text that it wrote.

Source: `microsoft/VibeVoice: vibevoice/processor/vibevoice_asr_processor.py`, and for the streaming model
`vllm_plugin/asr_streaming.py`. The sentences are what the models were trained with, so they stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from s2s.errors import InputError

START, FRAME, END = "<|object_ref_start|>", "<|box_start|>", "<|object_ref_end|>"
CHUNK_END = "<|text_chunk_end|>"
TURN_START, TURN_END = "<|im_start|>", "<|im_end|>"

_SYSTEM = "You are a helpful assistant that transcribes audio input into text output"
_KEYS = "with these keys: Start time, End time, Speaker ID, Content"


class Special(str):
    """A special token, by its spelling."""

    __slots__ = ()


Piece = str | Special
"""Text to tokenize, or a special token."""


def before_audio() -> list[Piece]:
    """What stands before the frames of the recording."""
    system = [Special(TURN_START), f"system\n{_SYSTEM} in JSON format.", Special(TURN_END), "\n"]
    return [*system, Special(TURN_START), "user\n", Special(START)]


def after_audio(seconds: float, context: str) -> list[Piece]:
    """What stands after the frames of a recording of that length; the context, hot words or others, may be blank."""
    context = context.strip()
    told = f", with extra info: {context}\n\nPlease" if context else ", please"
    return [
        Special(END),
        f"\nThis is a {seconds:.2f} seconds audio{told} transcribe it {_KEYS}",
        Special(TURN_END),
        "\n",
    ]


def streaming_prompt(context: str) -> list[Piece]:
    """The line before the windows of a stream."""
    told = f" and extra info: {context}" if context else ""
    return [f"{_SYSTEM}. Please transcribe the following audios streamingly with these keys: speaker, content{told}\n"]


def spelled(pieces: Iterable[Piece]) -> str:
    """Pieces as text, with special tokens spelled out."""
    return "".join(pieces)


def tokenized(
    pieces: Iterable[Piece], encode: Callable[[str], Sequence[int]], special: Callable[[str], int]
) -> list[int]:
    """The tokens of pieces; `encode` tokenizes text without special tokens, `special` gives the id of a special one."""
    tokens: list[int] = []
    for piece in pieces:
        tokens += [special(piece)] if isinstance(piece, Special) else encode(piece)
    return tokens


def hot_words(lines: Iterable[str]) -> str:
    """Names and terms, one a line, as the context of a prompt: without blank and repeated ones, joined by commas."""
    words = dict.fromkeys(" ".join(line.split()) for line in lines)
    words.pop("", None)
    return ", ".join(words)


def check_room(context_tokens: int, max_positions: int) -> None:
    """Raise InputError for a context of so many tokens that little room is left for the recording."""
    most = max_positions // 4
    if context_tokens > most:
        raise InputError(
            f"--hotwords: they take {context_tokens} of the model's {max_positions} positions, at most {most} can be "
            "spared; keep those that matter most"
        )
