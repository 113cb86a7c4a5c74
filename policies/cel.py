"""Expressions in CEL, by Google's own implementation (cel-cpp through cel-expr-python).

An expression is checked against the types of the evidence and evaluated on its values, where what is None is
not there: so a value that is missing is an error, and not a zero that passes. The library bounds the steps.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from functools import cache
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from pipeline.errors import ToolMissing
from pipeline.interface import Case
from pipeline.model import (
    Artifact,
    BenchmarkReport,
    BuiltImage,
    ManifestUpdate,
    PushedImage,
    ScanReport,
    Source,
    SuiteReport,
)
from policies.cel_types import PACKAGE, descriptors, fields_of, message_name

VARIABLES: Mapping[str, type[Artifact]] = MappingProxyType(
    {
        "source": Source,
        "suite": SuiteReport,
        "image": BuiltImage,
        "scan": ScanReport,
        "benchmark": BenchmarkReport,
        "push": PushedImage,
        "update": ManifestUpdate,
    }
)
"""What an expression may name, in the order in which it is made."""
_FIELD = re.compile(r"undefined field '(\w+)' not found in struct '([\w.]+)'")
_NAME = re.compile(r"undeclared reference to '([\w.]+)'")
_PATH = re.compile(rf"(?<![\w.'\"])(?:{'|'.join(VARIABLES)})(?:\.\w+)+\b(?!\s*\()")
_COMPARISONS = {"_<_": "less", "_<=_": "less_equals", "_>_": "greater", "_>=_": "greater_equals"}


@dataclass(frozen=True, slots=True)
class Program:
    """An expression that was checked."""

    text: str
    names: tuple[str, ...]

    @property
    def judges(self) -> type[Artifact]:
        """The evidence that is made last; of the source alone, the image."""
        return VARIABLES[([name for name in self.names if name != "source"] or ["image"])[-1]]

    def holds(self, case: Case) -> tuple[bool, str]:
        """Return whether it is true of what is known, and why it cannot be evaluated, if so."""
        data = {name: _value(made) for name in self.names if (made := case.have.get(VARIABLES[name]))}
        if missing := [name for name in self.names if name not in data]:
            return False, f"there is no {' and no '.join(missing)}"
        try:
            made = (
                _unchecked()
                .compile(self.text, disable_check=True)
                .eval(data={**data, "now": _value(case.now)})
            )
        except RuntimeError as error:
            return False, _first_line(str(error))
        value = made.plain_value()
        return (value, "") if isinstance(value, bool) else (False, _first_line(str(value)))

    def measured(self, case: Case) -> str:
        """Return the single values that it names: `image.size_bytes is 9000000000`."""
        told = {}
        for path in _PATH.findall(self.text):
            name, *fields = path.split(".")
            value: object = case.have.get(VARIABLES[name])
            for field in fields:
                value = getattr(value, field, None)
            if isinstance(value, str | int | float | datetime) or value is None:
                told[path] = f"{path} is {'missing' if value is None else value}"
        return ", ".join(told.values()) or f"judged: {', '.join(self.names)}"


def compile_expression(text: str) -> Program:
    """Return the program of an expression.

    Raises:
        ValueError: it is no expression of these types; names what is near.
        ToolMissing: the library is not installed.
    """
    try:
        kind = _checked().compile(text).return_type().name()
    except RuntimeError as error:
        raise ValueError(_explained(str(error))) from None
    if kind != "BOOL":
        raise ValueError(f"expected a comparison that is true or false; this is {kind}")
    return Program(text, tuple(name for name in VARIABLES if _needs(text, name)))


def _needs(text: str, name: str) -> bool:
    """Tell whether an expression names a variable: without it, it cannot be compiled."""
    try:
        _checked(without=name).compile(text)
    except RuntimeError:
        return True
    return False


@cache
def _checked(without: str = "") -> Any:  # the library has no types that a checker finds
    """Return what knows the types of the evidence, except for one variable."""
    cel, pool = _library(), _pool()
    variables = {
        name: cel.Type(f"{PACKAGE}.{message_name(kind)}")
        for name, kind in VARIABLES.items()
        if name != without
    }
    exclude = "".join(f'    - name: "{name}"\n' for name in _COMPARISONS)
    return cel.NewEnv(
        config=cel.NewEnvConfigFromYaml(f"stdlib:\n  exclude_functions:\n{exclude}"),
        descriptor_pool=pool,
        variables={**variables, "now": cel.Type.TIMESTAMP},
        functions=_comparisons(cel),
    )


def _comparisons(cel: Any) -> list[Any]:
    """Return the comparisons of the standard library, whole numbers with others among them (`size > 8e9`).

    The specification has these overloads, and evaluation knows them; the library's checker does not yet.
    """
    kinds = cel.Type
    numbers = {"int64": kinds.INT, "uint64": kinds.UINT, "double": kinds.DOUBLE}
    pairs = [(one, other) for one in numbers for other in numbers]
    same = {
        "bool": kinds.BOOL,
        "string": kinds.STRING,
        "timestamp": kinds.TIMESTAMP,
        "duration": kinds.DURATION,
    }
    return [
        cel.FunctionDecl(
            function,
            [
                *(
                    cel.Overload(f"{name}_{one}", return_type=kinds.BOOL, parameters=[kind, kind])
                    for one, kind in same.items()
                ),
                *(
                    cel.Overload(
                        f"{name}_{one}" if one == other else f"{name}_{one}_{other}",
                        return_type=kinds.BOOL,
                        parameters=[numbers[one], numbers[other]],
                    )
                    for one, other in pairs
                ),
            ],
        )
        for function, name in _COMPARISONS.items()
    ]


@cache
def _unchecked() -> Any:
    cel = _library()
    return cel.NewEnv(variables=dict.fromkeys((*VARIABLES, "now"), cel.Type.DYN))


@cache
def _pool() -> Any:
    from google.protobuf import descriptor_pool, duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2

    pool = descriptor_pool.DescriptorPool()
    for module in (wrappers_pb2, timestamp_pb2, duration_pb2, struct_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(descriptors(VARIABLES.values()).SerializeToString())
    return pool


def _library() -> Any:
    try:
        from cel_expr_python import cel
        from google.protobuf import descriptor_pool  # noqa: F401 - the library brings it not along
    except ImportError as error:
        raise ToolMissing(
            "the rule `expression` needs the library cel-expr-python, which is not installed",
            advice="Install the extra: `pip install 'model-image-pipeline[cel]'`; in the action, `extras: "
            "cel`.",
        ) from error
    return cel


def _value(value: object) -> Any:
    """Return what an expression sees: mappings without what is None, lists, single values."""
    if isinstance(value, BaseModel):
        return _value({name: getattr(value, name) for name in fields_of(type(value))})
    if isinstance(value, Mapping):
        return {str(key): _value(one) for key, one in value.items() if one is not None}
    if isinstance(value, tuple | list):
        return [_value(one) for one in value]
    if isinstance(value, date | timedelta):
        return _time(value)
    value = value.value if isinstance(value, Enum) else value
    return value if isinstance(value, bool | int | float) else str(value)


def _time(value: date | timedelta) -> Any:
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.timestamp_pb2 import Timestamp

    if isinstance(value, timedelta):
        duration = Duration()
        duration.FromTimedelta(value)
        return duration
    midnight = time(tzinfo=UTC)
    timestamp = Timestamp()
    timestamp.FromDatetime(value if isinstance(value, datetime) else datetime.combine(value, midnight))
    return timestamp


def _explained(problem: str) -> str:
    if (found := _FIELD.search(problem)) is not None:
        field, message = found.groups()
        return f"there is no {field!r}; {_near(field, _fields(message))}"
    if (found := _NAME.search(problem)) is not None:
        name = found[1].partition(".")[0]
        return f"there is no {name!r}; {_near(name, (*VARIABLES, 'now', 'has', 'size', 'duration'))}"
    return _first_line(problem)


def _fields(message: str) -> tuple[str, ...]:
    known = descriptors(VARIABLES.values()).message_type
    return tuple(each.name for one in known if f"{PACKAGE}.{one.name}" == message for each in one.field)


def _near(word: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"


def _first_line(text: str) -> str:
    """Return the library's words without its own file names and codes."""
    line = text.strip().splitlines()[0]
    return re.sub(r"^[A-Z_]+: (ERROR: <input>:\d+:(?P<column>\d+): )?", "", line).strip()
