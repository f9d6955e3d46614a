"""One JSON object a line on stderr: what was asked of the service, and what went wrong.

Never a key, a query, or an item: the id of a key, the route and sizes are enough.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

access = logging.getLogger("commonspace.service.access")
events = logging.getLogger("commonspace.service")


class JsonLines(logging.Formatter):
    """Writes a record as one line of JSON; ``extra={"fields": {...}}`` adds to it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_json(*, access_log: bool = True) -> None:
    """Send all logs of this process to stderr as JSON lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    access.setLevel(logging.INFO if access_log else logging.WARNING)
