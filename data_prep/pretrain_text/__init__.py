"""Raw text to tokenized shards for pretraining: `preparation` is the whole, the other modules its steps."""
