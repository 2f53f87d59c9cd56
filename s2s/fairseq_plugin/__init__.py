"""Our task, model and criterion for fairseq: `fairseq-train --user-dir "$(unilatent fairseq-plugin)"`.

Nothing else imports this package; fairseq loads it, as the module `fairseq_plugin`. The algorithm is that of `s2s`:
this package turns ids of fairseq's dictionaries into those of a tokenizer, and calls it.
"""

import sys
from pathlib import Path

from . import criterion, model, pieces, task

__all__ = ["criterion", "model", "pieces", "task"]

_ADDED = str(Path(__file__).parent.parent)
while _ADDED in sys.path:  # put there by fairseq; our `config` or `errors` must not be found for those of others
    sys.path.remove(_ADDED)
