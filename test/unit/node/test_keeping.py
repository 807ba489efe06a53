"""What is told again after a link broke: examples, and histories made up by hypothesis."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncluster.errors import WireError
from asyncluster.model.messages import Held, Message, Outcome, Output, Result, StepDone, decode_batch
from asyncluster.node.keeping import PIECE_BYTES, PIECE_ITEMS, Keeping, pieces


def result(seq: int, job: int = 1, attempt: int = 1) -> Result:
    return Result(job, seq, attempt, Outcome.VALUE, b"")


def linked(*messages: Message) -> Keeping:
    keeping = Keeping()
    keeping.again()
    keeping.put(messages)
    return keeping


def test_what_is_kept_is_not_told_again() -> None:
    """Of three the first two are safe: the third comes again on each link, until it is safe, too."""
    keeping = linked(result(0), StepDone(1, 0, "a", ""), result(1))
    keeping.kept(1, 2)
    for _ in range(2):
        keeping.lost()
        assert keeping.again() == [result(1)]
    keeping.kept(1, 1)
    assert (keeping.again(), keeping.count) == ([], 0)


def output(job: int, seq: int, text: str) -> Output:
    return Output(job, seq, 1, "a/1", text.encode())


def test_output_comes_again_until_it_is_heard() -> None:
    """Counted a job, on each link anew; before the ends of the tasks that wrote it, and no end is missed for it."""
    first, second, other = output(1, 0, "x"), output(1, 1, "y"), output(2, 0, "z")
    keeping = linked(first, result(0), other, second)
    assert keeping.count == 1
    keeping.heard(1, 1)
    for _ in range(2):
        keeping.lost()
        assert keeping.again() == [second, other, result(0)]
    keeping.heard(2, 1)
    keeping.heard(1, 1)
    assert keeping.again() == [result(0)]
    assert not keeping.said


def test_output_waits_for_a_link() -> None:
    """What is written while there is none comes with the next one, after what was not heard on the last."""
    keeping = linked(output(1, 0, "a"))
    keeping.lost()
    keeping.put([output(1, 0, "b"), Output(1, 0, 2, "a/1", b"c")])
    assert keeping.again() == [output(1, 0, "ab"), Output(1, 0, 2, "a/1", b"c")]
    keeping.lost()
    keeping.forget()
    assert keeping.again() == []


@pytest.mark.parametrize(("job", "count"), [(1, 0), (1, 4), (2, 1), (1, -1)])
def test_senseless_words_of_output(job: int, count: int) -> None:
    """As with results."""
    keeping = linked(output(1, 0, "a"), output(1, 0, "b"), output(1, 0, "c"))
    keeping.heard(1, 1)
    with pytest.raises(WireError, match="outputs"):
        keeping.heard(job, count)


def test_a_master_that_does_not_say_what_it_hears() -> None:
    """Nothing is kept for it; the next one is asked again."""
    keeping = linked(output(1, 0, "a"))
    keeping.deaf()
    keeping.put([output(1, 0, "b")])
    assert keeping.again() == []
    keeping.put([output(1, 0, "c")])
    assert keeping.again() == [output(1, 0, "c")]


def test_counts_are_a_job() -> None:
    """A small result may overtake a large one of another job, and be safe before it."""
    large = Result(1, 0, 1, Outcome.VALUE, b"x" * 1_000_000)
    keeping = linked(large, result(7, job=2))
    keeping.kept(2, 1)
    assert keeping.again() == [large]


def test_a_count_may_be_repeated() -> None:
    """It says nothing new, and does no harm."""
    keeping = linked(result(0), result(1))
    for count in (0, 1, 1):
        keeping.kept(1, count)
    assert keeping.count == 1
    keeping.kept(1, 2)
    keeping.kept(1, 2)
    keeping.kept(9, 0)


@pytest.mark.parametrize(("job", "count"), [(1, 0), (1, 4), (1, -1), (2, 1), (0, 1), (1, 2**62)])
def test_senseless_counts(job: int, count: int) -> None:
    """One that goes back, is of more than was sent, or of a job without results is refused and changes nothing."""
    keeping = linked(result(0), result(1), result(2))
    keeping.kept(1, 1)
    with pytest.raises(WireError, match="it keeps"):
        keeping.kept(job, count)
    assert keeping.again() == [result(1), result(2)]


def test_counts_without_a_link() -> None:
    """What was put while there is no link was not sent, so it cannot be kept."""
    keeping = Keeping()
    keeping.put([result(0)])
    with pytest.raises(WireError):
        keeping.kept(1, 1)
    keeping.again()
    keeping.lost()
    with pytest.raises(WireError):
        keeping.kept(1, 1)


def test_counts_begin_anew_with_the_link() -> None:
    """The first that is sent again is number one."""
    keeping = linked(result(0), result(1), result(2))
    keeping.kept(1, 1)
    keeping.lost()
    keeping.put([result(3)])
    assert keeping.again() == [result(1), result(2), result(3)]
    keeping.kept(1, 1)
    assert keeping.again() == [result(2), result(3)]


def test_another_realm() -> None:
    """Nothing is left for it."""
    keeping = linked(result(0))
    keeping.forget()
    assert (keeping.again(), keeping.held([])) == ([], [])


def test_held() -> None:
    """Tasks whose results are not safe are held, beside those of the crew; steps are not tasks."""
    keeping = linked(result(0), result(1), result(5, job=2, attempt=3), StepDone(3, 0, "a", ""))
    keeping.kept(1, 1)
    crew = [Held(1, [0], 2, [(9, 1)])]
    assert keeping.held(crew) == [Held(1, [0], 2, [(9, 1), (1, 1)]), Held(2, [], 0, [(5, 3)])]
    assert crew == [Held(1, [0], 2, [(9, 1)])]


jobs = st.integers(1, 3)
events = st.one_of(
    st.tuples(st.just("put"), jobs, st.integers(1, 5)),
    st.tuples(st.just("step"), jobs, st.just(1)),
    st.tuples(st.just("arrive"), jobs, st.integers(1, 8)),
    st.tuples(st.just("keep"), jobs, st.integers(0, 9)),
    st.tuples(st.just("nonsense"), jobs, st.integers(-2, 20)),
    st.tuples(st.just("lose"), jobs, st.just(0)),
    st.tuples(st.just("link"), jobs, st.just(0)),
)


class Master:
    """A stand-in that takes what a link carries in any order of jobs, and keeps it when it likes."""

    def __init__(self) -> None:
        self.wire: dict[int, list[Message]] = {}  # sent and not arrived, by job
        self.arrived: dict[int, list[Message]] = {}  # on this link, by job
        self.seen: Counter[tuple[type, int, int]] = Counter()
        self.safe: set[tuple[type, int, int]] = set()
        self.kept: Counter[int] = Counter()
        self.linked = False

    def link(self) -> None:
        self.wire, self.arrived, self.kept, self.linked = {}, {}, Counter(), True

    def send(self, messages: list[Message]) -> None:
        for message in messages:
            assert isinstance(message, Result | StepDone)
            assert key(message) not in self.safe, "told again after it was safe"
            self.wire.setdefault(message.job, []).append(message)

    def arrive(self, job: int, count: int) -> None:
        line = self.wire.get(job, [])
        come, self.wire[job] = line[:count], line[count:]
        self.arrived.setdefault(job, []).extend(come)
        self.seen.update(map(key, come))


def key(message: Message) -> tuple[type, int, int]:
    assert isinstance(message, Result | StepDone)
    return type(message), message.job, message.seq if isinstance(message, Result) else message.step


@given(st.lists(events, max_size=60))
def test_histories(history: list[tuple[str, int, int]]) -> None:
    """Whenever links end and whatever is kept: all is delivered at least once, and never after it was safe."""
    keeping, master = Keeping(), Master()
    made: list[Message] = []

    def tell(messages: list[Message]) -> None:
        made.extend(messages)
        keeping.put(messages)
        if master.linked:
            master.send(messages)

    def link() -> None:
        master.link()
        again = keeping.again()
        assert [key(m) for m in sorted(again, key=lambda m: key(m)[1])] == [
            key(m) for m in sorted(made, key=lambda m: key(m)[1]) if key(m) not in master.safe
        ], "not all of it, or not in order"
        master.send(again)

    def keep(job: int, count: int) -> None:
        come = master.arrived.get(job, [])
        count = min(max(count, master.kept[job]), len(come))
        keeping.kept(job, count)
        master.kept[job] = count
        master.safe.update(map(key, come[:count]))

    for kind, job, count in history:
        if kind == "put":
            tell([result(len(made) + n, job) for n in range(count)])
        elif kind == "step":
            tell([StepDone(job, len(made), "a", "")])
        elif kind == "lose":
            master.linked = False
            keeping.lost()
        elif kind == "link":
            link()
        elif kind == "nonsense":
            sent = len(master.arrived.get(job, [])) + len(master.wire.get(job, [])) if master.linked else 0
            if not (master.kept[job] if master.linked else 0) <= count <= sent:
                with pytest.raises(WireError):
                    keeping.kept(job, count)
        elif master.linked and kind == "arrive":
            master.arrive(job, count)
        elif master.linked and kind == "keep":
            keep(job, count)
        tasks = {(each.job, seq) for each in keeping.held([]) for seq, _ in each.tasks}
        assert tasks == {key(m)[1:] for m in made if isinstance(m, Result)} - {
            k[1:] for k in master.safe if k[0] is Result
        }
    link()
    for job in range(1, 4):
        master.arrive(job, len(made))
        keep(job, len(made))
    assert master.seen.keys() == {key(message) for message in made}
    assert (keeping.count, keeping.again()) == (0, [])


def test_nothing_held() -> None:
    """The master is told so in one piece."""
    assert [decode_batch(piece) for piece in pieces([])] == [[]]


codes = st.sampled_from([0, 1, 3, PIECE_ITEMS, 2 * PIECE_ITEMS + 1])
tasks = st.sampled_from([0, 1, 700, PIECE_ITEMS, 50_000])


@settings(max_examples=25)
@given(st.lists(st.tuples(codes, tasks), max_size=6))
def test_pieces(shapes: list[tuple[int, int]]) -> None:
    """However much is held, no piece is larger than a verb's argument may be, and nothing is left out or twice."""
    held = [
        Held(job, list(range(codes)), job % 5, [(2**40 + seq, 3) for seq in range(tasks)])
        for job, (codes, tasks) in enumerate(shapes, 1)
    ]
    got: dict[int, Held] = {}
    for piece in pieces(held):
        assert len(piece) <= PIECE_BYTES + 1024
        for each in decode_batch(piece):
            assert isinstance(each, Held)
            whole = got.setdefault(each.job, Held(each.job, [], each.steps, []))
            assert whole.steps == each.steps
            whole.codes.extend(each.codes)
            whole.tasks.extend(each.tasks)
    assert list(got.values()) == held
