"""One pool's connection to its cloud: who we are, where nova is, one request at a time.  It blocks: in threads only.

Keystone's library does what has to do with tokens: one that has expired is renewed silently, once a request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs

from asyncluster.config.fields import Secret
from asyncluster.errors import AsynClusterError, CloudError, NoAnswerError
from asyncluster.model.supply_options import OpenStackUnit
from asyncluster.supply.openstack import faults

WANTED = (2, 79)
"""The newest version of nova's interface that we know; its numbers, as 2.79."""

NEEDED = (2, 52)
"""The oldest that will do: tags in the very request that makes a server.  Of 2017."""

PAGE = 100
"""Servers in one answer: a longer text would hold the interpreter, and with it the reactor, while it is read."""

LONGEST_WAIT = 300.0
"""Seconds for which nothing is asked where the cloud asks for as much or more: it may be wrong, or mend sooner."""

Query = Mapping[str, str | int]


@attrs.define(eq=False)
class Asking:
    """One pool's.  Methods raise CloudError and NoAnswerError, and may be called in several threads at a time."""

    pool: str
    unit: OpenStackUnit
    now: Callable[[], float] = time.monotonic
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)
    _clients: dict[str, Any] = attrs.field(factory=dict, init=False, repr=False)  # by type of service
    _version: str = attrs.field(default="", init=False)
    _not_before: float = attrs.field(default=0.0, init=False)  # the cloud has asked for so much patience

    def nova(self, method: str, path: str, doing: str, body: Any = None, **query: str | int) -> Mapping[str, Any]:
        """What nova answers.  doing: what is asked, for people.  A thing that is not there is MissingError."""
        return self._ask("compute", method, path, doing, body, query)

    def neutron(self, path: str, doing: str, **query: str | int) -> Mapping[str, Any]:
        """What neutron answers to a question."""
        return self._ask("network", "GET", f"/v2.0{path}", doing, None, query)

    def glance(self, path: str, doing: str, **query: str | int) -> Mapping[str, Any]:
        """What glance answers to a question."""
        return self._ask("image", "GET", f"/v2{path}", doing, None, query)

    def pages(self, path: str, key: str, doing: str, **query: str | int) -> Iterator[Mapping[str, Any]]:
        """All things of a list of nova's, page by page."""
        asked: Query | None = query
        while asked is not None:
            found, asked = self.page(path, key, doing, asked)
            yield from found
            time.sleep(0.001)  # the reactor's turn

    def page(self, path: str, key: str, doing: str, query: Query) -> tuple[Sequence[Mapping[str, Any]], Query | None]:
        """Some things of a list of nova's, and by what to ask for the next ones; None = these were the last."""
        asked: dict[str, str | int] = {**query, "limit": PAGE}
        answer = self.nova("GET", path, doing, **asked)
        if key not in answer:  # whatever that was: that there is nothing it does not say
            raise NoAnswerError(f"the cloud of pool {self.pool} gave no {key} when asked to {doing}")
        links = {link.get("rel"): str(link.get("href")) for link in answer.get(f"{key}_links", ())}
        if "next" not in links:
            return answer[key], None
        return answer[key], asked | dict(parse_qsl(urlsplit(links["next"]).query))

    def authorize(self) -> None:
        """Prove who we are, anew."""
        client = self._client("compute")
        self._guarded("log in", client.session.invalidate)
        self._guarded("log in", client.get_token)

    # Inside

    def _ask(
        self, service: str, method: str, path: str, doing: str, body: Any, query: Mapping[str, str | int]
    ) -> Mapping[str, Any]:
        left = self._not_before - self.now()
        if left > 0:
            raise NoAnswerError(f"the cloud of pool {self.pool} asked us to wait: {left:.0f} s more before we {doing}")
        client = self._client(service)
        more: dict[str, Any] = {"json": body} if body is not None else {}
        if service == "compute":
            more["microversion"] = self._nova_version(client)
        answer = self._guarded(
            doing,
            lambda: client.request(path, method, params=dict(query) or None, raise_exc=False, **more),
        )
        if answer.status_code >= 300:
            self._no(answer.status_code, answer.text, answer.headers, doing)
        if not answer.content:
            return {}
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, Mapping):
            raise NoAnswerError(f"the cloud of pool {self.pool} gave no sense when asked to {doing}")
        return found

    def _no(self, status: int, body: str, headers: Mapping[str, str], doing: str) -> None:
        wait = faults.wait_of(headers) if status in (413, 429, 503) else 0.0
        if wait:
            self._not_before = self.now() + min(wait, LONGEST_WAIT)
        if status == 404:
            raise MissingError(f"pool {self.pool}: cannot {doing}: {faults.message(body) or 'it is not there'}")
        error = faults.refused(self.pool, self.unit, status, body, doing)
        if wait and isinstance(error, NoAnswerError):
            bound = f", and is asked again after {LONGEST_WAIT:.0f} s" if wait > LONGEST_WAIT else ""
            raise NoAnswerError(f"{error}; it asks us to wait {wait:.0f} s{bound}")
        raise error

    def _nova_version(self, client: Any) -> str:
        if not self._version:
            found = self._guarded("look for nova", client.get_endpoint_data)
            newest = found.max_microversion if found is not None else None
            if newest is None or tuple(newest) < NEEDED:
                has = ".".join(map(str, newest)) if newest else "none"
                raise CloudError(
                    f"pool {self.pool}: this cloud's nova knows version {has} of its interface, and "
                    f"{'.'.join(map(str, NEEDED))} (of 2017) is needed"
                )
            self._version = ".".join(map(str, min(tuple(newest), WANTED)))
        return self._version

    def _client(self, service: str) -> Any:
        with self._lock:
            if not self._clients:
                self._clients = self._guarded("connect", self._connect)
            return self._clients[service]

    def _connect(self) -> dict[str, Any]:
        import openstack

        options = self._options()
        config = openstack.config.OpenStackConfig(
            load_envvars=not self.unit.auth_url, load_yaml_config=bool(self.unit.cloud or not self.unit.auth_url)
        )
        region = config.get_one(cloud=self.unit.cloud or None, **options)
        session = region.get_session()
        return {service: _adapter(region, session, service) for service in ("compute", "network", "image")}

    def _options(self) -> dict[str, Any]:
        """What stands in the file; it goes before clouds.yaml, and that before the environment."""
        unit = self.unit
        auth = {
            "auth_url": unit.auth_url,
            "username": unit.username,
            "password": _clear(unit.password),
            "project_name": unit.project,
            "application_credential_id": unit.application_credential_id,
            "application_credential_secret": _clear(unit.application_credential_secret),
        }
        if not unit.cloud and unit.username:
            auth |= {"user_domain_name": unit.user_domain, "project_domain_name": unit.project_domain}
        options: dict[str, Any] = {
            "auth": {key: value for key, value in auth.items() if value},
            "api_timeout": unit.time_limit,
            "app_name": "asyncluster",
        }
        if unit.application_credential_id:
            options["auth_type"] = "v3applicationcredential"
        if unit.region_name:
            options["region_name"] = unit.region_name
        if unit.ca_file:
            options["cacert"] = unit.ca_file
        return options

    def _guarded(self, doing: str, act: Callable[[], Any]) -> Any:
        """What it gives; what goes wrong on the way there, as our errors."""
        from keystoneauth1 import exceptions

        try:
            return act()
        except (AsynClusterError, MemoryError):
            raise
        except exceptions.SSLError as error:
            raise EndpointError(
                f"pool {self.pool}: the cloud's certificate is not one that we trust: {_short(error)}; "
                f"{faults.keys(self.pool, 'ca_file')} may name who signed it"
            ) from None
        except exceptions.DiscoveryFailure as error:
            raise NoAnswerError(
                f"there is no keystone to be found for pool {self.pool}: {_short(error)}; "
                f"{faults.keys(self.pool, 'auth_url')} is {self.unit.auth_url or 'not set'}"
            ) from None
        except exceptions.ConnectionError as error:
            raise NoAnswerError(
                f"the cloud of pool {self.pool} could not be asked to {doing}: {_short(error)}"
            ) from None
        except exceptions.HttpError as error:
            self._no_at_keystone(error, doing)
        except exceptions.ClientException as error:
            raise EndpointError(
                f"pool {self.pool}: the cloud cannot be asked to {doing}: {_short(error)}; look at "
                f"{faults.keys(self.pool, f'auth_url, region_name, {faults.CREDENTIALS}')}"
            ) from None
        except Exception as error:
            if type(error).__module__.startswith("openstack"):  # its clouds.yaml, or what is missing in it
                raise EndpointError(
                    f"pool {self.pool}: {_short(error)}; "
                    f"{faults.keys(self.pool, 'cloud')} names an entry of clouds.yaml"
                ) from None
            if type(error).__module__.startswith(("requests", "urllib3")):
                raise NoAnswerError(
                    f"the cloud of pool {self.pool} could not be asked to {doing}: {_short(error)}"
                ) from None
            raise
        raise AssertionError("not reached")

    def _no_at_keystone(self, error: Any, doing: str) -> None:
        status, response = int(error.http_status or 500), error.response
        body = response.text if response is not None else str(error)
        headers = response.headers if response is not None else {}
        if status == 404:
            raise EndpointError(
                f"pool {self.pool}: there is no keystone at its URL: {_short(error)}; "
                f"{faults.keys(self.pool, 'auth_url')} is {self.unit.auth_url or 'not set'}"
            ) from None
        self._no(status, body, headers, doing)


class MissingError(CloudError):
    """The cloud does not have what was asked for."""


class EndpointError(CloudError):
    """There is no cloud where we look for it, or none that we may trust."""


def _adapter(region: Any, session: Any, service: str) -> Any:
    """One that tries nothing again by itself: who asks knows whether it may have taken effect."""
    from keystoneauth1.adapter import Adapter

    return Adapter(
        session,
        service_type=region.get_service_type(service),
        interface=region.get_interface(service),
        region_name=region.get_region_name(service),
        endpoint_override=region.get_endpoint(service),
        connect_retries=0,
        status_code_retries=0,
    )


def _clear(secret: Any) -> str:
    return secret.reveal() if isinstance(secret, Secret) else str(secret)


def _short(error: Exception) -> str:
    return faults.reason(str(error)) or type(error).__name__
