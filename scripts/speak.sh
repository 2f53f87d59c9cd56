#!/usr/bin/env bash
# Speech in less than a minute: the demo voice speaks a short dialogue, or a text of yours, into a file.
#   scripts/speak.sh                  a dialogue of two speakers
#   scripts/speak.sh --text "..."     your text
#   scripts/speak.sh full             held-out texts, scored by a recognizer beside real recordings (3 minutes)
#   scripts/speak.sh train            the same with a voice that is trained first, on eight minutes of speech
# Needs Python >= 3.10 and a network; sets up .venv itself.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

case "${1:-}" in
    full | train) exec scripts/speak_full.sh "$@" ;;
    --text) [ $# -eq 2 ] || fail "--text: expected one text" ;;
    "") ;;
    *) fail "$1: expected --text TEXT, full or train" ;;
esac

install "speak"

RUNS=runs/speak
mkdir -p "$RUNS"
started=$SECONDS
export OMP_WAIT_POLICY=PASSIVE

if [ $# -gt 0 ]; then
    unilatent synthesize demo --speaker af_heart --text "$2" --output "$RUNS/text.wav" --overwrite
    say "done in $((SECONDS - started)) s after set-up; listen to $RUNS/text.wav"
    exit
fi

say "speaking a dialogue"
cat > "$RUNS/dialogue.txt" << 'EOF'
Desk: Good morning. How can I help you?
Caller: Hi! My flight to Boston leaves at 10:45 on March 3rd. Is there a later one?
Desk: There are two: one at 1:15 p.m., and one at 6 p.m. for $89.50. [pause 0.4] Which one would you like?

Caller: The first one, please. My number is 555-0142.
EOF
unilatent synthesize demo --script "$RUNS/dialogue.txt" --cast Desk=af_heart --cast Caller=am_michael \
    --output "$RUNS/dialogue.wav" --overwrite

say "done in $((SECONDS - started)) s after set-up; listen to $RUNS/dialogue.wav
its times are in dialogue.wav.report.json, its picture is dialogue.wav.png
for a text of yours: scripts/speak.sh --text \"...\""
