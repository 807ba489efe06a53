"""How much this node has, what tasks take of it, and when one takes too much: pure.

Slots are weighed over the workers' loads, gpus are handed out one by one, memory is what running tasks declared.
A plain task takes one slot and is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import attrs

from asyncluster.model.need import Need, slots_of
from asyncluster.node.roster import Ask, Worker
from asyncluster.units import format_duration

GROWN = 4  # a used worker may have kept a quarter of the next task's memory limit; else a new one is forked


@attrs.define
class Room:
    """slots; cores: 0 = as many; memory: bytes, 0 = not weighed; gpus: ids of the devices that are free now."""

    node: str
    slots: int
    cores: int = 0
    memory: int = 0
    gpus: list[str] = attrs.field(factory=list)
    _devices: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.cores = self.cores or self.slots
        self._devices = len(self.gpus)

    def ask(self, need: Need) -> Ask | None:
        """What a task with that need takes; None: one slot and no more, unlimited."""
        slots = slots_of(need.cores, self.slots, self.cores)
        if slots == 1 and not (need.memory or need.gpus or need.time_limit):
            return None
        return Ask(need, slots)

    def unfit(self, ask: Ask) -> str:
        """Why such a task could not run here even if nothing else did; "" when it could."""
        need = ask.need
        for what, wanted, here in (
            ("cores", need.cores, self.cores if ask.slots > self.slots else need.cores),
            ("gpus", need.gpus, self._devices),
            ("MiB of memory", need.memory >> 20, (self.memory or need.memory) >> 20),
        ):
            if wanted > here:
                return f"the task needs {wanted} {what}; node {self.node} has {here}"
        return ""

    def lacks(self, ask: Ask, workers: Iterable[Worker]) -> bool:
        """Whether gpus or memory for it are still others', however many slots are free."""
        if ask.need.gpus > len(self.gpus):
            return True
        if not self.memory or not ask.need.memory:
            return False
        taken = sum(worker.ask.need.memory for worker in workers if worker.ask is not None)
        return taken + ask.need.memory > self.memory

    def free(self, workers: Iterable[Worker]) -> int:
        """Slots that no task takes."""
        return self.slots - sum(worker.load for worker in workers)

    def take(self, worker: Worker, ask: Ask) -> None:
        """A worker gets a task that takes so much: its devices are in `worker.devices`."""
        worker.ask = ask
        worker.devices = tuple(self.gpus[: ask.need.gpus])
        del self.gpus[: ask.need.gpus]

    def release(self, worker: Worker) -> None:
        """That task, or the whole worker, is over."""
        self.gpus = sorted([*self.gpus, *worker.devices], key=_by_number)
        worker.ask, worker.devices, worker.began = None, (), None


def _by_number(device: str) -> tuple[bool, int, str]:
    return not device.isdigit(), int(device) if device.isdigit() else 0, device


def deadline(worker: Worker) -> float | None:
    """When its task has run for too long; None: never, or it has not begun."""
    if worker.ask is None or worker.began is None or not worker.ask.need.time_limit:
        return None
    return worker.began + worker.ask.need.time_limit


def over_time(worker: Worker, node: str, now: float) -> str:
    """What a task is told that has run for too long; "" when it has not."""
    moment = deadline(worker)
    if moment is None or now < moment or worker.ask is None or worker.began is None:
        return ""
    ran = format_duration(math.ceil((now - worker.began) * 1000) / 1000)
    limit = format_duration(worker.ask.need.time_limit)
    return f"{_name(worker)} ran {ran}, above its time limit of {limit}, on node {node}"


def over_memory(worker: Worker, node: str, size: int) -> str:
    """What a task is told that uses too much memory; "" when it does not."""
    limit = worker.ask.need.memory if worker.ask is not None else 0
    if not 0 < limit < size:
        return ""
    return f"{_name(worker)} used {use(size)}, above its memory limit of {limit >> 20} MiB, on node {node}"


def use(size: int) -> str:
    """A measured size, rounded up, so that it never looks like the limit it is above."""
    return f"{-(-size >> 20)} MiB"


def outgrown(worker: Worker, ask: Ask) -> bool:
    """Whether earlier tasks left so much memory in that worker that the next one would pay for it."""
    return worker.base > 0 and worker.size - worker.fresh > ask.need.memory // GROWN


def _name(worker: Worker) -> str:
    return next((f"task {task.seq}" for task in worker.sent if task is not None), "its task")
