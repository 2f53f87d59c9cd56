"""Speak a sentence into a file, with the demo voice or a voice of yours: python examples/speak.py [VOICE [SPEAKER]]"""

import sys

from unilatent import Voice

voice = Voice.load(sys.argv[1] if len(sys.argv) > 1 else "demo")
speech = voice.say("Good morning, and welcome.", speaker=sys.argv[2] if len(sys.argv) > 2 else None, seed=7)
print(f"{speech.seconds:.1f} seconds at {speech.sample_rate} Hz")
for word, phonemes in speech.guessed.items():
    print(f"guessed: {word} as [[{phonemes}]]")
if speech.spelled:
    print("spelled out:", ", ".join(speech.spelled))
print(speech.save("speech.wav"))
