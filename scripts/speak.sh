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
    unilatent synthesize demo --speaker Allison --text "$2" --output "$RUNS/text.wav" --overwrite
    say "done in $((SECONDS - started)) s after set-up; listen to $RUNS/text.wav"
    exit
fi

say "speaking a dialogue"
cat > "$RUNS/dialogue.txt" << 'EOF'
Desk: Please enter your number, followed by the pound key. [pause 0.6] Thank you.
Caller: How many messages are in my folder?
Desk: There are seven new messages in your folder.

Desk: To listen to a message, press one. To call back later, hang up now.
EOF
unilatent synthesize demo --script "$RUNS/dialogue.txt" --cast Desk=Allison --cast Caller=flite_rms \
    --output "$RUNS/dialogue.wav" --overwrite

say "done in $((SECONDS - started)) s after set-up; listen to $RUNS/dialogue.wav
its times are in dialogue.wav.report.json, its picture is dialogue.wav.png
for a text of yours: scripts/speak.sh --text \"...\""
