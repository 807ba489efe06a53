"""`Cluster` and its futures, on the private reactor with a master in memory."""

from __future__ import annotations

import concurrent.futures
import gc
import itertools
import os
import pickle
import threading
from typing import Any

import pytest

from asyncluster.client import codes, pickling
from asyncluster.client.futures import Cluster
from asyncluster.client.mapping import Piece, open_piece
from asyncluster.errors import JobClosedError, LinkLostError, NotPicklableError, TaskError
from asyncluster.model.messages import Cancel, Code, Outcome, Output, Result, Started, Task

LIMIT = 60


def held(link: Any) -> Cluster:
    link.answering = False
    return Cluster(link)


def on_reactor(link: Any, function: Any) -> None:
    done = threading.Event()
    link.reactor.callFromThread(lambda: (function(), done.set()))
    assert done.wait(LIMIT)


def test_values_and_exceptions_come_back(threaded_link: Any) -> None:
    """Same type, remote traceback attached."""
    with Cluster(threaded_link) as cluster:
        assert cluster.submit(lambda x, y=0: x + y, 1, y=2).result(LIMIT) == 3
        with pytest.raises(ZeroDivisionError) as caught:
            cluster.submit(lambda: 1 // 0).result(LIMIT)
        assert "1 // 0" in str(caught.value.__cause__) or "lambda" in str(caught.value.__cause__)
    assert threaded_link.closes == 1
    assert len(threaded_link.of(Code)) == 2


def test_wait_and_as_completed_take_the_futures(threaded_link: Any) -> None:
    """They are genuine ones, watched before or after they end, cancelled or not."""
    cluster = held(threaded_link)
    futures = [cluster.submit(abs, -number) for number in range(50)]
    assert all(isinstance(future, concurrent.futures.Future) for future in futures)
    assert futures[7].cancel()
    assert futures[7].cancel()
    called: list[Any] = []
    futures[3].add_done_callback(called.append)
    assert not concurrent.futures.wait(futures, timeout=0).done - {futures[7]}
    on_reactor(threaded_link, lambda: None)
    on_reactor(threaded_link, threaded_link.answer)
    done = list(concurrent.futures.as_completed(futures, LIMIT))
    assert len(done) == 50
    assert called == [futures[3]]
    assert futures[7].cancelled()
    assert sum(future.result() for future in futures if not future.cancelled()) == sum(range(50)) - 7
    assert all(future.exception() is None for future in futures if not future.cancelled())
    cluster.shutdown()


def test_cancelled_calls_leave_the_queue(threaded_link: Any) -> None:
    """The master is told, and a task known to run cannot be cancelled."""
    cluster = held(threaded_link)
    first, second = cluster.submit(abs, 1), cluster.submit(abs, 2)
    on_reactor(threaded_link, lambda: None)
    on_reactor(threaded_link, lambda: threaded_link.handler.messages([Output(7, 0, 1, "a/1", b"")]))
    assert first.running()
    assert not first.cancel()
    assert second.cancel()
    on_reactor(threaded_link, lambda: None)
    assert [task.seq for task in threaded_link.queue] == [0]
    on_reactor(threaded_link, threaded_link.answer)
    assert first.result(LIMIT) == 1
    cluster.shutdown()


def started(link: Any, *seqs: int) -> None:
    on_reactor(link, lambda: None)
    on_reactor(link, lambda: link.handler.messages([Started(7, seq, 1) for seq in seqs]))


def dropped(link: Any) -> list[int]:
    return [seq for cancel in link.of(Cancel) for seq in cancel.seqs]


def test_a_started_task_is_running(threaded_link: Any) -> None:
    """It cannot be cancelled, and ends as any; of a number that is unknown or ended nothing is thought."""
    cluster = held(threaded_link)
    first, second = cluster.submit(abs, -1), cluster.submit(lambda: 1 // 0)
    assert not first.running()
    started(threaded_link, 0, 0, 1, 77, -1)
    assert first.running()
    assert second.running()
    assert not first.cancel()
    assert not first.cancelled()
    assert not concurrent.futures.wait([first, second], timeout=0).done
    on_reactor(threaded_link, threaded_link.answer)
    assert first.result(LIMIT) == 1
    assert isinstance(second.exception(LIMIT), ZeroDivisionError)
    started(threaded_link, 0, 1)
    assert not first.running()
    assert first.done()
    assert not threaded_link.of(Cancel)
    cluster.shutdown()


def test_a_cancelled_call_never_starts(threaded_link: Any) -> None:
    """Its node may have begun it before it heard."""
    cluster = held(threaded_link)
    future = cluster.submit(abs, -1)
    on_reactor(threaded_link, lambda: None)
    assert future.cancel()
    started(threaded_link, 0)
    assert future.cancelled()
    assert not future.running()
    cluster.shutdown()


def test_what_runs_can_be_given_up(threaded_link: Any) -> None:
    """By shutdown, by the master, by libraries that want no result any more; the master is told of the last."""
    cluster = held(threaded_link)
    futures = [cluster.submit(abs, -number) for number in range(5)]
    called: list[Any] = []
    for future in futures:
        future.add_done_callback(called.append)
    started(threaded_link, 0, 1, 2)
    futures[0].give_up()
    futures[3].give_up()
    futures[0].give_up()
    on_reactor(threaded_link, lambda: None)
    assert dropped(threaded_link) == [0, 3]
    ended = [Result(7, 1, 1, Outcome.CANCELLED, b"")]
    on_reactor(threaded_link, lambda: threaded_link.handler.messages(ended))
    assert [future.cancelled() for future in futures] == [True, True, False, True, False]
    cluster.shutdown(cancel_futures=True)
    assert all(future.cancelled() for future in futures)
    assert len(called) == 5
    futures[4].give_up()
    assert len(called) == 5


def test_a_map_whose_chunks_have_started_is_cancelled(threaded_link: Any) -> None:
    """Closing its iterator ends what runs, too."""
    cluster = held(threaded_link)
    results = cluster.map(abs, range(100), chunksize=10)
    on_reactor(threaded_link, lambda: None)
    on_reactor(threaded_link, lambda: threaded_link.answer(1))
    assert next(results) == 0
    on_reactor(threaded_link, lambda: None)
    begun = [task.seq for task in threaded_link.queue]
    assert begun
    started(threaded_link, *begun)
    results.close()  # type: ignore[attr-defined]
    cluster.shutdown()
    assert sorted(dropped(threaded_link)) == begun


def test_unpicklable_arguments_are_refused_at_once(threaded_link: Any) -> None:
    """submit raises; nothing is sent."""
    with Cluster(threaded_link) as cluster, pytest.raises(NotPicklableError, match="argument 0"):
        cluster.submit(abs, threading.Lock())
    assert not threaded_link.of(Task)


def test_a_lost_link_fails_everything(threaded_link: Any) -> None:
    """Outstanding and later calls fail with LinkLostError."""
    cluster = held(threaded_link)
    future = cluster.submit(abs, 1)
    results = cluster.map(abs, range(1000))
    on_reactor(threaded_link, lambda: threaded_link.handler.lost("the wire was cut"))
    with pytest.raises(LinkLostError, match="the wire was cut"):
        future.result(LIMIT)
    with pytest.raises(LinkLostError):
        list(results)
    with pytest.raises(LinkLostError):
        cluster.submit(abs, 1)
    cluster.shutdown()


def test_shutdown_takes_no_more(threaded_link: Any) -> None:
    """As any executor it raises RuntimeError, and it may be called twice."""
    cluster = Cluster(threaded_link)
    cluster.shutdown()
    cluster.shutdown()
    with pytest.raises(RuntimeError):
        cluster.submit(abs, 1)
    with pytest.raises(JobClosedError):
        cluster.map(abs, [1])


def test_shutdown_can_cancel(threaded_link: Any) -> None:
    """cancel_futures cancels what has not ended, and wait returns."""
    cluster = held(threaded_link)
    futures = [cluster.submit(abs, 1) for _ in range(5)]
    cluster.shutdown(cancel_futures=True)
    assert all(future.cancelled() for future in futures)


def test_shutdown_waits_for_maps_that_nobody_reads(threaded_link: Any) -> None:
    """Every item is called all the same."""
    done: list[int] = []
    threaded_link.codes_run = done
    cluster = Cluster(threaded_link)
    cluster.map(abs, range(500))
    cluster.shutdown()
    assert sum(len(pickle.loads(task.payload)[0][0]) for task in threaded_link.of(Task)) == 500


@pytest.mark.parametrize("chunksize", ["auto", 1, 7])
@pytest.mark.parametrize("known", [True, False])
def test_map_in_order(threaded_link: Any, chunksize: Any, known: bool) -> None:
    """All values, in the order of the items, for inputs with a length and without."""
    with Cluster(threaded_link) as cluster:
        items = range(1000) if known else iter(range(1000))
        assert list(cluster.map(lambda x: -x, items, chunksize=chunksize)) == [-x for x in range(1000)]
        assert sorted(cluster.map_unordered(abs, range(100))) == list(range(100))
        assert list(cluster.map(pow, [2, 3], [3, 2, 1])) == [8, 9]
        assert list(cluster.map(abs, [])) == []


def test_map_reads_endless_inputs_as_needed(threaded_link: Any) -> None:
    """An endless input is no obstacle; closing the iterator ends it."""
    with Cluster(threaded_link) as cluster:
        results = cluster.map(abs, itertools.count(), buffersize=10)
        assert list(itertools.islice(results, 50)) == list(range(50))
        results.close()  # type: ignore[attr-defined]
    assert len(threaded_link.of(Task)) < 100


def test_map_raises_in_the_place_of_the_item(threaded_link: Any) -> None:
    """Earlier values are delivered first: of the function, of the input, and of arguments that cannot travel."""

    def broken() -> Any:
        yield from [1, 2]
        raise OSError("the input ended badly")

    with Cluster(threaded_link) as cluster:
        for items, error in [
            ([1, 1, 0, 1], ZeroDivisionError),
            (broken(), OSError),
            ([1, 1, threading.Lock(), 1], NotPicklableError),
        ]:
            results = cluster.map(lambda x: 1 // x, items, chunksize=3)
            assert next(results) == 1
            next(results)
            with pytest.raises(error):
                next(results)


def test_map_with_ever_new_functions(threaded_link: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the limit the function travels with each chunk, for one input and for several."""
    monkeypatch.setattr(codes, "MAX_CODES", 2)
    with Cluster(threaded_link) as cluster:
        for number in range(6):
            assert list(cluster.map(lambda x, n=number: x + n, range(50))) == list(range(number, 50 + number))
            assert list(cluster.map(lambda x, y, n=number: x + y + n, [1], [2])) == [3 + number]
    assert len(threaded_link.of(Code)) == 4


@pytest.mark.parametrize("known", [True, False])
def test_map_of_large_items(threaded_link: Any, monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    """Items that are too large together travel apart; one that is too large alone is refused in its place."""
    monkeypatch.setattr(pickling, "MAX_PAYLOAD", 5000)
    sizes = [2000] * 5 + [6000] + [2000] * 3
    with Cluster(threaded_link) as cluster:
        items = [bytes([place]) * size for place, size in enumerate(sizes)]
        results = cluster.map(len, items if known else iter(items), chunksize=9)
        assert list(itertools.islice(results, 5)) == [2000] * 5
        with pytest.raises(NotPicklableError, match=r"len\(\).* limit is 5,000"):
            next(results)
        assert list(cluster.map(len, items[:5], chunksize=5)) == [2000] * 5
        with pytest.raises(NotPicklableError, match="limit"):
            cluster.submit(len, items[5])


def test_chunks_that_exit_when_unpickled() -> None:
    """A SystemExit from unpickling is the task's error; Ctrl-C of the reader is his own."""
    values, error = open_piece(Piece(0, pickle.dumps(Raising(SystemExit))), "work")
    assert values == []
    assert isinstance(error, TaskError)
    with pytest.raises(KeyboardInterrupt):
        open_piece(Piece(0, pickle.dumps(Raising(KeyboardInterrupt))), "work")


class Raising:
    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __reduce__(self) -> Any:
        return throw, (self.kind,)


def throw(kind: type[BaseException]) -> None:
    raise kind


def test_map_gives_up_in_time(threaded_link: Any) -> None:
    """TimeoutError, and the rest is cancelled."""
    cluster = held(threaded_link)
    with pytest.raises(TimeoutError):
        list(cluster.map(abs, [1], timeout=0))
    cluster.shutdown()
    assert not threaded_link.queue


def test_results_that_cannot_be_unpickled_do_no_harm(threaded_link: Any) -> None:
    """The future gets a TaskError that names the call, and the session goes on."""
    cluster = Cluster(threaded_link)
    with pytest.raises(TaskError, match="Unreadable"):
        cluster.submit(Unreadable, 1).result(LIMIT)
    assert cluster.submit(abs, -1).result(LIMIT) == 1
    cluster.shutdown()


class Unreadable:
    def __init__(self, one: int) -> None:
        pass

    def __reduce__(self) -> Any:
        return Unreadable, ()


def test_a_cluster_cannot_be_pickled(threaded_link: Any) -> None:
    """The message says what to do, and names it as the culprit of a closure."""
    with Cluster(threaded_link) as cluster:
        with pytest.raises(TypeError, match="makes its own"):
            pickle.dumps(cluster)
        with pytest.raises(NotPicklableError, match="captured variable 'cluster'"):
            cluster.submit(lambda: cluster)


def test_a_forked_child_is_told(threaded_link: Any) -> None:
    """Using the parent's cluster raises there, and the parent's goes on."""
    with Cluster(threaded_link) as cluster:
        child = os.fork()
        if child == 0:
            try:
                cluster.submit(abs, 1)
            except JobClosedError as error:
                os._exit(7 if "forked" in str(error) else 8)
            finally:
                os._exit(9)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert cluster.submit(abs, -1).result(LIMIT) == 1


def test_blocking_in_a_callback_is_refused(threaded_link: Any) -> None:
    """It would wait for itself."""
    caught: list[BaseException] = []
    ended = threading.Event()

    def callback(_future: Any) -> None:
        try:
            cluster.nodes()
        except Exception as error:
            caught.append(error)
        ended.set()

    cluster = held(threaded_link)
    cluster.submit(abs, 1).add_done_callback(callback)
    on_reactor(threaded_link, lambda: None)
    on_reactor(threaded_link, threaded_link.answer)
    assert ended.wait(LIMIT)
    assert "wait for itself" in str(caught[0])
    cluster.shutdown()


def test_a_cluster_that_nobody_holds_closes_when_done(threaded_link: Any) -> None:
    """Its futures still end."""
    future = held(threaded_link).submit(abs, -4)
    gc.collect()
    on_reactor(threaded_link, lambda: None)
    on_reactor(threaded_link, threaded_link.answer)
    assert future.result(LIMIT) == 4
    on_reactor(threaded_link, lambda: None)
    assert threaded_link.closes == 1


def test_output_is_shown_line_by_line(threaded_link: Any) -> None:
    """With its place; the unfinished line when its task ends."""
    lines: list[tuple[str, int, str]] = []
    threaded_link.answering = False
    cluster = Cluster(threaded_link, output=lambda *line: lines.append(line))
    future = cluster.submit(abs, 1)
    on_reactor(threaded_link, lambda: None)
    for piece in (b"one\ntw", b"o\nthr"):
        on_reactor(threaded_link, lambda piece=piece: threaded_link.handler.messages([Output(7, 0, 1, "a/1", piece)]))
    assert lines == [("a/1", 1, "one"), ("a/1", 1, "two")]
    on_reactor(threaded_link, threaded_link.answer)
    future.result(LIMIT)
    assert lines[2:] == [("a/1", 1, "thr")]
    cluster.shutdown()


def test_questions(threaded_link: Any) -> None:
    """nodes() gives values, whatever a later master adds; _max_workers is what Dask asks for."""
    with Cluster(threaded_link) as cluster:
        assert [(node.name, node.slots) for node in cluster.nodes()] == [("a", 2)]
        assert [(job.name, job.running) for job in cluster.jobs()] == [("n", 2)]
        assert cluster.status() == {"nodes": 1}
        assert cluster._max_workers == 2
        assert "job 7" in repr(cluster)


def test_cancelled_elsewhere_and_nobody_looks() -> None:
    """It costs no lock of its own: a job of a million tasks may have been cancelled; who looks later finds it so."""
    from asyncluster.client.future import TaskFuture, settle_futures
    from asyncluster.client.outcomes import CANCELLED

    class Core:
        """Is told of nothing."""

    future: TaskFuture[int] = TaskFuture(Core(), 0)  # type: ignore[arg-type]  # it is never asked
    settle_futures([(future, CANCELLED, None, 0)])
    assert future._cond is None
    assert (future.done(), future.cancelled(), future.cancel()) == (True, True, True)
    told: list[Any] = []
    future.add_done_callback(told.append)
    assert told == [future]
    assert concurrent.futures.wait([future], 0).done == {future}
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(0)
