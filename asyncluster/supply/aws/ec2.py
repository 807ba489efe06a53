"""EC2 of one pool: the calls as they block, each in one go, with errors of ours.  Everything here runs in threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

from asyncluster.errors import AsynClusterError, CloudError, NoAnswerError
from asyncluster.model.supply import Flavor, Instance
from asyncluster.model.supply_options import AwsUnit
from asyncluster.supply.aws import groups, instances, sdk
from asyncluster.supply.aws.refusals import (
    FORBIDDEN,
    NOT_FOUND,
    TITLE,
    Said,
    credentials_at,
    error_of,
    one_line,
    refusal,
)

PAGE = 50
"""Instances in one answer: some 200 KB of XML, whose parsing holds up the other threads for a few milliseconds."""

FILTERED = 200
"""Values that EC2 takes in one filter."""

CHANGED = 500
"""Instances that are changed by one call."""

Filters = Sequence[Mapping[str, Any]]


def matching(**words: str | Sequence[str]) -> Filters:
    """Filters of DescribeInstances: `tag_Name=...` stands for `tag:Name`, underscores for hyphens elsewhere."""
    found = []
    for name, values in words.items():
        key = f"tag:{name[4:].replace('__', '-')}" if name.startswith("tag_") else name.replace("_", "-")
        found.append({"Name": key, "Values": [values] if isinstance(values, str) else list(values)})
    return found


class Ec2:
    """The client, made with the first call, and what is asked of it.

    Each method raises NoAnswerError where it is not known what became of it, CloudError where it was refused.
    """

    def __init__(self, pool: str, unit: AwsUnit, connections: int, wall: Callable[[], float] = time.time) -> None:
        """connections: how many threads call at a time; wall: the time of day."""
        self.pool = pool
        self.unit = unit
        self._connections = connections
        self._wall = wall
        self._turn = threading.Lock()
        self._client: Any = None

    def client(self) -> Any:
        """boto3's, which many threads may use at a time; made once."""
        with self._turn:
            if self._client is None:
                self._client = sdk.make_client(self.pool, self.unit, self._connections)
            return self._client

    @property
    def endpoint(self) -> str:
        """Where it is asked."""
        return str(self.client().meta.endpoint_url)

    def call(self, operation: str, **arguments: Any) -> Any:
        """One call by its name in Python, "run_instances"."""
        try:
            return getattr(self.client(), operation)(**arguments)
        except AsynClusterError:
            raise
        except Exception as error:
            self._explain(operation, error)

    def _explain(self, operation: str, error: Exception, who: str = "EC2") -> NoReturn:
        """The error as one of ours, without the original: its traceback holds what was sent.  who: was asked."""
        import botocore.exceptions as vendor

        fault: AsynClusterError
        keys = f"[cloud] {self.pool}.config: region_name, {'endpoint, ' if who == 'EC2' else ''}proxy"
        if isinstance(error, vendor.ClientError):
            fault = error_of(self._said(operation, error.response), self.pool, self.unit)
        elif isinstance(error, vendor.NoCredentialsError | vendor.PartialCredentialsError):
            fault = CloudError(f"there are no credentials for {who}: {credentials_at(self.pool, self.unit)}")
        elif isinstance(error, vendor.CredentialRetrievalError | vendor.TokenRetrievalError):
            fault = CloudError(
                f"the credentials for {who} cannot be had: {error}; {credentials_at(self.pool, self.unit)}"
            )
        elif isinstance(error, vendor.SSLError):
            fault = NoAnswerError(
                f"pool {self.pool}: {who}'s certificate is not taken: {error} "
                f"([cloud] {self.pool}.config.validate_certs)"
            )
        elif isinstance(error, vendor.ProxyConnectionError):
            fault = NoAnswerError(
                f"the proxy {self.unit.proxy} cannot be reached ([cloud] {self.pool}.config.proxy, proxy_port)"
            )
        elif isinstance(error, vendor.EndpointConnectionError | vendor.ConnectTimeoutError):
            fault = NoAnswerError(f"{who} cannot be reached: {error} ({keys})")
        elif isinstance(error, vendor.ParamValidationError):
            fault = CloudError(f"[cloud] {self.pool}.config: {who} would not take this: {error}")
        elif type(error).__name__ == "ResponseParserError":  # it quotes the whole page that came
            page = TITLE.search(str(error))
            title = f" ({one_line(page[1])})" if page else ""
            form = "well-formed XML" if who == "EC2" else "JSON"
            fault = NoAnswerError(
                f"pool {self.pool}: {who} answered {operation} with something that is no {form}{title} ({keys})"
            )
        else:  # read timeouts, half an answer, a connection that ended: it may have been carried out
            words = one_line(f"{type(error).__name__}: {error}")  # which may hold a whole page of a proxy's
            fault = NoAnswerError(f"pool {self.pool}: {who} did not answer {operation}: {words} ({keys})")
        raise fault from None

    def _said(self, operation: str, response: Mapping[str, Any]) -> Said:
        error, about = response.get("Error", {}), response.get("ResponseMetadata", {})
        skew = None
        try:
            theirs = parsedate_to_datetime(about.get("HTTPHeaders", {}).get("date", ""))
            skew = self._wall() - theirs.timestamp()
        except (TypeError, ValueError):
            pass
        return Said(
            str(error.get("Code", "")),
            str(error.get("Message", "")),
            int(about.get("HTTPStatusCode", 0)),
            operation,
            skew,
        )

    # What there is

    def page(self, filters: Filters, token: str = "") -> tuple[list[Instance], str]:
        """Some that match, and by what to ask for the next ones; "" = these were the last."""
        more = {"NextToken": token} if token else {}
        page = self.call("describe_instances", Filters=filters, MaxResults=PAGE, **more)
        if "Reservations" not in page:  # a body that ended early can be well-formed XML of another kind
            raise NoAnswerError(f"pool {self.pool}: EC2's answer has no list of instances")
        return instances.instances_of(page, self.unit.use_public_ip_address), str(page.get("NextToken") or "")

    def instances(self, filters: Filters) -> list[Instance]:
        """All that match, of which there are not many."""
        found, token = self.page(filters)
        while token:
            more, token = self.page(filters, token)
            found += more
        return found

    def named(self, realm: str, names: Sequence[str]) -> list[Instance]:
        """Those alive that the master of that realm has given one of these names."""
        found: list[Instance] = []
        for begin in range(0, len(names), FILTERED):
            some = names[begin : begin + FILTERED]
            tags = matching(tag_asyncluster__realm=realm, tag_asyncluster__name=some)
            found += self.instances([*tags, *matching(instance_state_name=instances.ALIVE)])
        return found

    def flavor(self, price: float) -> Flavor:
        """Of the pool's instance type."""
        answer = self.call("describe_instance_types", InstanceTypes=[self.unit.instance_type])
        if not answer.get("InstanceTypes"):
            raise CloudError(f"[cloud] {self.pool}.config.instance_type: EC2 knows no {self.unit.instance_type}")
        return instances.flavor_of(answer["InstanceTypes"][0], price)

    def group_ids(self) -> tuple[str, ...]:
        """Of the pool's security groups, where EC2 wants ids and names are given; () = as they are given."""
        return groups.ids(self.call, self.pool, self.unit)

    # What the account may have

    def quota(self, code: str) -> Mapping[str, Any] | None:
        """One of Service Quotas'; None = we may not ask for it."""
        import botocore.exceptions as vendor

        try:
            found: Mapping[str, Any] = self._quotas().get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]
        except vendor.ClientError as error:
            if str(error.response.get("Error", {}).get("Code", "")) in FORBIDDEN | {"AccessDenied"}:
                return None
            raise CloudError(refusal(self._said("get_service_quota", error.response))) from None
        except AsynClusterError:
            raise
        except Exception as error:
            self._explain("get_service_quota", error, "Service Quotas")
        return found

    def _quotas(self) -> Any:
        client = sdk.make_client(self.pool, self.unit, 1, "service-quotas")
        if self.unit.endpoint and sdk.is_amazons(client.meta.endpoint_url) and not sdk.is_amazons(self.endpoint):
            raise CloudError("that is not Amazon's, whose Service Quotas knows nothing of it and was not asked")
        return client

    def running(self) -> list[tuple[str, bool]]:
        """Each instance of the account that counts: its type, and whether it is a spot one."""
        found: list[tuple[str, bool]] = []
        more: dict[str, str] = {}
        while True:
            filters = matching(instance_state_name=("pending", "running"))
            page = self.call("describe_instances", Filters=filters, MaxResults=PAGE, **more)
            told = [one for group in page.get("Reservations", ()) for one in group.get("Instances", ())]
            found += [(str(one.get("InstanceType", "")), one.get("InstanceLifecycle") == "spot") for one in told]
            if not page.get("NextToken"):
                return found
            more = {"NextToken": str(page["NextToken"])}

    def vcpus(self, types: Sequence[str]) -> Mapping[str, int]:
        """What instances of each type count."""
        found: dict[str, int] = {}
        for begin in range(0, len(types), PAGE):
            answer = self.call("describe_instance_types", InstanceTypes=list(types[begin : begin + PAGE]))
            for told in answer.get("InstanceTypes", ()):
                found[str(told["InstanceType"])] = instances.flavor_of(told, 0.0).cores
        return found

    # What is done

    def run(self, arguments: Mapping[str, Any]) -> Instance:
        """Begin one; what became of it is unknown where this raises NoAnswerError."""
        page = self.call("run_instances", **arguments)
        if not page.get("Instances"):
            raise NoAnswerError(f"pool {self.pool}: EC2's answer tells of no instance")
        return instances.instances_of(page, self.unit.use_public_ip_address)[0]

    def dry_run(self, arguments: Mapping[str, Any]) -> None:
        """Have EC2 look whether it would do that; raises as `run` where it would not."""
        self._unless("DryRunOperation", "run_instances", DryRun=True, **arguments)

    def terminate(self, ids: Sequence[str]) -> bool:
        """Begin to end them; False: one is not known there, so none of them was told."""
        return self._unless(NOT_FOUND, "terminate_instances", InstanceIds=list(ids))

    def retag(self, ids: Sequence[str], key: str, value: str) -> bool:
        """One tag on all of these; False: one is not known there, so none of them bears it."""
        return self._unless(NOT_FOUND, "create_tags", Resources=list(ids), Tags=[{"Key": key, "Value": value}])

    def _unless(self, code: str, operation: str, **arguments: Any) -> bool:
        """Whether it was answered otherwise than by that code."""
        import botocore.exceptions as vendor

        try:
            getattr(self.client(), operation)(**arguments)
        except vendor.ClientError as error:
            if str(error.response.get("Error", {}).get("Code", "")) == code:
                return False
            self._explain(operation, error)
        except AsynClusterError:
            raise
        except Exception as error:
            self._explain(operation, error)
        return True
