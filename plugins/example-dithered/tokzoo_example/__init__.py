"""One of everything a plugin can bring to tokzoo."""
