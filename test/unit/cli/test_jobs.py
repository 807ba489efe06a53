"""`job …`, `explain task` and `submit`, with a master that a test makes up."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest
from click.testing import CliRunner, Result

from asyncluster.cli import following, jobs, submit
from asyncluster.cli.jobtables import state
from asyncluster.cli.main import main
from asyncluster.errors import JobClosedError, ProgramFailedError, RefusedError
from asyncluster.model.job import JobView
from asyncluster.model.messages import Outcome
from asyncluster.model.need import Need
from asyncluster.model.refusal import unmet

VIEW = JobView(7, "ann", "measure", 0, 0, 2, 1, detached=True)


class FakeJobs:
    """One job: of three tasks the last has failed."""

    def __init__(self) -> None:
        self.view = VIEW
        self.yours = True
        self.asked: list[tuple[Any, ...]] = []
        self.ends = [
            (2, int(Outcome.EXCEPTION), pickle.dumps((ProgramFailedError("prog ended with exit code 3", 3), "")))
        ]
        self.written = [(0, 1, b"one\ntw"), (1, 2, b"err\n"), (0, 1, b"o\n"), (1, 1, b"no end")]
        self.steps = 0
        self.count_lost = False  # the link broke over the order, and it was given again

    def __enter__(self) -> FakeJobs:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def all(self) -> list[JobView]:
        return [self.view]

    def info(self, job: int) -> dict[str, Any]:
        if job != 7:
            raise RefusedError(f"you have no job {job} here; `asyncluster job list` shows yours")
        told = {"niceness": 0, "priority": 0, "crash_limit": 3, "folder": "/x", "output": 1234, "output_dropped": 5}
        view, self.view = self.view, attrs.evolve(self.view, queued=max(0, self.view.queued - 1))
        return {**attrs.asdict(view), **told, "yours": self.yours}

    def failed(self, job: int, start: int) -> tuple[list[tuple[int, int, bytes]], int]:
        return self.ends[start : start + 1], len(self.ends)

    def output(self, job: int, task: int, stream: int, position: tuple[int, int]) -> Any:
        found = [each for each in self.written if task in (-1, each[0]) and stream in (0, each[1])]
        at = position[1]
        return found[at : at + 1], (1, at + 1), at + 1 < len(found)

    def cancel(self, job: int, tasks: tuple[int, ...]) -> int | None:
        if job != 7 or 99 in tasks:
            raise RefusedError(f"job {job} has no task 99: its tasks are 0 to 2" if job == 7 else f"no job {job} here")
        self.asked.append(("cancel", job, tasks))
        return None if self.count_lost else sum(task < 3 for task in tasks)

    def explain(self, job: int, task: int) -> dict[str, Any]:
        self.asked.append(("explain", job, task))
        return {"state": "queued", "reason": "all 2 slots that fit are in use, on a"}

    def _there(self, job: int) -> None:
        if job == 99:
            raise RefusedError("you have no job 99 here")

    def pause(self, job: int) -> None:
        self.asked.append(("pause", job))

    def resume(self, job: int) -> None:
        self.asked.append(("resume", job))

    def forget(self, job: int) -> None:
        self._there(job)
        self.asked.append(("forget", job))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeJobs:
    """All verbs ask it; nobody sleeps."""
    made = FakeJobs()
    for module in (jobs, submit):
        monkeypatch.setattr(module, "open_jobs", lambda _place: made)
    monkeypatch.setattr(following.time, "sleep", lambda _: None)
    for name in ("ASYNCLUSTER_SOCKET", "ASYNCLUSTER_MASTER", "ASYNCLUSTER_USER", "ASYNCLUSTER_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return made


def call(*words: str) -> Result:
    """Type that."""
    return CliRunner().invoke(main, words, catch_exceptions=False)


def test_list_and_info(fake: FakeJobs) -> None:
    """A line a job; all about one, with why tasks failed."""
    line = call("job", "list").stdout.splitlines()[1].split()
    assert line[:4] == ["7", "failed", "measure", "ann"]
    assert json.loads(call("job", "list", "--json").stdout)[0]["state"] == "failed"
    found = call("job", "info", "7").stdout
    assert "task 2: prog ended with exit code 3" in found
    assert "1,234 bytes kept, 5 bytes more were dropped" in found
    told = json.loads(call("job", "info", "7", "--json").stdout)
    assert told["failures"] == [
        {"task": 2, "outcome": "exception", "message": "prog ended with exit code 3", "code": 3}
    ]


def test_info_tells_the_options(fake: FakeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What tasks ask for in words as they are typed, and that a job ends with its master."""
    needs = [Need(2, 2**30, 1, ("x",), 90.0, 3, True), Need()]
    told = {**fake.info(7), "needs": [msgspec.structs.asdict(need) for need in needs], "durable": False}
    monkeypatch.setattr(fake, "info", lambda job: told)
    found = call("job", "info", "7").stdout
    assert (
        "2 cores, 1 GiB of memory, 1 gpu, feature x, time limit 1m 30s, retries 3, waits for a node that has it; "
        "others: 1 core\n"
    ) in found
    assert "durable" in found


