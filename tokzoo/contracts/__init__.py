"""Specs (no torch) and interfaces (torch): what every component is promised and promises. Imports no other room."""
