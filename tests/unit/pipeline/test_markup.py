import html
import re

import pytest

from pipeline.markup import code, fenced, plain, visible

NASTY = [
    "| a | <script>alert(1)</script> |",
    "<!-- model-image-pipeline 0 -->",
    "</details></td></table>",
    "@everyone closes #1 org/repo#2 !3 ~bug",
    "[x](javascript:alert(1)) ![x](https://example.com/x.png) https://example.com",
    "`` ` ``` <b>",
    "line\n# heading\n\n- list\r\n```mermaid",
    "\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\ \x1b[31mred\x1b[0m\x07",
    "abc\u202efdp.exe \u2066x\u2069",
    "$$\\text{x}$$ &lt;b&gt; &#64;team",
]


@pytest.mark.parametrize("text", NASTY)
def test_plain_text_is_one_line_without_markup(text: str) -> None:
    shown = plain(text)
    assert "\n" not in shown
    assert not re.search(r"<(?!br>)[a-z!/]", shown)
    assert not re.search(r"(?<!\\)[|`*_\[\]!~]", shown)
    assert not re.search(r"[@#][A-Za-z0-9]", shown)
    assert "://" not in shown


@pytest.mark.parametrize("text", NASTY)
def test_code_cannot_be_left(text: str) -> None:
    shown = code(text)
    inside = shown.removeprefix("<code>").removesuffix("</code>")
    assert not set("<>|@\n\x1b") & set(inside)
    assert html.unescape(inside) == " ".join(visible(text).split())


@pytest.mark.parametrize("text", NASTY)
def test_a_fence_is_longer_than_any_inside(text: str) -> None:
    lines = fenced(text, "diff").splitlines()
    fence = lines[-1]
    assert set(fence) == {"`"}
    assert lines[0] == f"{fence}diff"
    assert not any(fence in line for line in lines[1:-1])


@pytest.mark.parametrize("text", NASTY)
def test_what_is_visible_steers_nothing(text: str) -> None:
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", visible(text))


def test_what_people_write_stays() -> None:
    assert visible("naïve — 模型\tx\n  y") == "naïve — 模型\tx\n  y"
    assert visible("a\x1b[1;31mb\x1b[0m\x1b[0Kc\r\nd") == "abc\nd"
