"""The exceptions commonspace raises, all of them.

::

    CommonspaceError
    ├── InputError (ValueError)             an argument or a file's content is not what is needed
    │   ├── SpaceMismatchError              vectors of one space were offered to another
    │   └── ProtocolMismatchError           scores made by different protocols were compared
    ├── NotFoundError (KeyError)            there is no modality, class, item, file of that name
    ├── NotFittedError (AttributeError)     a method is used before ``fit``
    ├── UnsupportedError (NotImplementedError)   this method cannot: see its class attributes
    ├── StorageError (OSError)              a folder is damaged, locked, full or of a newer format
    ├── ServiceError (ConnectionError)      a service or cluster is not there, or refuses
    │   └── WorkerLostError                 what a cluster was given to do ended its workers
    └── MissingExtraError (ImportError)     an optional dependency is not installed

Every message says where, what was expected, what came, and what to do. Each class also is a
built-in exception, so that an ordinary ``except ValueError`` works.
"""

from __future__ import annotations


class CommonspaceError(Exception):
    """Base of every error that a user of commonspace can cause or meet."""

    def __str__(self) -> str:
        """Return the message as written (KeyError would show its quotes)."""
        return str(self.args[0]) if self.args else ""


class InputError(CommonspaceError, ValueError):
    """An argument, or the content of a file, is not what is needed."""


class SpaceMismatchError(InputError):
    """Vectors of one space were offered to another: their fingerprints differ."""


class ProtocolMismatchError(InputError):
    """Scores that were made by different protocols were asked to be compared."""


class NotFoundError(CommonspaceError, KeyError):
    """There is no modality, class, item, data set or file of that name."""


class NotFittedError(CommonspaceError, AttributeError):
    """A method is used before it has learned anything."""


class UnsupportedError(CommonspaceError, NotImplementedError):
    """The method cannot do what is asked: its class attributes say what it can."""


class StorageError(CommonspaceError, OSError):
    """A stored model, data set or collection is damaged, locked, or of a newer format."""


class ServiceError(CommonspaceError, ConnectionError):
    """A service or cluster cannot be reached, or refuses: no key, too much, too often."""


class WorkerLostError(ServiceError):
    """A worker of a cluster was lost while it did what it was given, again and again."""


class MissingExtraError(CommonspaceError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(
            f"{what} needs the package {package!r}, which is not installed. "
            f"Install it with: pip install 'commonspace[{extra}]'"
        )
