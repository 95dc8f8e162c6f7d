"""Every key of the configuration as data, read off the models, and access to values by key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from anipipe.config.schema import Config
from anipipe.config.values import Kind, Section

_DEFAULTS = Config()
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


@dataclass(frozen=True)
class Key:
    """One key and all that is known about it.

    Attributes
    ----------
    path
        Dotted; ``*`` stands for a name that the user chooses, as in ``cameras.*.offset``.
    allowed
        What its value may be, in words.
    default
        As plain lists, dicts, strings, numbers; None is "not set".
    unit, help
        For the reader; an empty unit is none.
    example
        A value where there is no default.
    notice
        Set for keys that are accepted and do nothing: what to do instead.
    notice_when
        The only value that brings the notice; None: every value.
    """

    path: str
    allowed: str
    default: Any
    unit: str
    help: str
    example: Any = None
    notice: str | None = None
    notice_when: Any = None

    @property
    def section(self) -> str:
        """The section as in ``[cameras.*]``; empty for keys above the first section."""
        return self.path.rpartition(".")[0]

    @property
    def name(self) -> str:
        """The key within its section."""
        return self.path.rpartition(".")[2]


def _allowed(annotation: Any, metadata: Sequence[Any]) -> str:
    """Describe what a value may be: in the words of its kind, else by its type and bounds."""
    kind = next((item.text for item in metadata if isinstance(item, Kind)), None)
    if kind is not None:
        return kind
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        return _allowed(annotation, [*metadata, *more])
    if get_origin(annotation) in (Union, UnionType):  # without words of their own: only those with None
        return _allowed(next(part for part in get_args(annotation) if part is not NoneType), metadata)
    if get_origin(annotation) is Literal:
        words = [f'"{part}"' if isinstance(part, str) else str(part) for part in get_args(annotation)]
        return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
    text = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[annotation]
    limits = [
        f"{sign} {getattr(item, name):g}"
        for item in metadata
        for name, sign in _BOUNDS.items()
        if hasattr(item, name)
    ]
    return f"{text} {' and '.join(limits)}".rstrip()


def _key(path: str, field: FieldInfo, allowed: str, default: Any) -> Key:
    extra = field.json_schema_extra
    assert isinstance(extra, dict) and field.description
    about: dict[str, Any] = dict(extra)
    return Key(path, allowed, default, about.pop("unit", ""), field.description, **about)


def _tables_of(field: FieldInfo) -> Any:
    """Return the kind of value in a section whose names the user chooses, None for other fields."""
    return get_args(field.annotation)[1] if get_origin(field.annotation) is dict else None


def _walk(model: type[Section], prefix: str = "") -> Iterable[Key]:
    for name, field in model.model_fields.items():
        path = prefix + name
        inner = _tables_of(field)
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _walk(field.annotation, f"{path}.")
        elif isinstance(inner, type):
            yield from _walk(inner, f"{path}.*.")
        elif inner is not None:
            annotation, *metadata = get_args(inner)
            yield _key(f"{path}.*", field, _allowed(annotation, metadata), None)
        else:
            yield _key(path, field, _allowed(field.annotation, field.metadata), plain(field.get_default()))


def plain(value: Any) -> Any:
    """Turn a value of the configuration into lists, dicts, strings, numbers, booleans and None."""
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, Section):
        return {name: plain(item) for name, item in value}
    return value


KEYS: dict[str, Key] = {key.path: key for key in _walk(Config)}
SECTIONS: tuple[str, ...] = tuple(name for name, field in Config.model_fields.items() if name not in KEYS)
_NAMED = {path.split(".")[0] for path in KEYS if "*" in path}


def key_at(path: Iterable[str]) -> Key | None:
    """Return the key that a path of actual names leads to, None if it leads to none or beyond.

    Parameters
    ----------
    path
        The names as in a file, ``("cameras", "A", "offset")``.
    """
    parts = list(path)
    if len(parts) > 1 and parts[0] in _NAMED:
        parts[1] = "*"
    return KEYS.get(".".join(parts))


@cache
def _getter(path: str) -> Callable[[Config], Any]:
    parts = path.split(".")
    if "*" in parts[1:]:
        if path not in KEYS or len(parts) != 3:
            raise KeyError(path)
        section, _, name = parts
        usual = KEYS[path].default
        return lambda config: {
            owner: value
            for owner, item in getattr(config, section).items()
            if (value := plain(getattr(item, name))) != usual
        }
    model: Any = Config
    for part in parts:
        fields = model.model_fields if isinstance(model, type) and issubclass(model, Section) else {}
        if part not in fields:
            raise KeyError(path)
        model = fields[part].annotation
    return lambda config: plain(reduce(getattr, parts, config))


def lookup(config: Config, path: str) -> Any:
    """Return the value of a key.

    Parameters
    ----------
    config
        The configuration.
    path
        A dotted key, a section, or ``cameras.*.KEY``: a dict of the cameras where KEY is not the default.

    Returns
    -------
    Any
        Lists, dicts, strings, numbers, booleans, None: what JSON can hold. Dicts keep the order of the files.

    Raises
    ------
    KeyError
        If there is no such key.
    """
    return _getter(path)(config)


def default(path: str) -> Any:
    """Return what :func:`lookup` returns where no file sets anything.

    Parameters
    ----------
    path
        As in :func:`lookup`.

    Raises
    ------
    KeyError
        If there is no such key.
    """
    return lookup(_DEFAULTS, path)
