"""What the board costs: not a test, no limits; run it by hand.

    PYTHONPATH=. python test/unit/jobs/measure_board.py

Prints microseconds of CPU per no-op task (submit + dispatch + result) at several batch sizes and depths of queue,
bytes per queued task, and what stays after a million finished ones.
"""

from __future__ import annotations

import gc
import os
import time
from collections import deque

from asyncluster.jobs.board import Board, ToNode
from asyncluster.model.job import JobSpec
from asyncluster.model.messages import Code, Outcome, Result, Task
from asyncluster.model.node import NodeFacts

PAYLOAD = b"x" * 30


def resident() -> int:
    """Bytes of memory this process has."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def a_board(nodes: int = 2, slots: int = 2, owners: int = 1) -> Board:
    """A board with one job an owner and some nodes."""
    board = Board()
    for number in range(1, owners + 1):
        board.open(JobSpec(number, f"owner{number}"))
        board.code(Code(number, 0, 0, b""))
    for number in range(nodes):
        board.join(NodeFacts(f"n{number}", "host", slots, 2, 1 << 30, "3.11"), 0.0)
    return board


def make(number: int, start: int, count: int) -> list[Task]:
    """Tasks as they come from the decoder."""
    return [Task(number, seq, 0, 0, PAYLOAD + b"%d" % seq) for seq in range(start, start + count)]


def fill(board: Board, count: int, owners: int = 1) -> None:
    """Queue that many."""
    for start in range(0, count, 1000):
        for number in range(1, owners + 1):
            board.submit(number, make(number, start, 1000 // owners))


def run(board: Board, total: int, batch: int, owners: int = 1) -> float:
    """CPU microseconds a task of the board alone; nodes answer `batch` at a time."""
    spent = 0.0
    fresh = 10_000_000
    waiting: dict[str, deque[Task]] = {}
    finished = submitted = turn = 0
    while finished < total:
        size = min(batch, total - submitted)
        lists = [make(number, fresh, size // owners) for number in range(1, owners + 1)] if size else []
        fresh += size
        submitted += size
        began = time.process_time()
        for number, tasks in enumerate(lists, 1):
            board.submit(number, tasks)
        actions = board.dispatch(0.0)
        spent += time.process_time() - began
        for action in actions:
            if isinstance(action, ToNode):
                waiting.setdefault(action.node, deque()).extend(m for m in action.messages if isinstance(m, Task))
        turn += 1
        for name in list(waiting)[turn % len(waiting) :][:1]:
            mine = waiting[name]
            some = [mine.popleft() for _ in range(min(batch, len(mine)))]
            results = [Result(t.job, t.seq, t.attempt, Outcome.VALUE, PAYLOAD, 5) for t in some]
            began = time.process_time()
            board.results(name, results, 0.0)
            spent += time.process_time() - began
            finished += len(results)
    return spent / finished * 1e6


def main() -> None:
    """Print the figures."""
    gc.freeze()
    gc.set_threshold(50_000)
    for owners in (1, 10):
        for batch in (1, 10, 100, 1000):
            if batch >= owners:
                cost = run(a_board(owners=owners), 2000 * min(batch, 100), batch, owners=owners)
                print(f"batch {batch:5}, {owners:2} owners, empty queue: {cost:6.2f} us a task")
    for nodes in (100, 5000):
        print(f"batch    1, {nodes} idle nodes: {run(a_board(nodes), 2000, 1):6.2f} us a task")
    for depth in (1_000, 10_000, 100_000, 1_000_000):
        board = a_board()
        gc.collect()
        before = resident()
        fill(board, depth)
        size = (resident() - before) / depth
        cost = run(board, 100_000, 500)
        print(f"{depth:9,} queued: {cost:5.2f} us a task; {size:6.0f} bytes a queued task (grown; 0: memory was there)")
    for count in (10_000, 100_000, 900_000):
        board = a_board()
        fill(board, 1_000_000)
        began = time.process_time()
        assert board.cancel(1, range(999_999, 999_999 - count, -1))
        print(f"cancel {count:,} of 1,000,000: {(time.process_time() - began) / count * 1e6:.2f} us a task")
    del board
    gc.collect()
    board = a_board()
    before = resident()
    run(board, 1_000_000, 1000)
    gc.collect()
    print(f"after 1,000,000 finished: {(resident() - before) / 2**20:.1f} MiB more; {board.counters}")


if __name__ == "__main__":
    main()
