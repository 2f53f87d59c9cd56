"""Scores of generated text: `unilatent evaluate`. Import its modules, never the bare name, which hides the builtin."""
