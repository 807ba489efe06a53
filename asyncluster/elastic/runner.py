"""Performs one action by the cloud, the scheduler, the readiness check or a hook, and says what became of it.

Decides nothing and never fails: what goes wrong is an `Outcome`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from asyncluster.elastic.actions import Action, Do, Fault, Outcome
from asyncluster.elastic.hooks import arguments, environment
from asyncluster.elastic.machine import ASKS_SCHEDULER, command
from asyncluster.elastic.match import flavor
from asyncluster.elastic.options import Options
from asyncluster.elastic.records import NodeRecord, PoolRecord, Why
from asyncluster.errors import (
    AsynClusterError,
    CapacityError,
    CloudError,
    NoAnswerError,
    NotYetError,
    QuotaError,
    SchedulerError,
)
from asyncluster.interfaces import ICloud, IHooks, IReadinessCheck, IScheduler
from asyncluster.model.supply import Instance, InstanceState, Order, Pool

_log = Logger()

_COMES = frozenset({Do.ADD, Do.RESERVE, Do.ENABLE})
"""Steps that a node may be late for: it is waited for, as for one that is not ready."""


def line_of(action: Action) -> tuple[str, str]:
    """With which others it shares its turns: of its pool the launches, the ends, or what takes but a moment.

    A node that is there is not to wait until a slow cloud has taken orders for others, nor is one that is to go.
    """
    if action.do in ASKS_SCHEDULER or action.do is Do.CHECK:
        return action.pool, "short"
    return action.pool, "end" if action.do is Do.DESTROY else "long"


class Runner:
    """Knows whom to ask.

    check: None = what is active is ready; hooks: None = no command is ever run; bars: why an action whose turn has
    come is not to be begun any more, '' = it is.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        scheduler: IScheduler,
        clouds: Mapping[str, ICloud],
        options: Options,
        check: IReadinessCheck | None = None,
        hooks: IHooks | None = None,
        bars: Callable[[Action], str] = lambda action: "",
    ) -> None:
        self._reactor = reactor
        self._scheduler = scheduler
        self._clouds = clouds
        self._options = options
        self._check = check
        self._hooks = hooks
        self._bars = bars

    async def perform(self, action: Action, record: NodeRecord, pool: Pool, known: PoolRecord) -> Outcome:
        """Do it once, within its time limit."""
        barred = self._bars(action)
        if barred:
            return Outcome(Fault.NOT_BEGUN, f"it was not begun: {barred}")
        try:
            return await self._do(action, record, pool, known)
        except QuotaError as error:
            return Outcome(Fault.QUOTA, str(error))
        except CapacityError as error:
            return Outcome(Fault.CAPACITY, str(error))
        except NoAnswerError as error:
            return Outcome(Fault.UNSURE, str(error))
        except CancelledError:
            return Outcome(Fault.GIVEN_UP, "it was given up: the master stops")
        except TimeoutError:
            return Outcome(Fault.UNSURE, f"no answer within {self._limit(action):.0f} s")
        except NotYetError as error:
            return Outcome(missing=str(error)) if action.do in _COMES else Outcome(Fault.REFUSED, str(error))
        except (CloudError, SchedulerError) as error:
            return Outcome(Fault.REFUSED, str(error))
        except AsynClusterError as error:
            return Outcome(Fault.NEVER if action.do is Do.CHECK else Fault.UNSURE, str(error))
        except Exception as error:  # a loop's rim: an adapter's own fault ends neither loop nor node
            _log.failure("{do} of {node} went wrong", do=action.do.value, node=action.node)
            return Outcome(Fault.UNSURE, f"{type(error).__name__}: {error}")

    def _limit(self, action: Action) -> float:
        commands = self._options.commands
        return self._options.action_limit if command(action.do, commands) is None else commands.limit + 10.0

    async def _do(self, action: Action, record: NodeRecord, pool: Pool, known: PoolRecord) -> Outcome:
        begun = self._begin(action, record, pool, known)
        begun.addTimeout(self._limit(action), self._reactor)
        got = await begun
        if action.do is Do.LAUNCH and isinstance(got, Instance):
            return Outcome(instance=got)
        return Outcome(missing=got) if action.do is Do.CHECK and isinstance(got, str) else Outcome()

    def _begin(self, action: Action, record: NodeRecord, pool: Pool, known: PoolRecord) -> Deferred[Any]:
        cloud, scheduler, do, name = self._clouds[pool.name], self._scheduler, action.do, record.name
        has = flavor(pool, known)
        begun: Deferred[Any]
        if do is Do.LAUNCH:
            begun = cloud.launch(Order(name, record.token, pool.name, self._options.lease, pool.lifetime))
        elif do is Do.ADD:
            begun = scheduler.add_node(name, record.address, has)
        elif do is Do.CHECK:
            begun = self._check.check(name, record.address) if self._check is not None else _done()
        elif do is Do.RESERVE:
            begun = scheduler.reserve(name, has, pool.reservation)
        elif do is Do.ENABLE:
            begun = scheduler.enable(name)
        elif do is Do.HOLD:
            begun = scheduler.hold(name, action.cause)
        elif do is Do.UNHOLD:
            begun = scheduler.unhold(name)
        elif do is Do.VACATE:
            begun = scheduler.vacate(name, action.cause)
        elif do is Do.REMOVE:
            begun = Deferred.fromCoroutine(self._remove(record, pool))
        elif do is Do.DESTROY:
            begun = cloud.destroy(self._instance(record))
        else:
            argv = command(do, self._options.commands) or ()
            if self._hooks is None or not argv:
                return _done()
            limit = self._options.commands.limit
            begun = self._hooks.run(arguments(argv, record), environment(action, record), limit)
        return begun

    async def _remove(self, record: NodeRecord, pool: Pool) -> None:
        if record.why is Why.FAULT:  # jobs that it died with are still on it, as its scheduler sees them
            try:
                await self._scheduler.vacate(record.name, record.cause)
            except NoAnswerError:
                raise
            except SchedulerError as error:
                _log.debug("{node} cannot be vacated: {error}", node=record.name, error=error)
        await self._scheduler.remove_node(record.name, pool.reservation)

    def _instance(self, record: NodeRecord) -> Instance:
        name = record.name.partition("~")[0]
        return Instance(
            record.instance, name, InstanceState.UNKNOWN, True, self._options.realm, record.token, record.address
        )


def _done() -> Deferred[Any]:
    done: Deferred[Any] = Deferred()
    done.callback("")
    return done
