"""A job's name: what no master takes is a ValueError where it is given, before anything is connected."""

from __future__ import annotations

import pytest

from asyncluster import Cluster
from asyncluster.client.opening import JobOptions
from asyncluster.client.place import check_job_name


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
