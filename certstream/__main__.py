"""`python -m certstream` is the command `certstream`."""

from certstream.cli import main

main()
