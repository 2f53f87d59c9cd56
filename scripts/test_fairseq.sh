#!/usr/bin/env bash
# Trains, resumes, generates and converts with fairseq and our plugin, and compares both engines (compare_fairseq.py).
# Builds fairseq-fixed for Python 3.11 in an environment of its own, .venv-fairseq, which takes about 7 minutes the first
# time and needs a C++ compiler; then about 2 minutes. Not part of the tests that run on every change.
set -euo pipefail

REPO="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
ENVIRONMENT="${FAIRSEQ_ENVIRONMENT:-$REPO/.venv-fairseq}"
PYTHON="${PYTHON:-python3.11}"
WORK="$(mktemp -d)"
trap 'rm -rf "$WORK"' EXIT
export OMP_NUM_THREADS=1

say() { printf '\n== %s\n' "$*"; }

# run NAME COMMAND...: its output goes to a file, which is shown if it fails.
run() {
    local log="$WORK/$1.log"
    shift
    "$@" > "$log" 2>&1 || { tail -30 "$log" >&2; exit 1; }
}

if ! "$ENVIRONMENT/bin/python" -c "import fairseq, s2s" 2> /dev/null; then
    say "building fairseq-fixed (about 7 minutes)"
    [ -x "$ENVIRONMENT/bin/python" ] || "$PYTHON" -m venv "$ENVIRONMENT"
    pip=("$ENVIRONMENT/bin/python" -m pip install -qq --disable-pip-version-check --constraint "$REPO/constraints.txt")
    "${pip[@]}" "setuptools>=68" wheel cython "$(grep '^torch==' "$REPO/constraints.txt")"
    "${pip[@]}" --editable "$REPO[eval]" # eval has sacrebleu, which fairseq needs too
    # Without its dependencies: it asks for torchaudio, which breaks transformers and which our plugin does not use.
    "${pip[@]}" omegaconf==2.3.0 hydra-core==1.3.2 bitarray cffi scikit-learn
    "${pip[@]}" --no-deps --no-build-isolation fairseq-fixed==0.12.3.1
fi
export PATH="$ENVIRONMENT/bin:$PATH"
cd "$WORK"

say "data: our items, fairseq's dictionary and bin/idx, and back"
python - "$REPO/tests" << 'PYTHON'
import json
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from tiny_models import write_encoder
from tiny_pairs import WORDS, write_pairs

write_encoder(Path("encoder"), WORDS)
for split, count, first in (("train", 300, 0), ("valid", 60, 300)):
    write_pairs(Path("raw.jsonl"), count, first)
    rows = map(json.loads, Path("raw.jsonl").read_text().splitlines())
    lines = [json.dumps({"id": str(row["id"]), "src": row["article"], "tgt": row["highlights"]}) for row in rows]
    Path("given").mkdir(exist_ok=True)
    Path(f"given/{split}.jsonl").write_text("\n".join(lines) + "\n")
PYTHON
unilatent prepare fairseq-text given text --tokenizer encoder
run preprocess fairseq-preprocess --source-lang src --target-lang tgt --trainpref text/train --validpref text/valid \
    --srcdict text/dict.txt --tgtdict text/dict.txt --destdir bin --workers 1 --cpu
unilatent prepare fairseq bin corpus --pieces wordpiece
for split in train valid; do
    cmp <(python -c "import json; [print(r['src'], r['tgt']) for r in map(json.loads, open('given/$split.jsonl'))]") \
        <(python -c "import json; [print(r['src'], r['tgt']) for r in map(json.loads, open('corpus/$split.jsonl'))]")
done
echo "prepare fairseq gives the text that fairseq-preprocess was given"

plugin="$(unilatent fairseq-plugin)"
for method in causal masked pseudo_masked; do
    say "$method: train, resume, generate, convert, decode"
    options=(bin --user-dir "$plugin" --task unilatent --cpu
        --seq2seq "tokenizer=encoder method=$method max_source=16 max_target=24")
    train=(fairseq-train "${options[@]}" --arch unilatent --criterion unilatent --cross-entropy "label_smoothing=0.1"
        --unilm "hidden_size=48 num_layers=2 num_heads=2 intermediate_size=96 hidden_dropout=0 attention_dropout=0"
        --optimizer adam --lr 0.003 --max-tokens 1000 --seed 1 --save-dir "$method" --no-epoch-checkpoints
        --no-progress-bar --num-workers 0)
    run train "${train[@]}" --max-update 60
    run resume "${train[@]}" --max-update 80
    grep -o "Loaded checkpoint .*" resume.log
    grep -o "valid on .* num_updates 80" resume.log
    run generate fairseq-generate "${options[@]}" --path "$method/checkpoint_best.pt" --gen-subset valid --beam 4
    tail -1 generate.log
    run convert unilatent convert "$method/checkpoint_best.pt" "$method/run"
    head -1 text/valid.src | run interactive fairseq-interactive "${options[@]}" --path "$method/checkpoint_best.pt" \
        --bpe unilatent --pieces-of encoder --beam 4
    grep "^D-" interactive.log | cut -f 3 > theirs.txt
    head -1 text/valid.src | unilatent decode "$method/run" decoder.name=wide_beam decoder.beam_size=4 decoder.stop=full \
        decoder.length_penalty=1 decoder.length_penalty_form=power > ours.txt 2> decode.log
    cmp theirs.txt ours.txt
    echo "fairseq-interactive and unilatent decode both write: $(cat ours.txt)"
done

say "init: an encoder's weights are where fairseq's training begins"
run init fairseq-train "${options[@]}" --arch unilatent --criterion unilatent --unilm "init=encoder" --optimizer adam \
    --lr 0.001 --max-tokens 1000 --max-update 2 --save-dir init --no-epoch-checkpoints --no-progress-bar
run init_convert unilatent convert init/checkpoint_last.pt init/run
echo "trained and converted"

say "both engines on the same pairs and weights"
python "$REPO/scripts/compare_fairseq.py" . 2> compare.log || { tail -30 compare.log >&2; exit 1; }
say "all passed"
