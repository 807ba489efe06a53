"""What EC2 said no with, as an error of ours that names the setting which mends it; pure."""

from __future__ import annotations

import re

import attrs

from asyncluster.errors import AsynClusterError, CapacityError, CloudError, NoAnswerError, QuotaError, ThrottledError
from asyncluster.model.supply_options import AwsUnit
from asyncluster.units import clip, format_duration

THROTTLED = frozenset({
    "RequestLimitExceeded", "Throttling", "ThrottlingException", "RequestThrottled", "TooManyRequestsException",
    "SlowDown", "BandwidthLimitExceeded", "EC2ThrottledException",
})  # fmt: skip
"""It is asked too often; nothing was done."""

FULL = frozenset({
    "InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientReservedInstanceCapacity",
    "InsufficientCapacity", "InsufficientCapacityOnHost", "InsufficientCapacityOnOutpost",
    "InsufficientAddressCapacity", "InsufficientVolumeCapacity", "InsufficientFreeAddressesInSubnet",
    "ReservationCapacityExceeded",
})  # fmt: skip
"""There is none just now; another zone, or type, may have it."""

SPOT_PRICE = frozenset({"SpotMaxPriceTooLow", "BidPriceTooLow", "MaxPriceTooLow"})

LIMITS = {
    "VcpuLimitExceeded": "vCPUs of running instances of that family (EC2 quota)",
    "InstanceLimitExceeded": "running instances of that type",
    "MaxSpotInstanceCountExceeded": "spot instances, in vCPUs (EC2 quota)",
    "MaxSpotFleetRequestCountExceeded": "spot requests",
    "VolumeLimitExceeded": "size of all volumes (EBS quota)",
    "MaxIOPSLimitExceeded": "IOPS of all volumes (EBS quota)",
    "AddressLimitExceeded": "elastic addresses",
    "NetworkInterfaceLimitExceeded": "network interfaces",
    "ResourceCountExceeded": "resources",
}
"""What is limited, in words."""

SPOT_LIMIT = "MaxSpotInstanceCountExceeded"
"""Only who asks for a spot instance is told this."""

NOT_US = frozenset({
    "AuthFailure", "InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException", "AccessDenied",
    "MissingAuthenticationToken", "IncompleteSignature", "InvalidAccessKeyId", "InvalidSecurity",
})  # fmt: skip
EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"})
"""Of credentials for a time, as a role or a profile gives them: nobody has had them renewed."""

CLOCK = frozenset({"RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture"})
FORBIDDEN = frozenset(
    {"UnauthorizedOperation", "OptInRequired", "Blocked", "PendingVerification", "AccessDeniedException"}
)

KEYS: tuple[tuple[str, str], ...] = (
    (r"InvalidAMIID|InvalidAMIName|\bimage\b|\bAMI\b|architecture", "image_id"),
    (r"InvalidKeyPair|key ?pair|KeyName", "key_name"),
    (r"InvalidSecurityGroup|InvalidGroup|security ?group|GroupId|GroupName", "security_groups"),
    (r"InvalidSubnet|subnet|InvalidNetworkInterface", "subnet_id"),
    (r"InvalidZone|InvalidAvailabilityZone|availability ?zone|Placement", "availability_zone"),
    (r"BlockDeviceMapping|InvalidSnapshot|volume|device ?name|DeviceName", "disk_map"),
    (r"UserData|user data", "userdata_file"),
    (r"spot|MaxPrice", "spot_bid"),
    (r"instance ?type|InvalidInstanceType|Unsupported", "instance_type"),
)
"""What it complains of, by code and words, and the key that has to do with it; the first that fits."""

SKEW = 240.0
"""Seconds by which a clock may be wrong before EC2 minds: it takes five minutes."""

NOT_FOUND = "InvalidInstanceID.NotFound"
TITLE = re.compile(r"<title>\s*([^<]+?)\s*</title>", re.IGNORECASE)
"""What a page is about that came in place of an answer, as "500 Internal Server Error"."""

LONGEST = 400
"""Characters of its own words that are passed on."""


class ForbiddenError(CloudError):
    """EC2 knows who asks, and the policy of that account does not have the right."""


@attrs.frozen
class Said:
    """One answer that says no.

    code, message: its own; status: of HTTP; doing: what was asked for; skew: seconds by which our clock is ahead of
    its, None = not known.
    """

    code: str
    message: str = ""
    status: int = 400
    doing: str = ""
    skew: float | None = None


