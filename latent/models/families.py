"""Which released model a folder holds, decided from its configuration before any weight or tokenizer is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from s2s.checkpoint import CONFIG
from s2s.config import read_tree, section_of
from s2s.errors import InputError, shown
from s2s.json_files import read_object
from s2s.models.families import FAMILIES

Family = Literal["vibevoice", "vibevoice_realtime", "vibevoice_asr", "vibevoice_asr_streaming"]

NAMES: dict[Family, str] = {
    "vibevoice": "VibeVoice",
    "vibevoice_realtime": "VibeVoice-Realtime",
    "vibevoice_asr": "VibeVoice-ASR",
    "vibevoice_asr_streaming": "VibeVoice-ASR-Streaming",
}
_SPEAKING = ("vibevoice", "vibevoice_realtime")


def family_of(folder: Path) -> Family:
    """The family of a released checkpoint, from config.json and, if there is one, preprocessor_config.json.

    Raises:
        InputError: it is of none of them; names what it seems to be.
    """
    config = read_object(folder / "config.json")
    facts = preprocessor_facts(folder)
    names = " ".join([*map(str, config.get("architectures") or []), str(facts.get("processor_class", ""))]).lower()
    if "chunk_frames" in facts or "asrstreaming" in names:
        return "vibevoice_asr_streaming"
    listens = "acoustic_tokenizer_encoder_config" in config or config.get("model_type") == "vibevoice_asr"
    if listens or "asr" in names:
        return "vibevoice_asr"
    if "tts_backbone_num_hidden_layers" in config:
        return "vibevoice_realtime"
    if "acoustic_tokenizer_config" in config or "audio_config" in config:
        return "vibevoice"
    kind = config.get("model_type")
    other = f"one of model_type {shown(kind)}" if kind else "one without model_type"
    way = "; `unilatent train` starts from it by model.init" if kind in FAMILIES else ""
    raise InputError(f"{folder / 'config.json'}: expected the configuration of a VibeVoice, found {other}{way}")


def preprocessor_facts(folder: Path) -> dict[str, Any]:
    """What preprocessor_config.json says; nothing where it is missing."""
    path = folder / "preprocessor_config.json"
    return read_object(path) if path.is_file() else {}


def tuned_model(run: Path) -> str | None:
    """The name of the model of a run folder, if it is a fine-tuned one of these families, else None."""
    if not (run / CONFIG).is_file():
        return None
    name = section_of(read_tree(run / CONFIG), "model", run / CONFIG).get("name")
    return str(name) if name in ("vibevoice_language", "vibevoice_listener") else None


def speaks(family: Family) -> bool:
    """Whether models of a family speak; the others listen."""
    return family in _SPEAKING


def check_verb(folder: Path, family: Family, speaking: bool) -> None:
    """Raise InputError with the verb that fits if a family does not speak, or does not listen."""
    if speaks(family) != speaking:
        does, verb = ("speaks", "synthesize") if speaks(family) else ("listens", "transcribe")
        raise InputError(f"{folder}: is {NAMES[family]}, which {does}; use `unilatent {verb}`")
