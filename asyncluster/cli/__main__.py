"""`python -m asyncluster.cli`: the command line where its script is not on the path."""

from __future__ import annotations

from asyncluster.cli.main import main

main(prog_name="asyncluster")
