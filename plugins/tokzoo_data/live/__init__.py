"""Picture files decoded while one trains: where they lie, in folders or WebDataset shards, and what identifies them."""