def test_unknown_jobs_say_what_to_type(fake: FakeJobs) -> None:
    """As a message, and as JSON."""
    found = call("job", "info", "8")
    assert (found.exit_code, found.stdout) == (1, "")
    assert "asyncluster job list" in found.stderr
    assert json.loads(call("job", "wait", "8", "--json").stdout)["error"]["type"] == "RefusedError"


def test_wait(fake: FakeJobs) -> None:
    """It asks until nothing is left; the exit code is the program's."""
    fake.view = attrs.evolve(VIEW, queued=3)
    found = call("job", "wait", "7")
    assert found.exit_code == 3
    assert found.stderr.splitlines() == ["job 7, task 2: prog ended with exit code 3", "job 7: 1 of 3 tasks failed"]
    fake.view, fake.ends = attrs.evolve(VIEW, failed=0), []
    assert call("job", "wait", "7").exit_code == 0
    fake.view = attrs.evolve(VIEW, queued=10**9)
    assert call("job", "wait", "7", "--timeout", "1ms").exit_code == 124


def test_others_pickles_are_not_read(fake: FakeJobs) -> None:
    """They could do what they like with an administrator; texts of the master are safe."""

    class Evil:
        def __reduce__(self) -> Any:
            return pytest.fail, ("it was unpickled",)

    fake.yours = False
    fake.ends = [(2, int(Outcome.EXCEPTION), pickle.dumps(Evil())), (3, int(Outcome.LOST), b"node a died")]
    found = call("job", "info", "7")
    assert "task 2: exception" in found.stdout
    assert "node a died" in found.stdout


def test_output(fake: FakeJobs) -> None:
    """Whole lines with their task; of one task as it was; one stream alone on stdout."""
    found = call("job", "output", "7")
    assert found.stdout == "[0] one\n[0] two\n[1] no end\n"
    assert found.stderr == "[1] err\n"
    assert call("job", "output", "7", "0").stdout == "one\ntwo\n"
    assert call("job", "output", "7", "--stderr").stdout == "[1] err\n"
    found = call("job", "output", "7", "--json")
    assert json.loads(found.stdout.splitlines()[0]) == {"task": 0, "stream": 1, "text": "one\ntw"}
    fake.view = attrs.evolve(VIEW, queued=5)
    assert call("job", "output", "7", "--follow").stdout == "[0] one\n[0] two\n[1] no end\n"


def test_output_as_json_can_be_followed(fake: FakeJobs) -> None:
    """An object a piece until the job has ended; a character that was cut in two is whole."""
    euro = "€".encode()
    fake.written = [(0, 1, b"a" + euro[:1]), (1, 2, b"err"), (0, 1, euro[1:]), (1, 1, b"\xff")]
    fake.view = attrs.evolve(VIEW, queued=5)
    found = call("job", "output", "7", "--json", "--follow")
    assert [tuple(json.loads(line).values()) for line in found.stdout.splitlines()] == [
        (0, 1, "a"),
        (1, 2, "err"),
        (0, 1, "€"),
        (1, 1, "\ufffd"),
    ]
    assert fake.view.queued == 0
    fake.written = [(0, 1, euro[:1])]
    assert json.loads(call("job", "output", "7", "--json").stdout) == {"task": 0, "stream": 1, "text": "\ufffd"}


