"""Speaking with a trained voice: the engine, jobs of many files, and what synthetic speech must say about itself."""