def error_of(said: Said, pool: str, unit: AwsUnit) -> AsynClusterError:
    """NoAnswerError: one cannot know what became of it (ThrottledError: nothing); CloudError: it was not done."""
    code, words = said.code, refusal(said)
    if code in THROTTLED or (said.status == 429):
        return ThrottledError(f"pool {pool}: EC2 is asked too often by this account: {words}")
    if code in FULL:
        return CapacityError(
            f"pool {pool}: EC2 has no {unit.instance_type} in {_where(unit)} now: {words} "
            f"([cloud] {pool}.config: availability_zone, instance_type)"
        )
    if code in SPOT_PRICE:
        return CapacityError(
            f"pool {pool}: no spot instance for {unit.spot_bid:g} an hour: {words} ([cloud] {pool}.config.spot_bid)"
        )
    if code == SPOT_LIMIT and unit.spot_bid and unit.spot_on_demand and unit.spot_timeout:
        # no reason to stop the pool: it may have the same at the full price, which another limit counts
        return CapacityError(f"pool {pool}: the account's limit {code} is reached, of {LIMITS[code]}: {words}")
    if code in LIMITS:
        return QuotaError(f"pool {pool}: the account's limit {code} is reached, of {LIMITS[code]}: {words}")
    if _is_late(said):
        return CloudError(_clock(said, words))
    if code in EXPIRED:
        return CloudError(f"the session token of the credentials has expired: {words}. {credentials_at(pool, unit)}")
    if code in NOT_US:
        return CloudError(f"EC2 does not take the credentials: {words}. {credentials_at(pool, unit)}")
    if code in FORBIDDEN:
        kind = ForbiddenError if code == "UnauthorizedOperation" else CloudError
        return kind(
            f"pool {pool}: the account may not do that ({said.doing}): {words}. "
            f"Look at its IAM policy, or at [cloud] {pool}.config.access_key_id"
        )
    if code == "IdempotentParameterMismatch":
        return NoAnswerError(
            f"pool {pool}: this order was given before, in other words; what became of it is looked for"
        )
    if said.status >= 500 or code in {"InternalError", "InternalFailure", "Unavailable", "ServiceUnavailable"}:
        return NoAnswerError(f"pool {pool}: EC2 could not answer: {words}")
    return CloudError(_refused(said, pool, unit, words))


def _refused(said: Said, pool: str, unit: AwsUnit, words: str) -> str:
    key = setting_of(said)
    if not key:
        return f"pool {pool}: EC2 said no ({said.doing}): {words}. Look at [cloud] {pool}.config"
    value = getattr(unit, key)
    shown = ", ".join(value) if isinstance(value, tuple) else str(value)
    return f"[cloud] {pool}.config.{key}: {shown or 'not set'}: EC2 said no: {words}"


def setting_of(said: Said) -> str:
    """The key of the pool's configuration that has to do with it; "" = one cannot tell."""
    by_code = next((key for pattern, key in KEYS if re.search(pattern, said.code, re.IGNORECASE)), "")
    if by_code and said.code not in {"Unsupported", "UnsupportedOperation"}:
        return by_code
    return next((key for pattern, key in KEYS if re.search(pattern, said.message, re.IGNORECASE)), by_code)


def credentials_at(pool: str, unit: AwsUnit) -> str:
    """Where the credentials come from, so that somebody can look there."""
    if unit.access_key_id:
        return f"Look at [cloud] {pool}.config.access_key_id ({unit.access_key_id}) and secret_access_key"
    if unit.profile:
        return f"They come from the profile {unit.profile} ([cloud] {pool}.config.profile)"
    return (
        "They come from the master's environment, ~/.aws or its instance's role, since "
        f"[cloud] {pool}.config.access_key_id is not set"
    )


def _is_late(said: Said) -> bool:
    """It is refused for the time that our signature bears; RequestExpired may mean the session token's as well."""
    if said.code not in CLOCK | NOT_US | EXPIRED:
        return False
    if said.skew is not None and abs(said.skew) > SKEW:
        return True
    late = re.search(r"signature expired|not yet current|timestamp", said.message, re.IGNORECASE)
    return late is not None or (said.code in CLOCK and (said.skew is None or said.code not in EXPIRED))


def _clock(said: Said, words: str) -> str:
    off = "is wrong"
    if said.skew is not None:
        off = f"is {format_duration(round(abs(said.skew)))} {'ahead of' if said.skew > 0 else 'behind'} EC2's"
    return f"EC2 does not take our requests, because this machine's clock {off}: {words}. Set it, by chrony or the like"


def _where(unit: AwsUnit) -> str:
    return unit.availability_zone or unit.subnet_id or unit.region_name or "that region"


def refusal(said: Said) -> str:
    """What it said no with, by its code, on one line without a stop at the end."""
    message = one_line(said.message).rstrip(". ")  # a sentence of ours goes on after it
    return f"{said.code}: {message}" if message else said.code


def one_line(text: str) -> str:
    """What others say, without line breaks and not too long."""
    return clip(" ".join(text.split()), LONGEST)[1:-1]
