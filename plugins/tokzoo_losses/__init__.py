"""Regularizers: distances in pixels and features, alignment with a teacher, entropy, shortcuts."""
