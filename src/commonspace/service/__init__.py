"""The library at work for others: an ASGI app over collections, and the client that speaks to it.

``create_app`` makes the app, ``serve`` runs it, ``Client`` asks it from Python.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from commonspace.checks import require

if TYPE_CHECKING:
    from commonspace.service.app import create_app
    from commonspace.service.client import Client
    from commonspace.service.keys import KeyFile
    from commonspace.service.limits import Limits
    from commonspace.service.run import serve

# What is heavy is imported when it is first used: the client needs none of the server.
_HOMES = {
    "Client": "client",
    "KeyFile": "keys",
    "Limits": "limits",
    "create_app": "app",
    "serve": "run",
}

__all__ = ["Client", "KeyFile", "Limits", "create_app", "serve"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'commonspace.service' has no attribute {name!r}")
    if name in ("create_app", "serve"):
        require("fastapi", extra="service", what="the service")
    return getattr(import_module(f"commonspace.service.{_HOMES[name]}"), name)
