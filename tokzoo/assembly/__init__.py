"""A solved recipe made into modules: the tokenizer people use, and the objective that trains it."""
