"""How cells are run on this machine."""
