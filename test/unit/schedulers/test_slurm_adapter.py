"""What the adapter of Slurm tells partitions, against a controller in memory that answers when it is let."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from asyncluster.errors import SchedulerError
from asyncluster.model.supply import Flavor, Reservation
from asyncluster.schedulers.run import Answer, Runner
from asyncluster.schedulers.slurm.adapter import Slurm

FLAVOR = Flavor(2, 500 * 1024**2)


@attrs.define(eq=False)
class Controller(Runner):
    """Static host1 and host2; the set `burst` is of nodes that bear CLOUD.

    partitions: what each was told, nodes and sets; deaf: it says yes to an update, and does nothing; one command after
    the other is answered, in the order in which they came, so that those of two nodes take turns.
    """

    reactor: Any = attrs.field(factory=Clock)
    partitions: dict[str, list[str]] = attrs.field(kw_only=True)
    deaf: bool = False
    features: dict[str, list[str]] = attrs.field(factory=lambda: {"host1": [], "host2": []})
    waiting: list[Deferred[None]] = attrs.field(factory=list)

    def join(self, *names: str) -> None:
        """Nodes come by themselves."""
        self.features |= {name: [] for name in names}

    def serve(self) -> None:
        """Answer until nothing more is asked."""
        while self.waiting:
            self.waiting.pop(0).callback(None)

    async def run(self, argv: tuple[str, ...], stdin: str = "") -> Answer:
        """As scontrol answers, when its turn comes."""
        turn: Deferred[None] = Deferred()
        self.waiting.append(turn)
        await turn
        return Answer(argv, 0, self._says(list(argv[1:]), stdin), "")

    def nodes(self, partition: str) -> list[str]:
        """Those that it has, sets resolved."""
        told = self.partitions[partition]
        by_set = [name for name, words in self.features.items() if "burst" in told and "CLOUD" in words]
        return sorted({*(word for word in told if word != "burst"), *by_set})

    def _says(self, words: list[str], stdin: str) -> str:
        if stdin:
            return "\n".join([*map(self._node, self.features), *map(self._partition, self.partitions), "slurm 22.05.8"])
        if words[-2:] == ["show", "reservation"]:
            return "No reservations in the system\n"
        facts = dict(word.partition("=")[::2] for word in words if "=" in word)
        if "AvailableFeatures" in facts:
            self.features[facts["NodeName"]] = facts["AvailableFeatures"].split(",")
        if "PartitionName" in facts and not self.deaf:
            self.partitions[facts["PartitionName"]] = facts["Nodes"].split(",")
        return ""

    def _node(self, name: str) -> str:
        within = ",".join(each for each in self.partitions if name in self.nodes(each))
        return (
            f"NodeName={name} CPUAlloc=0 CPUTot=2 ActiveFeatures={','.join(self.features[name]) or '(null)'} "
            "RealMemory=500 AllocMem=0 State=IDLE+DRAIN "
            f"Partitions={within} SlurmdStartTime=1795275547 CfgTRES=cpu=2 AllocTRES="
        )

    def _partition(self, name: str) -> str:
        sets = " NodeSets=burst" if "burst" in self.partitions[name] else ""
        nodes = ",".join(self.nodes(name)) or "(null)"
        return f"PartitionName={name} AllowAccounts=ALL Default=NO{sets} Nodes={nodes} State=UP"


def reserve(controller: Controller, *names: str, **kept: str) -> list[Any]:
    """All of them at once; what each ended with."""
    slurm, ends = Slurm(controller), []
    for name in names:
        begun: Deferred[Any] = slurm.reserve(name, FLAVOR, Reservation(**kept))
        begun.addBoth(ends.append)
    controller.serve()
    return [getattr(end, "value", end) for end in ends]


@pytest.mark.parametrize("told", [[], ["host1"], ["host1", "burst"], ["burst"], ["burst", "host2"]])
@pytest.mark.parametrize("feature", ["", "CLOUD"])
def test_a_partition_takes_a_node_and_loses_none(told: list[str], feature: str) -> None:
    """Whether it has nodes, a set, or both; and whether or not the node is one of the set."""
    controller = Controller(partitions={"mixed": list(told)})
    controller.join("host3")
    before = controller.nodes("mixed")
    assert reserve(controller, "host3", queue="mixed", property=feature) == [None]
    assert controller.nodes("mixed") == sorted([*before, "host3"])
    assert ("burst" in controller.partitions["mixed"]) == ("burst" in told)


@pytest.mark.parametrize("told", [["host1"], ["host1", "burst"]])
def test_nodes_that_come_at_once_are_all_listed(told: list[str]) -> None:
    """The partition is read, written and read again for one node before it is for the next."""
    controller = Controller(partitions={"listed": list(told)})
    controller.join("host3", "host4", "host5")
    assert reserve(controller, "host3", "host4", "host5", queue="listed") == [None, None, None]
    assert controller.nodes("listed") == ["host1", "host3", "host4", "host5"]


def test_a_partition_that_does_not_take_the_node() -> None:
    """It is said which, as the node would serve nobody."""
    controller = Controller(partitions={"listed": ["host1"]}, deaf=True)
    controller.join("host3", "host4")
    first, second = reserve(controller, "host3", "host4", queue="listed")
    assert isinstance(first, SchedulerError)
    assert "host3" in str(first)
    assert "the partition listed" in str(first)
    assert "host4" in str(second)


def test_the_next_has_its_turn_after_a_failure() -> None:
    """A partition that is not there holds up nobody."""
    controller = Controller(partitions={"listed": ["host1"]})
    controller.join("host3", "host4")
    slurm, ends = Slurm(controller), []
    for name, queue in (("host3", "none"), ("host4", "listed")):
        begun: Deferred[Any] = slurm.reserve(name, FLAVOR, Reservation(queue=queue))
        begun.addBoth(ends.append)
    controller.serve()
    assert "no partition none" in str(ends[0].value)
    assert ends[1] is None
    assert controller.nodes("listed") == ["host1", "host4"]
