"""Gives an order to EC2 so that one instance comes of it, whatever becomes of the answers.

EC2 knows the same order again by its ClientToken.  It is looked for by its tag all the same before it is given again,
and where two were made nevertheless (by something that only speaks like EC2), the younger is ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs
from twisted.logger import Logger

from asyncluster.errors import CloudError, NoAnswerError, ThrottledError
from asyncluster.model.supply import Instance, InstanceState
from asyncluster.supply.aws.asking import TRIES, Asking
from asyncluster.supply.aws.ec2 import Ec2, matching
from asyncluster.supply.aws.instances import eldest_first
from asyncluster.supply.aws.request import Asked, run_arguments

_log = Logger()

YOUNG = 300.0
"""Seconds in which EC2 may say of an instance that was just launched that there is none."""

DOUBTED = 3600.0
"""Seconds for which an order is watched that was given more than once."""

_LIVE = frozenset({InstanceState.STARTING, InstanceState.ACTIVE, InstanceState.ERROR, InstanceState.UNKNOWN})


@attrs.define(eq=False)
class Launching:
    """Of one pool.  realm: of our master."""

    pool: str
    realm: str
    asking: Asking
    ec2: Ec2
    _begun: dict[str, float] = attrs.field(factory=dict, init=False, repr=False)  # id -> when
    _doubtful: dict[str, tuple[str, float]] = attrs.field(
        factory=dict, init=False, repr=False
    )  # token -> kept id, when

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
                        return self._told(there[0], token, doubt=True)
                made = await self.asking.once(self.ec2.run, arguments)
                return await self._alone(made, token) if tried else self._told(made, token, doubt=False)
            except NoAnswerError as error:
                problem, doubt = error, doubt or not isinstance(error, ThrottledError)
                self._doubtful[token] = "", self._now()
            except CloudError as error:
                if doubt:  # it speaks of this try; an earlier one may have taken effect
                    raise NoAnswerError(f"{error}; whether an earlier try took effect is looked for") from None
                raise
        raise NoAnswerError(str(problem)) if doubt else problem

    def is_young(self, id_: str) -> bool:
        """It was launched so lately that EC2 may not know of it everywhere."""
        return id_ in self._begun and self._now() - self._begun[id_] < YOUNG

    async def singled(self, found: Sequence[Instance]) -> Sequence[Instance]:
        """What was listed; what was made twice for one order of ours is ended."""
        now = self._now()
        self._doubtful = {token: kept for token, kept in self._doubtful.items() if now - kept[1] < DOUBTED}
        extra = {one.id for token in list(self._doubtful) for one in self._younger(token, found)}
        if not extra:
            return found
        try:
            await self.asking.once(self.ec2.terminate, sorted(extra))
        except (NoAnswerError, CloudError) as error:
            _log.warn("pool {pool}: {error}; the next listing tries again", pool=self.pool, error=error)
        return [attrs.evolve(one, state=InstanceState.DELETING) if one.id in extra else one for one in found]

    async def _there(self, token: str) -> list[Instance]:
        """What there is for an order, the eldest first."""
        filters = matching(tag_asyncluster__token=token, tag_asyncluster__realm=self.realm)
        return self._of(await self.asking.once(self.ec2.instances, filters), token)

    def _of(self, found: Iterable[Instance], token: str) -> list[Instance]:
        mine = (one for one in found if one.ours and one.owner == self.realm and one.token == token)
        return [one for one in eldest_first(mine) if one.state in _LIVE]

    async def _alone(self, made: Instance, token: str) -> Instance:
        """The instance that stays, after one was made though there may have been one."""
        try:
            there = await self._there(token)
            if len(there) > 1:
                self._say_twice(there)
                await self.asking.once(self.ec2.terminate, [one.id for one in there[1:]])
        except (NoAnswerError, CloudError):  # the next listing shows it
            return self._told(made, token, doubt=True)
        return self._told(there[0] if there else made, token, doubt=True)

    def _younger(self, token: str, found: Iterable[Instance]) -> list[Instance]:
        """Those made for an order besides the one that stays: the one that was told of, else the eldest."""
        made = self._of(found, token)
        if len(made) < 2:
            return []
        kept = self._doubtful[token][0]
        first = next((one for one in made if one.id == kept), made[0])
        others = [one for one in made if one is not first]
        self._doubtful[token] = first.id, self._now()
        self._say_twice([first, *others])
        return others

    def _say_twice(self, made: Sequence[Instance]) -> None:
        _log.warn(
            "pool {pool}: {name} was made {count} times; {id} stays, the others are ended",
            pool=self.pool,
            name=made[0].name,
            count=len(made),
            id=made[0].id,
        )

    def _told(self, made: Instance, token: str, doubt: bool) -> Instance:
        now = self._now()
        self._begun = {id_: when for id_, when in self._begun.items() if now - when < YOUNG} | {made.id: now}
        if doubt:
            self._doubtful[token] = made.id, now
        return made

    def _now(self) -> float:
        return float(self.asking.reactor.seconds())
