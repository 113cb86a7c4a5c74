"""When a string needs quotes in YAML, so that every reader takes it for a string.

The readers do not agree: `1e5` is a string in YAML 1.1 and a number in YAML 1.2, `yes` and `0755` the
other way round, and go-yaml, which Kustomize and Helm stand on, reads some of both.
"""

import re

_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", "=", "<<"}
_FIRST_OF_NUMBERS = frozenset("0123456789+-.")
_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./:@+=-]*(?<!:)")
_NOT_STRINGS = re.compile(
    r"""
      [-+]?[0-9][0-9_]*                                              # decimal, and octal of YAML 1.1
    | [-+]?0[xX][0-9a-fA-F_]+ | [-+]?0[oO][0-7_]+ | [-+]?0[bB][01_]+
    | [-+]?(?:\.[0-9][0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9][0-9_]*)?
    | [-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?               # base 60 of YAML 1.1
    | [-+]?\.(?:inf|Inf|INF) | \.(?:nan|NaN|NAN)
    | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt][0-9:.+Zz-]*)?            # dates and times
    """,
    re.VERBOSE,
)


def is_plain_string(value: str) -> bool:
    """Tell whether the value without quotes is a string under YAML 1.1, YAML 1.2 and Helm alike."""
    cases = {value, value.lower()} if value in {value.lower(), value.title(), value.upper()} else {value}
    # go-yaml leaves underscores out before it looks for a number, wherever they stand
    numbers = {value, value.replace("_", "")} if value[:1] in _FIRST_OF_NUMBERS else {value}
    others = cases & _WORDS or any(_NOT_STRINGS.fullmatch(number) for number in numbers)
    return bool(_PLAIN.fullmatch(value)) and not others


def quoted(value: str, style: str) -> str:
    """Return the value as it is written in a style: a quote character, or plain where that is safe."""
    if style == "" and is_plain_string(value):
        return value
    if style == "'":
        return "'" + value.replace("'", "''") + "'"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
