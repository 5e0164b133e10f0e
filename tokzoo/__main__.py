"""``python -m tokzoo``."""

from tokzoo.cli.main import main

main()
