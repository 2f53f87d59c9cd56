"""Three summaries of each text, best first, by the summarizer that comes with unilatent or a run of yours.

python examples/summarize.py [RUN]
"""

import sys

from unilatent import Generator

texts = [
    "ImageMagick reads, changes and writes pictures in more than 200 formats, from the command line and from C.",
    "This package contains a daemon that turns the screen off when nobody has touched the keyboard for a while.",
]
generator = Generator.load(sys.argv[1] if len(sys.argv) > 1 else "summarizer")
for text, made in zip(texts, generator.generate(texts, beam_size=5, num_hypotheses=3), strict=True):
    print(text)
    for summary, score in made.nbest:
        print(f"{score:8.2f}  {summary}")
