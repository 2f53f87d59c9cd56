"""Records, tokenizers, batches and their order."""
