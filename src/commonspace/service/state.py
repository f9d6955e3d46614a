"""What the endpoints of one app share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request

from commonspace.service.keys import KeyFile
from commonspace.service.lifecycle import Shelf
from commonspace.service.limits import Limits
from commonspace.service.metrics import Metrics


@dataclass(frozen=True)
class State:
    """Settings and collections of an app.

    Attributes:
        shelf: The collections.
        limits: Bounds of requests.
        metrics: Counters.
        keys: Who may ask; None lets everyone on this machine.
        media: The folder whose files items may show; None shows none.
        hosts: Names that the service may be addressed by; None: any.
    """

    shelf: Shelf
    limits: Limits
    metrics: Metrics
    keys: KeyFile | None = None
    media: Path | None = None
    hosts: frozenset[str] | None = None


def state_of(request: Request) -> State:
    """The state of the app that got a request."""
    state: State = request.app.state.service
    return state
