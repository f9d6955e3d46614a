"""Calls that run on a Ray cluster, and that outlive a worker which does not."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

from commonspace.errors import InputError, MissingExtraError, ServiceError, WorkerLostError

Engine = Literal["local", "ray"]
ENGINES: tuple[Engine, ...] = ("local", "ray")
ADDRESS_VARIABLE = "RAY_ADDRESS"
RETRIES = 3  # how often a call is repeated whose worker was lost

Result = TypeVar("Result")
_ANSWER = 5.0  # seconds for a cluster to take a connection
_VERSIONS = ("commonspace", "numpy", "torch")  # that decide the bits of a result
# What Ray is told unless the user's environment says otherwise: report no use, keep quiet about a
# change to come in how accelerators are hidden, and give a cluster up after seconds.
_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
_PATIENCE = {"RAY_gcs_server_port_wait_time_s": "1", "RAY_py_gcs_connect_timeout_s": "10"}
_ALONE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # "0", on any system: nothing but loopback is used
_TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
_asked: dict[str, str] = {}  # addresses as they were given, and what Ray made of them


def check_address(engine: str, address: str | None) -> None:
    """Refuse an address that nothing would use, or that is none.

    Raises:
        InputError: As it says.
    """
    if address is None:
        return
    if engine != "ray":
        raise InputError(f"address {address!r}: only the engine 'ray' has one. Say --engine ray.")
    _host_and_port(address)


def connect(address: str | None = None) -> None:
    """Join a Ray cluster, once in a process; it is left when the process ends.

    Args:
        address: Host and port as ``ray start --head`` prints them. None takes $RAY_ADDRESS, else
            starts a Ray of this machine alone, bound to loopback, that ends with the process. A
            process that has called ``ray.init`` itself stays with what it has joined.

    Raises:
        MissingExtraError: Ray is not installed.
        InputError: That is no address, or the process has joined another cluster.
        ServiceError: No cluster answers there, it refuses, or it has no processor.
    """
    wanted = address or os.environ.get(ADDRESS_VARIABLE)
    _prepare(alone=wanted is None)
    ray = _ray()
    if ray.is_initialized():
        _check_joined(ray, address)
    else:
        _join(ray, wanted)
    if ray.cluster_resources().get("CPU", 0) < 1:
        raise ServiceError("the Ray cluster has no processor: start its nodes with --num-cpus.")


def each_call(
    function: Callable[..., Result],
    calls: Iterable[Mapping[str, Any]],
    *,
    at_once: int | None = None,
    retries: int = RETRIES,
    when_lost: Callable[[int], Result] | None = None,
) -> Iterator[tuple[int, Result]]:
    """Call a function on the cluster that `connect` has joined, each call on one processor.

    A call whose worker is lost (killed, out of memory, its machine gone) is made again on another;
    an error that it raises is raised here, and ends the other calls.

    Args:
        function: A function of a module that the workers can import.
        calls: The arguments of each.
        at_once: The most that are handed to the cluster at once; None is two a processor.
        retries: How often a call is made again.
        when_lost: What a call gives, by its number, that lost its workers each time; None is an
            error.

    Yields:
        The number of a call and its result, in the order in which they end.

    Raises:
        WorkerLostError: A call lost its worker each time, and ``when_lost`` is None.
        ServiceError: A worker has another version of what decides a result, or the cluster fails.
    """
    ray = _ray()
    remote = ray.remote(num_cpus=1, max_retries=retries)(_here)
    limit = at_once or 2 * int(ray.cluster_resources()["CPU"])
    waiting: dict[Any, int] = {}
    numbered, versions = enumerate(calls), _versions()
    try:
        while True:
            for number, arguments in islice(numbered, limit - len(waiting)):
                waiting[remote.remote(function, dict(arguments), versions)] = number
            if not waiting:
                return
            for ended in ray.wait(list(waiting))[0]:
                number = waiting.pop(ended)
                yield number, _result(ray, ended, number, when_lost)
    finally:
        for left in waiting:
            ray.cancel(left, force=True)


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("the engine 'ray'", "ray", "ray") from error
    return ray


def _prepare(*, alone: bool) -> None:
    """Settle what Ray reads from the environment when it is imported."""
    settings = dict(_SETTINGS)
    if alone:
        settings[_ALONE] = "0"
    else:
        settings |= _PATIENCE
        if any(map(os.environ.get, _TOKENS)) or (Path.home() / ".ray" / "auth_token").exists():
            settings["RAY_AUTH_MODE"] = "token"  # Ray forgets its token if an address is given
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def _join(ray: Any, address: str | None) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        options |= {"address": "local", "include_dashboard": False}
        failed = "Ray did not start on this machine"
    else:
        _knock(address)
        options["address"] = address
        failed = f"the Ray cluster at {address} cannot be joined from this machine"
    try:
        ray.init(**options)
    except Exception as error:  # of many kinds, and plain ones among them
        ray.shutdown()
        raise ServiceError(f"{failed}: {_why(error)}") from error
    if address is not None:
        _asked[address] = _joined(ray)


def _why(error: Exception) -> str:
    if "InvalidAuthToken" in f"{error} {error.__cause__}":
        return (
            "it asks for a token. Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or ~/.ray/auth_token "
            "to what `ray get-auth-token` prints on its head."
        )
    return _first_line(error)


def _knock(address: str) -> None:
    """Ray itself would try for minutes."""
    try:
        socket.create_connection(_host_and_port(address), timeout=_ANSWER).close()
    except OSError as error:
        raise ServiceError(
            f"no Ray cluster answers at {address} ({error.strerror or error}). Start one with "
            f"`ray start --head`, which prints its address, or leave the address (and "
            f"${ADDRESS_VARIABLE}) out to use this machine alone."
        ) from error


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal() or int(port) > 65535:
        raise InputError(
            f"address {address!r}: expected HOST:PORT, as `ray start --head` prints it, such as "
            "10.0.0.1:6379."
        )
    return host.strip("[]"), int(port)


def _joined(ray: Any) -> str:
    return str(ray.get_runtime_context().gcs_address)


def _check_joined(ray: Any, address: str | None) -> None:
    joined = _joined(ray)
    if address is not None and _asked.get(address, address) != joined:
        raise InputError(
            f"address {address!r}: this process has joined the Ray cluster at {joined}. Leave it "
            "first with ray.shutdown()."
        )


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in _VERSIONS}


def _here(
    function: Callable[..., Result], arguments: Mapping[str, Any], versions: Mapping[str, str]
) -> Result:
    """In a worker."""
    if _versions() != versions:
        raise ServiceError(
            f"node {socket.gethostname()} of the Ray cluster has {_versions()}, this machine "
            f"{dict(versions)}: install the same everywhere, or results would depend on the node."
        )
    return function(**arguments)


def _result(ray: Any, ended: Any, number: int, when_lost: Callable[[int], Result] | None) -> Result:
    try:
        result: Result = ray.get(ended)
        return result
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except _lost(ray) as error:
        if when_lost is not None:
            return when_lost(number)
        raise WorkerLostError(
            f"the Ray cluster lost every worker that made a call: {_first_line(error)}"
        ) from error
    except ray.exceptions.RayError as error:
        raise ServiceError(f"the Ray cluster failed: {_first_line(error)}") from error


def _lost(ray: Any) -> tuple[type[Exception], ...]:
    """What a call may have done to its worker; all else is trouble of the cluster."""
    kinds = ray.exceptions
    return kinds.WorkerCrashedError, kinds.OutOfMemoryError, kinds.NodeDiedError


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
