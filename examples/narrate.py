"""Narrate a dialogue of any length into one file; the same command continues it after a stop.

python examples/narrate.py
"""

from pathlib import Path

from latent.longform.cast import Role
from latent.longform.long_form import synthesize_script
from unilatent import Voice

script = Path("dialogue.txt")
script.write_text("Ann: Good morning. [pause 0.3]\nBen: Good morning. How are you?\nAnn: Fine, thank you.\n", "utf-8")
voice = Voice.load("demo")
cast = {"Ann": Role("af_heart"), "Ben": Role("am_michael")}
summary = synthesize_script(voice, script, "dialogue.wav", cast, overwrite=True, picture=False)
print(summary)
