"""`python -m tvilling` is the command `tvilling`."""

from tvilling.cli import main

main(prog_name="tvilling")