def test_output_as_json_keeps_nothing_of_tasks_that_said_all() -> None:
    """Of a million tasks only those are remembered whose last character has not come whole, wherever it was cut."""
    shown = following._Json()
    text = "a€𝄞ü\n"
    data = text.encode()
    for cut in range(len(data) + 1):
        told = shown.feed(cut, 1, data[:cut]) + shown.feed(cut, 1, data[cut:])
        assert "".join(json.loads(line)["text"] for line in told.splitlines()) == text
    assert all(not kept for kept in vars(shown).values())
    shown.feed(1, 2, data[:2])
    assert [json.loads(line) for _, line in shown.ends()] == [{"task": 1, "stream": 2, "text": "\ufffd"}]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("job", "wait", "7"), ["job 7 goes on", "job info 7`", "job wait 7`", "job cancel 7`"]),
        (("job", "wait", "7", "7", "9"), ["jobs 7 9 go on", "job list`", "job wait 7 9`"]),
        (("job", "output", "7", "--follow"), ["job 7 goes on"]),
        (("job", "results", "7"), ["job 7 goes on"]),
    ],
)
def test_who_looks_no_longer_ends_nothing(
    fake: FakeJobs, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], named: list[str]
) -> None:
    """Ctrl-C says that the job goes on, and how to look at it, wait again and cancel it."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    fake.view = attrs.evolve(VIEW, queued=10**9)
    monkeypatch.setattr(fake, "info", interrupt)
    monkeypatch.setattr(jobs, "attach_to", interrupt)
    found = call(*words)
    assert (found.exit_code, found.stdout) == (130, "")
    assert all(each in found.stderr for each in named)
    assert "cancelled" not in found.stderr


class FakeFound:
    """An attached job; its link has ended when task 3 is asked."""

    def __init__(self, *ends: object) -> None:
        self.futures: dict[int, Future[object]] = {number: Future() for number in range(len(ends))}
        for future, end in zip(self.futures.values(), ends, strict=True):
            if end == "cancelled":
                future.cancel()
            elif isinstance(end, Exception):
                future.set_exception(end)
            else:
                future.set_result(end)

    def __enter__(self) -> FakeFound:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def is_end_of_link(self, error: BaseException) -> bool:
        return isinstance(error, JobClosedError)


def test_results_have_the_numbers_of_their_tasks(fake: FakeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, whatever came before; a job that was forgotten meanwhile is no end of a task."""
    monkeypatch.setattr(jobs, "attach_to", lambda *_: FakeFound("x", ValueError("no"), "cancelled", None))
    found = call("job", "results", "7")
    assert (found.exit_code, found.stdout) == (1, "task 0: 'x'\ntask 3: None\n")
    assert found.stderr == "task 1: ValueError: no\ntask 2: cancelled\n"
    told = [json.loads(line) for line in call("job", "results", "7", "--json").stdout.splitlines()]
    assert [each["task"] for each in told] == [0, 1, 2, 3]
    assert told[2]["error"]["type"] == "CancelledError"
    monkeypatch.setattr(jobs, "attach_to", lambda *_: FakeFound(1, JobClosedError("job 7 was closed at the master")))
    found = call("job", "results", "7")
    assert (found.stdout, found.stderr) == ("task 0: 1\n", "asyncluster: job 7 was closed at the master\n")


