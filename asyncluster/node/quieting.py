"""Stops workers, or makes them modest, while somebody sits at the machine; `yielding` says when."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping

import attrs

from asyncluster.node.crew import Crew
from asyncluster.node.hands import Hand
from asyncluster.node.roster import Action
from asyncluster.node.yielding import Step
from asyncluster.node.zygote import SignalOrder

MODEST = 19
"""Niceness of workers while somebody at the machine goes first."""


@attrs.define(eq=False)
class Quieting:
    """For one supervisor.  order: sends one to the process that forks workers, which alone knows them for certain."""

    crew: Crew
    hands: Mapping[int, Hand]
    order: Callable[[SignalOrder], object]
    modest: bool = False

    def do(self, step: Step, now: float) -> list[Action]:
        """With all workers; gives what the crew wants then."""
        if step is Step.STOP:
            actions = self.crew.pause(now)
            self._signal(signal.SIGSTOP)
            return actions
        if step is Step.CONTINUE:
            self._signal(signal.SIGCONT)
            return self.crew.go_on(now)
        self.modest = step is Step.BE_MODEST
        done = [self._nice(hand) for hand in self.hands.values()]
        return [] if all(done) else self.crew.renew(now)

    def forked(self, hand: Hand) -> None:
        """A worker that was ordered before has come."""
        if self.crew.paused is not None:
            self.order(SignalOrder(hand.life, signal.SIGSTOP))

    def ready(self, hand: Hand) -> None:
        """It has a process group of its own now."""
        if self.modest:
            self._nice(hand)

    def _signal(self, number: signal.Signals) -> None:
        for hand in self.hands.values():
            if hand.pid:
                self.order(SignalOrder(hand.life, number))

    def _nice(self, hand: Hand) -> bool:
        """As modest as workers are to be now; False: it takes root to be less modest again."""
        group = self.crew.workers[hand.number].group
        plain = os.getpriority(os.PRIO_PROCESS, 0) + (0 if group is None else group.niceness)
        try:
            if hand.pid:
                os.setpriority(os.PRIO_PGRP, hand.pid, MODEST if self.modest else min(plain, MODEST))
        except ProcessLookupError:  # it is dying, or has no group of its own yet
            return True
        except PermissionError:
            return False
        return True
