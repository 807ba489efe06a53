"""What becomes of tasks while somebody sits at the machine: `[client] when in use`.

    ours --begins--> in use --ends--> ours

pause      Workers are stopped where they are and get nothing new; they go on when the session ends.
return     The master takes everything back, free of charge, and gives nothing new; here nothing is to be done.
nice       Workers run as modestly as can be; they get new tasks.
go on      Nothing changes.

Whatever it is, the master is told, so that it can say why nothing runs here.
"""

from __future__ import annotations

from enum import Enum

import attrs

PAUSE, RETURN, NICE, GO_ON = "pause", "return", "nice", "go on"
WAYS = (PAUSE, RETURN, NICE, GO_ON)


class Step(Enum):
    """What the workers are to do."""

    STOP = "stop"
    CONTINUE = "continue"
    BE_MODEST = "be modest"
    BE_THEMSELVES = "be themselves"


_AT_BEGIN = {PAUSE: [Step.STOP], NICE: [Step.BE_MODEST]}
_AT_END = {PAUSE: [Step.CONTINUE], NICE: [Step.BE_THEMSELVES]}


@attrs.define(eq=False)
class Yielding:
    """Of one node.  user: who sits there, "" for nobody."""

    way: str = attrs.field(validator=attrs.validators.in_(WAYS))
    user: str = ""

    def begins(self, user: str) -> list[Step]:
        """Somebody uses the machine; nothing where somebody did already."""
        was, self.user = self.user, user
        return [] if was else list(_AT_BEGIN.get(self.way, ()))

    def ends(self) -> list[Step]:
        """Nobody does; nothing where nobody did."""
        was, self.user = self.user, ""
        return list(_AT_END.get(self.way, ())) if was else []
