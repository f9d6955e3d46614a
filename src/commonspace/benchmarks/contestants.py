"""Who takes part in tables: every method, its presets, what papers call it, and its kind.

`METHODS` is the one list that benchmarks choose from: the methods of `commonspace.methods.__all__`
and, after a dot, their presets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import ismethod
from typing import Any

from commonspace import methods
from commonspace.checks import not_found
from commonspace.errors import InputError
from commonspace.methods.base import Method
from commonspace.types import JsonDict

Maker = Callable[..., Method]

PUBLISHED_NAMES = {
    "CBTLite": "CBT-lite",
    "CCLLite": "CCL-lite",
    "CMPM": "CMPM+CMPC",
    "CorrAE": "Corr-AE",
    "GSSSL": "GSS-SL",
    "MLCCA": "ml-CCA",
    "MSDMML": "MS-DMML",
    "MvDA": "MvDA-VC",
    "ThreeViewCCA": "3V-CCA",
    "ZeroShot": "zero-shot cosine",
}
OURS = ("SDML", "MSDMML", "SPDQ", "Sequential")
DEEP = (
    "ACMR",
    "AdaMine",
    "CBTLite",
    "CCLLite",
    "CDQ",
    "CMPM",
    "CorrAE",
    "DCCA",
    "DCCAE",
    "DeepSM",
    "MvDN",
    "MvLDAN",
    "Recipe",
    "SupCon",
)
GROUPS = ("floor", "unsupervised", "supervised", "deep", "this library")
SEEDLESS = (  # as long as their rows are matched by item
    "CCA",
    "CFA",
    "GMLDA",
    "GSSSL",
    "JRL",
    "MCCA",
    "MLCCA",
    "MvDA",
    "PLS",
    "Ridge",
    "SM",
    "ThreeViewCCA",
    "ZeroShot",
)


def find_method(name: str) -> Maker:
    """Return what makes a method of that name: a class, or one of its presets.

    Args:
        name: As in `methods.__all__`, in any case, with a preset behind a dot: "SDML.fast".

    Raises:
        NotFoundError: No such method or preset; the message lists those there are.
    """
    wanted, _, preset = name.partition(".")
    cls: Maker = getattr(methods, known_name(wanted, methods.__all__))
    if not preset:
        return cls
    known = presets_of(cls)
    maker: Maker = getattr(cls, known_name(preset, known, f"preset of {cls.__name__}"))
    return maker


def known_name(name: str, known: Iterable[str], kind: str = "method") -> str:
    """Return the known name that this one is, in any case.

    Raises:
        NotFoundError: There is none; the message lists those there are.
    """
    names = list(known)
    if name in names:
        return name
    for each in names:
        if each.lower() == name.lower():
            return each
    raise not_found(kind, name, names)


def name_of(make: Maker) -> str:
    """Return the name by which `find_method` finds a class or one of its presets."""
    if ismethod(make) and isinstance(make.__self__, type):
        return f"{make.__self__.__name__}.{make.__name__}"
    return type(make()).__name__


def presets_of(cls: Any) -> list[str]:
    """Names of the class methods of a method that make one with other settings."""
    return [
        name
        for name, value in vars(cls).items()
        if isinstance(value, classmethod) and not name.startswith("_")
    ]


def _factory(cls: type, preset: str | None) -> Callable[..., Any]:
    build: Callable[..., Any] = cls if preset is None else getattr(cls, preset)
    return lambda seed, **settings: build(**{**settings, "random_state": seed})


def _every() -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    for name in methods.__all__:
        cls = getattr(methods, name)
        found[name] = _factory(cls, None)
        found.update({f"{name}.{preset}": _factory(cls, preset) for preset in presets_of(cls)})
    return found


METHODS: dict[str, Callable[..., Any]] = _every()


def method_of(name: str) -> str:
    """The method of a name that may have a preset."""
    return name.partition(".")[0]


def make(name: str, seed: int, settings: JsonDict | None = None) -> Any:
    """Return an unfitted method.

    Args:
        name: Among `METHODS`, such as "SDML" or "SDML.fast", in any case.
        seed: Its ``random_state``.
        settings: Arguments that differ from the preset's; lists become tuples.

    Raises:
        NotFoundError: No such method or preset.
        InputError: An argument that the method does not have.
    """
    name = known_name(name, METHODS)
    changes = {key: _as_argument(value) for key, value in (settings or {}).items()}
    try:
        return METHODS[name](seed, **changes)
    except TypeError as error:
        raise InputError(f"{name}: {error}. Settings: {changes}.") from error


def check_settings(name: str, settings: JsonDict) -> None:
    """Raise for settings that a method could learn with from no data.

    Args:
        name: Among `METHODS`, in any case.
        settings: Arguments, as `make` takes them.

    Raises:
        NotFoundError: The method has no such argument; the message lists those it has.
        InputError: A value that the method refuses before it sees data.
    """
    plain = make(name, 0)
    known = plain.get_params(deep=False)
    for key in settings:
        if key not in known:
            raise not_found(f"argument of {type(plain).__name__}", key, known)
    check_values(make(name, 0, settings))


def check_values(learner: Any) -> None:
    """Raise `InputError` for an argument that a method refuses before it sees data."""
    check = getattr(learner, "_check_arguments", None)  # not every method has one
    if check is not None:
        check()


def check_known(names: Iterable[str]) -> None:
    """Raise `NotFoundError` for the first name that is not among `METHODS`, in any case."""
    for name in names:
        known_name(name, METHODS)


def label_of(name: str) -> str:
    """What tables call a method: the name that papers know, then its preset."""
    method, dot, preset = name.partition(".")
    return f"{PUBLISHED_NAMES.get(method, method)}{dot}{preset}"


def group_of(name: str) -> str:
    """Which of `GROUPS` a method belongs to."""
    method = method_of(name)
    if method in OURS:
        return "this library"
    if method in DEEP:
        return "deep"
    cls = getattr(methods, method, None)
    return "unsupervised" if cls is not None and not cls.needs_labels else "supervised"


def by_group(names: Iterable[str]) -> list[str]:
    """The names in the order of `GROUPS`, and as given within one."""
    return sorted(names, key=lambda name: GROUPS.index(group_of(name)))


def _as_argument(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_as_argument(part) for part in value)
    return value
