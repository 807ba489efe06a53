"""What the master tells of jobs, as values."""

from __future__ import annotations

from typing import Any

import attrs

from asyncluster.model.job import JobView


def job_view(fields: dict[str, Any]) -> JobView:
    """From the wire; fields that this release does not know are left out."""
    return JobView(**{field.name: fields[field.name] for field in attrs.fields(JobView)})
