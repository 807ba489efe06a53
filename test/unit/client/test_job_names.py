"""A job's name: what no master takes is a ValueError where it is given, before anything is connected."""

from __future__ import annotations

import pytest

from asyncluster import Cluster, JobClient
from asyncluster.client.opening import JobOptions
from asyncluster.client.place import check_job_name, name_of_file


@pytest.mark.parametrize("name", ["x" * 201, "a\nb", "x" * 30_000])
def test_names_that_no_list_can_show(name: str) -> None:
    """The limit is said, and little of a long one."""
    for make in (lambda: Cluster(socket="/nonexist/socket", name=name), lambda: JobOptions(name)):
        with pytest.raises(ValueError, match="at most 200 characters") as caught:
            make()
        assert len(str(caught.value)) < 200


def test_names_as_they_are() -> None:
    """A file's name may have bytes that are no text; they are told escaped."""
    for name in ("", "x" * 200, "größe 3", "a\udcffb"):
        check_job_name(name)
    assert JobOptions("a\udcffb").name == "a\\udcffb"


@pytest.mark.parametrize("file", ["\udcff" * 199 + ".py", "a\nb\t.py", "x" * 255, "\u2028.py", "ordinary.py", ""])
def test_names_after_files(file: str) -> None:
    """A file may be called anything; its job has a name that every master takes."""
    name = name_of_file("/some/folder/" + file)
    check_job_name(name)
    assert JobOptions(name).name == name
    JobClient(codePath="/some/folder/" + (file or "a"))
    assert name_of_file("/some/folder/ordinary.py") == "ordinary.py"
