"""``python -m commonspace`` is the command line."""

from commonspace.cli import main

main()
