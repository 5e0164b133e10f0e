"""Teachers: frozen networks whose features a tokenizer may align with."""
