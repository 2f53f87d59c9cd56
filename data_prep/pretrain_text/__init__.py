"""Raw text to tokenised shards for pretraining: `preparation` is the whole, the other modules its steps."""