def test_no_jobs(fake: FakeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is said how to make one."""
    monkeypatch.setattr(fake, "all", list)
    assert call("job", "list").stdout.startswith("There are no jobs.")


def test_explain_says_how_a_program_failed(fake: FakeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The master cannot read the exception; its owner can, and nobody else does."""
    told = {"state": "failed", "reason": "it raised an exception, which its owner can read"}
    monkeypatch.setattr(fake, "explain", lambda *_: told)
    assert call("explain", "task", "7.2").stdout == "task 2 of job 7 is failed: prog ended with exit code 3\n"
    fake.yours = False
    assert call("explain", "task", "7.2").stdout == f"task 2 of job 7 is failed: {told['reason']}\n"


def test_orders(fake: FakeJobs) -> None:
    """Each goes to the master by number."""
    assert call("job", "cancel", "7", "--task", "1", "--task", "2", "--task", "1").stdout == (
        "2 tasks of job 7 cancelled\n"
    )
    assert call("job", "cancel", "7").stdout == "nothing to cancel: all tasks of job 7 have ended\n"
    for order in ("pause", "resume", "forget"):
        assert call("job", order, "7", "9", "7").exit_code == 0
    assert fake.asked == [
        ("cancel", 7, (1, 2)),
        ("cancel", 7, ()),
        *((order, job) for order in ("pause", "resume", "forget") for job in (7, 9)),
    ]


def test_what_was_refused_is_told_in_words_alone(fake: FakeJobs) -> None:
    """What programs read stands behind the sentence."""
    fake.ends = [(2, int(Outcome.REFUSED), unmet("needs 3 gpus; no node has any", ("gpus",)).encode())]
    assert "job 7, task 2: needs 3 gpus; no node has any\n" in call("job", "wait", "7").stderr


def test_one_of_several_is_not_there(fake: FakeJobs) -> None:
    """The order is given for the others all the same, and what was done is said."""
    found = call("job", "forget", "7", "99", "9")
    assert (found.exit_code, found.stdout) == (1, "forgotten: 7 9\n")
    assert "no job 99" in found.stderr
    assert fake.asked == [("forget", 7), ("forget", 9)]
    found = call("job", "forget", "99", "7", "--json")
    told = json.loads(found.stdout)
    assert (found.exit_code, told["forgotten"], told["refused"][0]["job"]) == (1, [7], 99)
    found = call("job", "forget", "99")
    assert (found.exit_code, found.stdout) == (1, "")


LOST = """lost 3 times; it is not tried again:
  attempt 1 on a/1, which was killed by signal 9
  attempt 2 on b/1, which was killed by signal 9
  attempt 3 on a/2, which died of signal 11 (SIGSEGV); the last it wrote to stderr:
Fatal Python error: Segmentation fault
  File "x.py", line 1 in f
"""


def test_the_reason_of_a_failure_is_whole(fake: FakeJobs) -> None:
    """On its one line are the places that its first line announces."""
    fake.ends = [(2, int(Outcome.LOST), LOST.encode())]
    assert call("job", "wait", "7").stderr.splitlines()[0] == (
        "job 7, task 2: lost 3 times; it is not tried again: attempt 1 on a/1, which was killed by signal 9; "
        "attempt 2 on b/1, which was killed by signal 9; attempt 3 on a/2, which died of signal 11 (SIGSEGV)"
    )
    assert following.one_line("first\nsecond") == "first"
    assert following.one_line("wrong:") == "wrong"


def test_names_that_cannot_be_shown(fake: FakeJobs, tmp_path: Path) -> None:
    """A list is a list whatever name a program gave its job, and whatever letters the terminal has."""
    fake.view = attrs.evolve(VIEW, name="two\nlines \x1b[2J é")
    runner = CliRunner(charset="ascii")
    found = runner.invoke(main, ["job", "list"], catch_exceptions=False)
    assert "two\\nlines \\x1b[2J \\xe9" in found.stdout
    found = runner.invoke(main, ["job", "list", "--json"], catch_exceptions=False)
    assert json.loads(found.stdout)[0]["name"] == fake.view.name
    for name in ("two\nlines", "tab\t", "\x1b[2J"):
        slip = call("submit", "--name", name, "--", "true")
        assert slip.exit_code == 2
        assert "characters that cannot be shown" in slip.stderr


def test_what_is_no_number(fake: FakeJobs) -> None:
    """It is said of what."""
    for words, told in (
        (("job", "info", "abc"), "'abc' is no number of a job; they begin with 1"),
        (("job", "wait", "0"), "'0' is no number of a job"),
        (("job", "output", "7", "x"), "'x' is no number of a task; they begin with 0"),
    ):
        found = call(*words)
        assert found.exit_code == 2
        assert told in found.stderr


def test_cancelled_while_the_connection_was_lost(fake: FakeJobs) -> None:
    """It is not told that nothing was there to cancel."""
    fake.count_lost = True
    said = call("job", "cancel", "7").stdout
    assert said.startswith("job 7 is cancelled; how many tasks that were is not known")
    assert "`asyncluster job info 7`" in said
    assert json.loads(call("job", "cancel", "7", "--json").stdout) == [{"job": 7, "cancelled": None}]


def test_cancel_what_is_not_there(fake: FakeJobs) -> None:
    """It is an error, never passed over; the other jobs that were named are cancelled all the same."""
    found = call("job", "cancel", "7", "--task", "99")
    assert (found.exit_code, found.stdout) == (1, "")
    assert "job 7 has no task 99: its tasks are 0 to 2" in found.stderr
    found = call("job", "cancel", "7", "--task", "5")
    assert (found.exit_code, found.stdout) == (0, "nothing to cancel: task 5 has ended\n")
    fake.asked.clear()
    found = call("job", "cancel", "6", "7", "7")
    assert (found.exit_code, fake.asked) == (1, [("cancel", 7, ())])
    assert "no job 6 here" in found.stderr
    found = call("job", "cancel", "6", "7", "--json")
    told = json.loads(found.stdout)
    assert (found.exit_code, told[0]["error"]["message"], told[1]) == (1, "no job 6 here", {"job": 7, "cancelled": 0})
    found = call("job", "cancel", "7", "8", "--task", "1")
    assert found.exit_code == 2
    assert "--task is of one job" in found.stderr


def test_wait_for_a_cancelled_job(fake: FakeJobs) -> None:
    """It has not given what was wanted, and says so without calling it a failure."""
    fake.view = attrs.evolve(VIEW, failed=0, cancelled=1)
    fake.ends = [(2, int(Outcome.CANCELLED), b"")]
    found = call("job", "wait", "7")
    assert found.exit_code == 1
    assert found.stderr.splitlines() == ["job 7, task 2: cancelled", "job 7: 1 of 3 tasks were cancelled"]
    told = json.loads(call("job", "wait", "7", "--json").stdout)[0]
    assert (told["done"], told["failed"], told["cancelled"]) == (2, 0, 1)


def test_explain_task(fake: FakeJobs) -> None:
    """One sentence, however the task is named."""
    for words in (("7", "12"), ("7.12",)):
        found = call("explain", "task", *words)
        assert found.stdout == "task 12 of job 7 is queued: all 2 slots that fit are in use, on a\n"
    assert fake.asked == [("explain", 7, 12)] * 2
    told = json.loads(call("explain", "task", "7.12", "--json").stdout)
    assert told == {"job": 7, "task": 12, "state": "queued", "reason": "all 2 slots that fit are in use, on a"}
    for words in (("7.12", "1"), ("x", "1"), ("7.",), ("x",)):
        assert call("explain", "task", *words).exit_code == 2


def test_the_only_task_of_a_job_need_not_be_named(fake: FakeJobs) -> None:
    """Of a job of several one has to be; one of none has nothing to be explained."""
    fake.view = attrs.evolve(VIEW, queued=1, done=0, failed=0)
    assert call("explain", "task", "7").stdout.startswith("task 0 of job 7 is queued: all 2 slots")
    for changes, said in (({}, "job 7 has 3 tasks: name one, such as"), ({"done": 0, "failed": 0}, "has no tasks")):
        fake.view = attrs.evolve(VIEW, **changes)
        found = call("explain", "task", "7")
        assert (found.exit_code, said in found.stderr) == (2, True)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "failed"),
        ({"failed": 0}, "done"),
        ({"failed": 0, "cancelled": 1}, "cancelled"),
        ({"cancelled": 1}, "failed"),
        ({"running": 1}, "running"),
        ({"queued": 1}, "queued"),
        ({"waiting": 1}, "waiting"),
        ({"queued": 1, "running": 1, "paused": True}, "paused"),
        ({"done": 0, "failed": 0}, "empty"),
    ],
)
def test_how_a_job_is(changes: dict[str, Any], word: str) -> None:
    """In one word."""
    assert state(attrs.evolve(VIEW, **changes)) == word


