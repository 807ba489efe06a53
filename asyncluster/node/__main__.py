"""`python -m asyncluster.node --config FILE`: the node daemon in the foreground, without twistd."""

from __future__ import annotations

import sys

from asyncluster.daemon import run
from asyncluster.node.tap import Options, makeService

sys.exit(run(Options(), makeService, sys.argv[1:]))
