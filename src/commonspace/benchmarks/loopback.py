"""A server in a process of its own, and callers that cost little beside it.

Callers share the processor with the server they measure, so they speak HTTP over plain streams: a
request of theirs costs a tenth of one through a client library.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from commonspace.errors import CommonspaceError, ServiceError
from commonspace.types import JsonDict

_START_SECONDS = 120.0


class Server:
    """``commonspace serve`` as a child process, at a free port of this machine.

    Args:
        folder: The collection.
        log: File for its log.
        options: More of the command's.
    """

    def __init__(self, folder: Path, log: Path, *options: str) -> None:
        command = [sys.executable, "-m", "commonspace", "serve", str(folder), "--port", "0"]
        self._log = log
        begin = log.stat().st_size if log.exists() else 0
        with log.open("ab") as file:
            self.process = subprocess.Popen([*command, *options], stderr=file)
        try:
            self.port = self._wait(begin)
        except BaseException:  # Ctrl-C too: no process is left behind
            self.kill()
            raise

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_START_SECONDS)

    def peak_bytes(self) -> int:
        """The most memory that it ever held; 0 where the system does not tell."""
        try:
            lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        except OSError:
            return 0
        found = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
        return 1024 * int(found[0]) if found else 0

    def cpu_seconds(self) -> float:
        """Processor time that it took so far; 0 where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop() if kind is None else self.kill()

    def _wait(self, begin: int) -> int:
        """Wait for its first answer and return its port."""
        until = time.monotonic() + _START_SECONDS
        port = None
        while time.monotonic() < until:
            if self.process.poll() is not None:
                told = self._log.read_text(encoding="utf-8")[-2000:]
                raise CommonspaceError(f"the server ended while starting:\n{told}")
            port = port or _port(self._log, begin)
            if port is not None and _answers(port):
                return port
            time.sleep(0.02)
        raise CommonspaceError(f"the server did not start within {_START_SECONDS:.0f} s.")


class Caller:
    """One connection that stays open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request as `request_bytes` makes it; returns status and body.

        Raises:
            ServiceError: The connection broke.
        """
        try:
            if self._writer is None or self._reader is None:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._writer.write(request)
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = _content_length(head)
            return int(head[9:12]), await self._reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            raise ServiceError(f"the connection broke ({error}).") from error

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


def request_bytes(
    method: str, path: str, content: JsonDict | bytes | None = None, kind: str = "application/json"
) -> bytes:
    """A request with a JSON body, or another of the content type that is named."""
    body = content if isinstance(content, bytes) else b""
    if content is not None and not isinstance(content, bytes):
        body = json.dumps(content).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def form_bytes(files: Sequence[bytes], ask: JsonDict | None = None) -> tuple[bytes, str]:
    """A form of files and a request; returns its body and content type."""
    boundary = "commonspace-0123456789"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f.png"\r\n'
        "Content-Type: image/png\r\n\r\n".encode()
        + data
        + b"\r\n"
        for data in files
    ]
    if ask is not None:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="request"\r\n\r\n'
        parts.append(head.encode() + json.dumps(ask).encode() + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), (
        f"multipart/form-data; boundary={boundary}"
    )


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0


def _port(log: Path, begin: int) -> int | None:
    with log.open("rb") as file:
        file.seek(begin)
        for line in file.read().splitlines():
            if b'"serving"' in line:
                told: dict[str, Any] = json.loads(line)
                return int(told["port"])
    return None


def _answers(port: int) -> bool:
    async def ask() -> bool:
        caller = Caller(port)
        try:
            status, _ = await asyncio.wait_for(caller.ask(request_bytes("GET", "/readyz")), 10)
            return status == 200
        except (ServiceError, TimeoutError):
            return False
        finally:
            caller.close()

    return asyncio.run(ask())
