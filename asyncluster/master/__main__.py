"""`python -m asyncluster.master --config FILE`: the master in the foreground, without twistd."""

from __future__ import annotations

import sys

from asyncluster.daemon import run
from asyncluster.master.tap import Options, makeService

sys.exit(run(Options(), makeService, sys.argv[1:]))
