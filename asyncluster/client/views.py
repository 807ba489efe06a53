"""What the master tells of jobs, as values."""

from __future__ import annotations

from typing import Any

import attrs

from asyncluster.model.job import JobView


def job_view(fields: dict[str, Any]) -> JobView:
    """From the wire; fields that this release does not know are left out."""
    known = {field.name for field in attrs.fields(JobView)}
    return JobView(**{name: value for name, value in fields.items() if name in known})
