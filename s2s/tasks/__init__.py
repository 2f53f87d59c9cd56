"""Problems: what an example is, how a batch is made of examples, what an output looks like."""
