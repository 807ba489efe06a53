"""What a site's commands are told."""

from __future__ import annotations

from asyncluster.elastic.hooks import arguments
from asyncluster.elastic.records import Life, NodeRecord


def test_arguments_are_filled_in_once() -> None:
    """A brace of its own is written twice, as the reference says; what was filled in is not read again."""
    record = NodeRecord("p-{1}", "p", "t", Life.UP, 0.0, 0.0, address="10.0.0.7")
    argv = ("/bin/tell", "{0}/{1}/{2}", '{{"node": 1}}', "{{0}}", '{"a"}')
    assert arguments(argv, record) == ("/bin/tell", "p-{1}/10.0.0.7/p-{1}", '{"node": 1}', "{0}", '{"a"}')
