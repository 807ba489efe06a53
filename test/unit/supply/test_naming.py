"""Tags written and read."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from asyncluster.model.supply import Order
from asyncluster.supply.naming import EXPIRES, Tags, read_tags, tags

ORDER = Order("burst-1", "t1", "burst", 1800.0)


def test_what_is_written_is_read() -> None:
    """Among other people's tags."""
    written = tags(ORDER, "realm", 1700000000.4) | {"Name": "burst-1", "cost-centre": "7"}
    assert read_tags(written) == Tags("burst-1", "burst", "realm", "t1", 1700000000.0)


def test_other_peoples_are_none() -> None:
    """A name, or a tag of another program's."""
    assert read_tags({"Name": "burst-1", "asyncluster-name": "burst-1"}) is None
    assert read_tags({}) is None


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*tags(ORDER, "r", 0.0)]), st.text(max_size=20)))
def test_whatever_somebody_wrote_there(found: dict[str, str]) -> None:
    """A time that is none counts as not said."""
    read = read_tags(found)
    assert (read is not None) == bool(found.get("asyncluster-realm"))
    if read is not None:
        assert 0.0 <= read.expires < float("inf")
        if found.get(EXPIRES, "") in {"", "nan", "inf", "-1", "soon"}:
            assert read.expires == 0.0
