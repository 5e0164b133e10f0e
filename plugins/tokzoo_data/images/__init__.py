"""Any folder of images: which files make which split, what identifies them, and their pixels packed for training."""
