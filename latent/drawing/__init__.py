"""Pictures from texts: a model that draws, and jobs that write files."""
