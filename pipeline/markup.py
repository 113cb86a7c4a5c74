"""Words of strangers inside texts of ours: nothing in them is markup, a command, a mention or a control code.

Names of branches, files and tests, commit messages, and whatever tools print may be hostile.
"""

import html
import re

_ACTIVE = re.compile(r"([\\`*_\[\]|#@!~])")
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Return text without what steers a terminal, a log or the direction of reading; line ends are kept."""
    return _UNSEEN.sub("", _ANSI.sub("", text).replace("\r\n", "\n").replace("\r", "\n"))


def plain(text: str) -> str:
    """Return a text of one line in which nothing is markup, a mention or a reference of Markdown."""
    shown = _ACTIVE.sub(r"\\\1", html.escape(_one_line(text), quote=False))
    return shown.replace("\\@", "@\u200b").replace("\\#", "#\u200b").replace("://", ":\u200b//")


def code(text: str) -> str:
    """Return a text as it is, on one line, in a code span that nothing in it can end."""
    return f"<code>{html.escape(_one_line(text)).replace('|', '&#124;').replace('@', '&#64;')}</code>"


def fenced(text: str, language: str = "") -> str:
    """Return a text in a block of code whose fence is longer than any inside it."""
    shown = visible(text).rstrip()
    fence = "`" * (max((len(run) for run in re.findall(r"`+", shown)), default=0) + 3)
    return f"{fence}{language}\n{shown}\n{fence}\n"


def _one_line(text: str) -> str:
    return " ".join(visible(text).split())
