import pytest

from pipeline.errors import StageFailed
from pipeline.model import Problem
from stages.buildkit.platforms import platform_checks, refuse_fixed_base, refuse_foreign_base

FOREIGN = (
    'Base image python:3.11-slim was pulled with platform "linux/amd64", '
    'expected "linux/arm64" for current build'
)


def test_platforms_that_exist_need_no_word() -> None:
    assert platform_checks(("linux/amd64", "linux/arm64", "linux/arm/v7", "windows/amd64")) == ()


@pytest.mark.parametrize(
    ("platform", "hint"),
    [
        ("foo", ""),
        ("", ""),
        ("linux", ""),
        ("linux/amd64/", "linux/amd64"),
        ("linux/arm64/v8/x", "linux/arm64"),
        ("amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("Linux/aarch64", "linux/arm64"),
        ("linux/amd46", "linux/amd64"),
        ("linux/foo", ""),
    ],
)
def test_another_name_is_a_problem(platform: str, hint: str) -> None:
    (check,) = platform_checks(("linux/amd64", platform))
    assert check.problem is Problem.CONFIGURATION
    assert repr(platform) in check.found
    assert check.advice.startswith(f"Did you mean {hint}?" if hint else "Write it as")


@pytest.mark.parametrize(
    ("line", "place"),
    [
        (f"\x1b[0m - InvalidBaseImagePlatform: {FOREIGN} (line 3)", "Dockerfile:3"),
        (f"#1 WARN: InvalidBaseImagePlatform: {FOREIGN} (line 12)", "Dockerfile:12"),
        (FOREIGN, "Dockerfile"),  # older versions, and `docker --debug`
    ],
)
def test_a_base_for_another_platform_is_refused(line: str, place: str) -> None:
    with pytest.raises(StageFailed) as raised:
        refuse_foreign_base(line, "Dockerfile")
    assert raised.value.message == (
        f"{place}: the base image python:3.11-slim is for linux/amd64, but the build is for linux/arm64"
    )


ARM, BOTH = ("linux/arm64",), ("linux/amd64", "linux/arm64")


@pytest.mark.parametrize(
    ("flag", "platforms", "builder", "wrong"),
    [
        ("linux/amd64", ARM, None, "linux/arm64"),
        ("linux/amd64", BOTH, None, "linux/arm64"),
        ("linux/arm64/v8", ARM, None, ""),
        ("linux/amd64", (), "linux/arm64", ""),  # BuildKit labels it as its base then
        ("$BUILDPLATFORM", ARM, "linux/amd64", "linux/arm64"),
        ("${BUILDPLATFORM}", ARM, "linux/arm64", ""),
        ("$BUILDPLATFORM", ARM, None, ""),
        ("$BUILDPLATFORM", BOTH, None, "linux/amd64, linux/arm64"),
        ("$TARGETPLATFORM", BOTH, "linux/amd64", ""),
        (None, BOTH, "linux/amd64", ""),
    ],
)
def test_an_image_that_is_fixed_to_another_platform(
    flag: str | None, platforms: tuple[str, ...], builder: str | None, wrong: str
) -> None:
    if not wrong:
        refuse_fixed_base(flag, platforms, builder, "Dockerfile")
        return
    with pytest.raises(StageFailed, match=f"but the build is for {wrong}$"):
        refuse_fixed_base(flag, platforms, builder, "Dockerfile")


def test_other_warnings_are_let_through() -> None:
    refuse_foreign_base(" - JSONArgsRecommended: JSON arguments recommended for CMD (line 2)", "Dockerfile")
