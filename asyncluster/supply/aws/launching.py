"""Gives an order to EC2 so that one instance comes of it, whatever becomes of the answers.

EC2 knows the same order again by its ClientToken.  It is looked for by its tag all the same before it is given again,
and where two were made nevertheless (by something that only speaks like EC2), both are listed, the one that is to stay
first; the engine ends the other, since it knows which of them is in its book and may be at work.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs
from twisted.logger import Logger

from asyncluster.errors import CloudError, NoAnswerError, ThrottledError
from asyncluster.model.supply import Instance, InstanceState
from asyncluster.supply.aws.asking import TRIES, Asking
from asyncluster.supply.aws.ec2 import Ec2, matching
from asyncluster.supply.aws.request import Asked, run_arguments
from asyncluster.supply.once import eldest_first

_log = Logger()

YOUNG = 300.0
"""Seconds in which EC2 may say of an instance that was just launched that there is none."""

_LIVE = frozenset({InstanceState.STARTING, InstanceState.ACTIVE, InstanceState.ERROR, InstanceState.UNKNOWN})


@attrs.define(eq=False)
class Launching:
    """Of one pool.  realm: of our master."""

    pool: str
    realm: str
    asking: Asking
    ec2: Ec2
    _begun: dict[str, float] = attrs.field(factory=dict, init=False, repr=False)  # id -> when

    async def begin(self, asked: Asked) -> Instance:
        """Make it.

        CloudError: it was not made.  NoAnswerError: that is not known; a listing shows it, or it is not there.
        """
        arguments, token = run_arguments(self.ec2.unit, asked), asked.order.token
        doubt, problem = False, NoAnswerError(f"pool {self.pool}: EC2 does not answer")
        for tried in range(TRIES):
            try:
                if tried:
                    await self.asking.pause(tried)
                    there = await self._there(token)
                    if there:
                        return self._told(there[0])
                made = await self.asking.once(self.ec2.run, arguments)
                return self._told(await self._first(made, token) if tried else made)
            except NoAnswerError as error:
                problem, doubt = error, doubt or not isinstance(error, ThrottledError)
            except CloudError as error:
                if doubt:  # it speaks of this try; an earlier one may have taken effect
                    raise NoAnswerError(f"{error}; whether an earlier try took effect is looked for") from None
                raise
        raise NoAnswerError(str(problem)) if doubt else problem

    def is_young(self, id_: str) -> bool:
        """It was launched so lately that EC2 may not know of it everywhere."""
        return id_ in self._begun and self._now() - self._begun[id_] < YOUNG

    async def _there(self, token: str) -> list[Instance]:
        """What there is for an order, the eldest first."""
        filters = matching(tag_asyncluster__token=token, tag_asyncluster__realm=self.realm)
        return self._of(await self.asking.once(self.ec2.instances, filters), token)

    def _of(self, found: Iterable[Instance], token: str) -> list[Instance]:
        mine = (one for one in found if one.ours and one.owner == self.realm and one.token == token)
        return [one for one in eldest_first(mine) if one.state in _LIVE]

    async def _first(self, made: Instance, token: str) -> Instance:
        """The one that is to stay, after one was made though there may have been one: a listing has both."""
        try:
            there = await self._there(token)
        except (NoAnswerError, CloudError):
            return made
        if len(there) > 1:
            _log.warn(
                "pool {pool}: {name} was made {count} times; {id} is to stay",
                pool=self.pool,
                name=made.name,
                count=len(there),
                id=there[0].id,
            )
        return there[0] if there else made

    def _told(self, made: Instance) -> Instance:
        now = self._now()
        self._begun = {id_: when for id_, when in self._begun.items() if now - when < YOUNG} | {made.id: now}
        return made

    def _now(self) -> float:
        return float(self.asking.reactor.seconds())