@pytest.mark.parametrize("verb", ["list", "info", "wait", "cancel", "output", "results", "forget", "pause", "resume"])
def test_each_verb_has_examples_and_json(verb: str) -> None:
    """In its help."""
    found = call("job", verb, "--help").stdout
    assert "Example" in found
    assert "--json" in found


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--array", "3-1", "--", "x"), "has no numbers"),
        (("--array", "1-3", "-n", "2", "--", "x"), "one of --array, --each-line and -n"),
        (("--each-line", "-", "--stdin", "-", "--", "x"), "cannot both read"),
        (("--coers", "3", "--", "x"), "--cores"),
        (("--each-line", "no-such-file", "--", "x"), "no-such-file"),
        ((), "Missing argument"),
    ],
)
def test_slips_are_told_before_anything_is_asked(words: tuple[str, ...], told: str) -> None:
    """There is no master at all."""
    found = call("submit", *words)
    assert found.exit_code in (1, 2)
    assert told in found.stderr


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nosuch.sh", "neither a file in this folder nor a program on PATH"),
        ("./nosuch", "./nosuch is no file here"),
        ("simulat", "neither a file"),
        (".", "is a folder"),
    ],
)
def test_programs_that_are_not_here(name: str, told: str) -> None:
    """It is a slip, unless -- says that the nodes have it."""
    found = call("submit", name)
    assert found.exit_code == 1
    assert told in found.stderr
    assert call("submit", "--array", "3-1", "--", name).stderr.count("has no numbers") == 1


