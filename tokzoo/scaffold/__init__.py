"""What ``tokzoo plugins new`` writes: plugin packages that are right from the start."""
