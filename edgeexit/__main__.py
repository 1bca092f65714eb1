"""Run the command line as ``python -m edgeexit``."""

from edgeexit.cli import main

main(prog_name="edgeexit")