def test_what_cannot_be_because_of_a_script(fake: FakeJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what only the master notices names file and line; what was typed does not."""
    script = tmp_path / "s.sh"

    def refuse(_place: object, _program: object, _tasks: object, given: dict[str, Any]) -> int:
        text = f"memory.sh(): needs {given['cores']} cores; the largest node, memory-1, has 2; ask for less"
        raise RefusedError(text, ("cores",))

    monkeypatch.setattr(submit, "_hand_in", refuse)
    script.write_text("#!/bin/sh\n#ASYNCLUSTER --memory 4G\n#ASYNCLUSTER --cores 400\n")
    assert call("submit", str(script)).stderr.startswith(
        f"asyncluster: {script}, line 3: memory.sh(): needs 400 cores;"
    )
    assert call("submit", "--cores", "500", str(script)).stderr.startswith("asyncluster: memory.sh(): needs 500 cores;")


def test_a_text_that_is_no_script(tmp_path: Path) -> None:
    """It is refused on the spot: a shell would take it for commands.  What runs it is said where that is known."""
    for name, what in (("analysis.py", "`submit -- python {}` does"), ("README.md", "`submit -- PROGRAM {}` does")):
        file = tmp_path / name
        file.write_text("import os\n")
        found = call("submit", str(file))
        assert found.exit_code == 1
        assert f"{file} has no `#!` line" in found.stderr
        assert what.format(file) in found.stderr


def test_a_script_with_a_mark_before_its_first_line(
    fake: FakeJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some editors write one; the script that travels has none, or no kernel would find its interpreter."""
    handed: list[dict[str, Any]] = []
    monkeypatch.setattr(submit, "_hand_in", lambda *args: handed.append(args[-1]) or 7)
    script = tmp_path / "s.sh"
    script.write_bytes(b"\xef\xbb\xbf#ASYNCLUSTER --cores 3\necho\n")
    assert call("submit", str(script)).exit_code == 0
    assert (handed[0]["cores"], handed[0]["script"]) == (3, b"#ASYNCLUSTER --cores 3\necho\n")


def test_scripts_with_slips(tmp_path: Path) -> None:
    """File and line are named."""
    script = tmp_path / "s.sh"
    for line, told in (
        ("--time-limit soon", "is not a duration"),
        ("word", "unexpected extra argument"),
        ("--wait", "--wait is typed, as"),
        ("--coers 4", "--cores"),
        ("--env word", "write NAME=VALUE"),
        ("--each-line no-such-file", "no-such-file cannot be read"),
        ("--stdin no-such-file", "no-such-file cannot be read"),
        ("--feature 'a b'", "is no printable word"),
        ("--array 1-3 -n 4", "one of --array"),
    ):
        script.write_text(f"#!/bin/sh\n#ASYNCLUSTER {line}\n")
        found = call("submit", str(script))
        assert found.exit_code == 1
        assert f"{script}, line 2: " in found.stderr
        assert told in found.stderr
    script.write_text("#!/bin/sh\n#ASYNCLUSTER -n 4\n#ASYNCLUSTER --array 1-3\n")
    assert f"{script}, lines 2 and 3: give one of" in call("submit", str(script)).stderr
