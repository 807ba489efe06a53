"""What calls need: the words of users, and the codes that bear them."""

from __future__ import annotations

import inspect
import threading
from datetime import timedelta
from typing import Any

import pytest

from asyncluster.client import futures
from asyncluster.client.calls import Entry
from asyncluster.client.codes import CodeTable
from asyncluster.client.futures import Cluster
from asyncluster.client.needs import NAMES, make_need
from asyncluster.model.messages import Code, Task
from asyncluster.model.need import PLAIN, Need

LIMIT = 20


def test_units() -> None:
    """Texts and numbers; what is left out is as before."""
    need = make_need({"memory": "4 GiB", "time_limit": "90 min", "features": "b, a,b", "cores": 2})
    assert need == Need(cores=2, memory=4 * 1024**3, time_limit=5400.0, features=("a", "b"))
    again = make_need({"time_limit": timedelta(hours=1), "retries": 3, "wait": True, "gpus": None}, need)
    assert again == Need(2, 4 * 1024**3, 0, ("a", "b"), 3600.0, 3, True)
    assert make_need({"memory": 1e9, "time_limit": 2}) == Need(memory=10**9, time_limit=2.0)
    assert make_need({"features": "cuda12"}).features == ("cuda12",)
    assert make_need({}) is not None
    assert make_need({}) == PLAIN


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cores", 0),
        ("cores", 1.5),
        ("cores", True),
        ("memory", "much"),
        ("memory", -1),
        ("memory", 0.5),
        ("gpus", -1),
        ("gpus", "2"),
        ("features", [1]),
        ("features", "two words"),
        ("features", 3),
        ("time_limit", "soon"),
        ("time_limit", -1),
        ("time_limit", float("nan")),
        ("time_limit", False),
        ("retries", 10**6),
        ("retries", 1.0),
        ("wait", 1),
    ],
)
def test_wrong_values_name_the_option(name: str, value: Any) -> None:
    """At once, before anything is sent."""
    with pytest.raises(ValueError, match=name):
        make_need({name: value})


def test_unknown_options() -> None:
    """Are no silent wishes."""
    with pytest.raises(TypeError, match="there is no option 'core'"):
        make_need({"core": 2})
    assert set(NAMES) == set(Need.__struct_fields__)


def test_a_function_with_two_needs_is_two_codes() -> None:
    """Numbers are the job's, each code is shipped once, and the plain one knows nothing of the others."""
    put: list[Entry] = []
    table = CodeTable(1, put.append, threading.Lock())
    other = table.for_need(Need(cores=4))
    assert other is table.for_need(Need(cores=4)) is not table
    assert table.for_need(PLAIN) is table

    def work() -> None:
        pass

    numbers = [table.number(work), other.number(work), table.number(work), other.number(work)]
    assert numbers == [0, 1, 0, 1]
    assert [table.named("f"), other.named("f"), other.inline()] == [2, 3, 4]
    needs = [code.need for _, _, code in put if isinstance(code, Code)]
    assert needs == [PLAIN, Need(cores=4), PLAIN, Need(cores=4), Need(cores=4)]
    assert table.names is other.names


def test_views_of_a_cluster(threaded_link: Any) -> None:
    """Calls and maps of a view bear its need, those of the cluster the cluster's; both are one job."""
    with Cluster(threaded_link, retries=1) as cluster:
        view = cluster.options(cores=2, time_limit="1 min")
        assert view.job == cluster.job
        assert view.submit(abs, -1).result(LIMIT) == 1
        assert cluster.submit(abs, -2).result(LIMIT) == 2
        assert list(view.map(abs, [-3, -4], chunksize=1)) == [3, 4]
        assert view.options(retries=5).submit(abs, -5).result(LIMIT) == 5
        with pytest.raises(ValueError, match="memory"):
            cluster.options(memory="lots")
    needs = {code.code: code.need for code in threaded_link.of(Code)}
    asked = [needs[task.code] for task in threaded_link.of(Task)]
    two = Need(cores=2, time_limit=60.0, retries=1)
    assert asked == [two, Need(retries=1), two, two, Need(cores=2, time_limit=60.0, retries=5)]
    assert threaded_link.closes == 1
    with pytest.raises(ValueError, match="gpus"):
        Cluster(threaded_link, gpus=-1)


def test_a_view_keeps_its_cluster(threaded_link: Any) -> None:
    """A cluster that nobody else holds is not closed under it."""
    view = Cluster(threaded_link).options(cores=2)
    assert view.submit(abs, -1).result(LIMIT) == 1
    assert threaded_link.closes == 0
    view.shutdown()
    assert threaded_link.closes == 1


def test_what_a_cluster_does_not_know() -> None:
    """All that it does is named, not only what calls need."""
    with pytest.raises(TypeError, match=r"no option 'foo'; there are socket, .*name, .*priority, .*cores"):
        Cluster("nowhere", foo=1)  # type: ignore[call-arg]  # that is the point
    known = set(inspect.signature(Cluster.__init__).parameters) - {"self", "address", "need"}
    assert known == set(futures._OPTIONS)
