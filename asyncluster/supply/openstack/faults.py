"""What nova refuses, as our errors: pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from asyncluster.errors import CloudError, NoAnswerError, QuotaError
from asyncluster.model.supply_options import OpenStackUnit
from asyncluster.units import clip

CREDENTIALS = "username, password and project (or application_credential_id and its secret, or cloud)"

_QUOTA = re.compile(
    r"quota exceeded for resources: \[([^]]+)\]|quota exceeded for ([\w, -]+?)(?::|,? but|$)|"
    r"quota exceeded, too many ([\w ]+?)\.?$|(maximum number of [\w ]+?) exceeded",
    re.IGNORECASE,
)
_UNIFIED = re.compile(r"resource ([\w:.-]+) is over limit", re.IGNORECASE)
"""How nova tells of keystone's limits, which stand for its own quotas where a site has set it so; one or several."""

_ANY_QUOTA = re.compile(r"(?<![\w:-])quota\b(?![:-])|over a limit", re.IGNORECASE)
"""In other words, of a release that we do not know; the name of a policy, as os-quota-sets, is none of them."""

SETTINGS = (
    (r"\bimage", "image_uuid"),
    (r"key_?name|key ?pair", "key_name"),
    (r"security.?group", "security_groups"),
    (r"availability.?zone", "availability_zone"),
    (r"flavor", "flavor"),
    (r"network|\bport\b|fixed ip|subnet", "networks"),
    (r"user_?data", "userdata_file"),
)
"""What nova complains of, and the key of the pool's `config:` that has to do with it."""


def refused(pool: str, unit: OpenStackUnit, status: int, body: str, doing: str) -> Exception:
    """The error for an answer that says no.  doing: what was asked, for people."""
    said = message(body) or f"HTTP status {status}"
    if status in (401, 407):
        return CloudError(f"the cloud of pool {pool} does not accept us ({said}); {keys(pool, CREDENTIALS)}")
    limit = limit_of(said) if status in (403, 413) else None
    if limit is not None:
        name = f" (limit {limit})" if limit else ""
        return QuotaError(f"pool {pool}: the project's quota is used up: {said}{name}")
    if status >= 500 or status in (408, 429):
        return NoAnswerError(f"the cloud of pool {pool} could not {doing}: {status}, {said}")
    key = next((key for pattern, key in SETTINGS if re.search(pattern, said, re.IGNORECASE)), "")
    if not key and status == 403:
        return CloudError(f"pool {pool}: we may not {doing}: {said}; {keys(pool, CREDENTIALS)}")
    if not key:
        return CloudError(f"the cloud of pool {pool} did not {doing}: {said} (status {status})")
    return CloudError(f"the cloud of pool {pool} did not {doing}: {said}; {keys(pool, key)} is {value(unit, key)}")


def limit_of(said: str) -> str | None:
    """The limit that was reached, "" = it is not named; None: it is about something else."""
    unified = _UNIFIED.findall(said)
    if unified:
        return ", ".join(dict.fromkeys(unified))
    known = _QUOTA.search(said)
    if known is not None:
        return str(next(filter(None, known.groups()))).replace("'", "").strip()
    return "" if _ANY_QUOTA.search(said) else None


def keys(pool: str, key: str) -> str:
    """Where something is set."""
    return f"[cloud] {pool}.config.{key} in asyncluster.yaml"


def value(unit: OpenStackUnit, key: str) -> str:
    """What is set there, for people."""
    found = getattr(unit, key)
    return ", ".join(found) or "not set" if isinstance(found, tuple) else str(found) or "not set"


def message(body: str) -> str:
    """What an error's body says: {"forbidden": {"code": 403, "message": …}}, neutron's, or plain text; on one line."""
    try:
        found: Any = json.loads(body)
    except ValueError:
        found = re.sub(r"<[^>]*>", " ", body)
    while isinstance(found, Mapping):
        inner = found.get("message", next(iter(found.values()), ""))
        found = inner if isinstance(inner, str | Mapping) else ""
    return " ".join(str(found or "").split())[:400]


def reason(text: str) -> str:
    """What a library says of a connection that failed, in so many words as people need, on one line."""
    said = " ".join(text.split())
    system = re.search(r"\[Errno -?[0-9]+\] ([^\"'()\[\]]+)", said)
    if system is None and "timed out" not in said.lower():
        return clip(said, 200)[1:-1]
    where = re.search(r"https?://[^\s/'\")]+", said)
    host = re.search(r"host='([^']+)', port=([0-9]+)", said)
    at = where.group() if where else ":".join(host.groups()) if host else ""
    words = system.group(1).strip() if system else "no answer in time"
    return f"{words} ({at})" if at else words


def wait_of(headers: Mapping[str, str], now: datetime | None = None) -> float:
    """Seconds for which we are asked not to ask again (Retry-After); 0 = it does not say."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,6}", text):
        return float(text)
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, (then - (now or datetime.now(UTC))).total_seconds())
