"""The command line: typer applications, one file a group, no logic."""
