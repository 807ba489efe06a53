"""How many more nodes the account's quotas leave: of vCPUs in one family of instance types, as AWS counts them.

A quota is asked of Service Quotas, for which many accounts have no right: that is no fault, the launch that meets a
limit names it.  What is in use is counted here, since EC2 does not tell it.  All but `examine` is pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from asyncluster.errors import CloudError, NoAnswerError
from asyncluster.model.supply import Finding
from asyncluster.units import count

RIGHT = "servicequotas:GetServiceQuota"

QUOTAS: Mapping[str, tuple[str, str]] = {
    "standard": ("L-1216C47A", "L-34B43A08"),
    "dl": ("L-6E869C2A", "L-85EED4F7"),
    "f": ("L-74FC7D96", "L-88CF9481"),
    "g": ("L-DB2E81BA", "L-3819A6DF"),
    "hpc": ("L-F7808C92", ""),
    "inf": ("L-1945791B", "L-B5D1601B"),
    "p": ("L-417A185B", "L-7212CCBC"),
    "trn": ("L-2C3B7624", "L-6B0D517C"),
    "u": ("L-43DA4232", ""),
    "x": ("L-7295265B", "L-E3A00192"),
}
"""By what instance types are counted together: AWS's codes of their quotas, at the full price and as spot instances."""

_WORDS = {"vt": "g", "gr": "g", "dl": "dl", "hpc": "hpc", "inf": "inf", "trn": "trn", "u": "u"}
_LETTERS = {"f": "f", "g": "g", "p": "p", "x": "x", **dict.fromkeys("acdhimrtz", "standard")}


class Asked(Protocol):
    """What is asked of AWS; it blocks."""

    def quota(self, code: str) -> Mapping[str, Any] | None:
        """One quota; None = we may not ask for it."""

    def running(self) -> Sequence[tuple[str, bool]]:
        """Each instance that runs or begins to, of anybody in the account: its type, and whether it is a spot one."""

    def vcpus(self, types: Sequence[str]) -> Mapping[str, int]:
        """What each type counts."""


def family(instance_type: str) -> str:
    """A key of `QUOTAS`, "" = none that we know."""
    letters = re.match(r"[a-z]*", instance_type)
    word = letters.group() if letters else ""
    return _WORDS.get(word) or _LETTERS.get(word[:1], "") if word != "mac" else ""


def examine(asked: Asked, instance_type: str, spot: bool, endpoint: str = "") -> Finding:
    """What is left, or why that is not known.  endpoint: the pool's own for EC2, which may be no AWS; "" = none."""
    kind = family(instance_type)
    code = QUOTAS[kind][spot] if kind else ""
    if not code:
        text = f"no quota of AWS's is known here that counts {instance_type}"
        return Finding("quota", None, text, "look at Service Quotas in AWS's console")
    try:
        quota = asked.quota(code)
        if quota is None:
            text = f"cannot be asked: needs {RIGHT}; a launch that meets a limit names it"
            return Finding("quota", None, text, f"allow {RIGHT} to the account that the master uses")
        running = [name for name, is_spot in asked.running() if is_spot == spot and family(name) == kind]
        sizes = asked.vcpus(sorted({*running, instance_type}))
    except (CloudError, NoAnswerError) as error:
        if endpoint:
            text = f"not known: the pool has an endpoint of its own: {error}"
            return Finding("quota", None, text, "a launch that meets a limit names it")
        mend = "a launch that meets a limit names it; Service Quotas in AWS's console tells what there is"
        return Finding("quota", None, f"cannot be asked: {error}", mend)
    return finding(quota, sum(sizes.get(name, 0) for name in running), sizes.get(instance_type, 1))


def finding(quota: Mapping[str, Any], used: int, each: int) -> Finding:
    """quota: as Service Quotas tells it; used: vCPUs; each: those of a node."""
    most, name = int(quota.get("Value", 0)), str(quota.get("QuotaName") or quota.get("QuotaCode") or "vCPUs")
    left = max(0, most - used) // max(1, each)
    text = f"{count(left, 'node')} more: {used} of {most} vCPUs are in use ({name})"
    if left:
        return Finding("quota", True, text)
    code = quota.get("QuotaCode", "")
    mend = f"end what is not needed (`asyncluster cloud orphans`), or ask AWS for more (Service Quotas, {code})"
    return Finding("quota", False, text, mend)
