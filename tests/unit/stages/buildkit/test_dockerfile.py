from typing import Any

import pytest

from stages.buildkit.dockerfile import base_name, base_platform, declares, own_instructions

MULTI = """\
# syntax directives and comments come first
ARG PYTHON=3.11
FROM --platform=$BUILDPLATFORM golang:1.23 AS tools
FROM python:${PYTHON}-slim AS Base
FROM base AS runtime
FROM runtime
"""


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("FROM python:3.11-slim", "python:3.11-slim"),
        ("from Python:3", "Python:3"),
        ("FROM scratch\nCOPY . /", "scratch"),
        ("FROM scratch AS x\nFROM x", "scratch"),
        ("ARG V=3.11.2\nFROM python:${V%.*}", None),
        ("ARG V=3.11.2\nARG W=${V##*.}\nFROM python:$W", None),
        ("ARG V=3.11.2\nFROM python:${V/3/4}", None),
        ("FROM base-$TARGETARCH", None),
        ("ARG TARGETARCH=arm64\nFROM base-${TARGETARCH}", "base-arm64"),
        ("FROM\tpython", "python"),
        ("", None),
        ("ARG A=python\nFROM $A", "python"),
        ('ARG A="python"\nARG B=${A}:3\nFROM ${B}', "python:3"),
        ("FROM ${MISSING:-python}", "python"),
        ("ARG A=1\nFROM ${A:+python}", "python"),
        ("FROM \\\n  # why this one\n  python:3 \\\n  AS x", "python:3"),
        ("# escape=`\nFROM `\n python:3", "python:3"),
        ("FROM a\nRUN <<EOF\nFROM b\nEOF\n", "a"),
        ("FROM a\nRUN python3 <<-'EOF'\n\tfrom b import c\n\tEOF\nCOPY x /x", "a"),
        ("FROM a\nRUN echo \\\n  FROM b", "a"),
        ("FROM a\nRUN cat <<<EOF\nFROM b\nRUN echo $((1<<EOF))\nFROM c", "c"),
        ("FROM a\nRUN <<END-1.x >&2\nFROM b\nEND-1.x\n", "a"),
        ("FROM a\nRUN <<EOF\nFROM b\n\tEOF\nFROM c\nEOF\n", "a"),
        ("FROM a\nONBUILD RUN <<EOF\nFROM b\nEOF\n", "a"),
        ("FROM a\nLABEL path=C:\\\\\nFROM b", "b"),
        ("ARG TARGETARCH\nFROM base-${TARGETARCH}", None),
        ("FROM a\nARG A=x\nFROM b", "b"),
        ("FROM a AS x\nFROM x AS y\nFROM y", "a"),
        ("FROM a\nFROM 0", "a"),
        ("FROM a AS a\nFROM a", "a"),
        ("FROM localhost:5000/team/base@sha256:" + "0" * 64, "localhost:5000/team/base@sha256:" + "0" * 64),
        (MULTI, "python:3.11-slim"),
    ],
)
def test_the_last_stage_begins_with(text: str, base: str | None) -> None:
    assert base_name(text) == base


@pytest.mark.parametrize(
    ("target", "base"),
    [("tools", "golang:1.23"), ("BASE", "python:3.11-slim"), ("0", "golang:1.23"), ("none", None)],
)
def test_a_target_begins_with(target: str, base: str | None) -> None:
    assert base_name(MULTI, target=target) == base


def test_build_arguments_win_over_defaults() -> None:
    assert base_name(MULTI, arguments={"PYTHON": "3.13"}) == "python:3.13-slim"
    assert base_name("FROM python:$VERSION", arguments={"VERSION": "3"}) == "python:"  # it was not declared


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        ("FROM a\nARG B SOURCE_DATE_EPOCH=0\n", True),
        ("arg SOURCE_DATE_EPOCH\nFROM a\n", True),
        ("FROM a\nARG SOURCE_DATE_EPOCH_2\nENV SOURCE_DATE_EPOCH=1\n# ARG SOURCE_DATE_EPOCH\n", False),
    ],
)
def test_a_declared_argument_is_found(text: str, declared: bool) -> None:
    assert declares(text, "SOURCE_DATE_EPOCH") is declared


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("FROM --platform=linux/amd64 python", "linux/amd64"),
        ("FROM --platform=$BUILDPLATFORM a AS a\nFROM b", None),
        ("ARG P=linux/arm64\nFROM --platform=$P a AS a\nFROM a", "linux/arm64"),
        ("FROM --platform=${BUILDPLATFORM} a", "${BUILDPLATFORM}"),
    ],
)
def test_the_platform_of_the_base(text: str, platform: str | None) -> None:
    assert base_platform(text) == platform


CHAIN = """\
ARG BASE=python:3.11-slim
FROM ${BASE} AS base
LABEL a=b
ONBUILD RUN true
ONBUILD COPY a /a
FROM base AS app-arm64
env lower=1
FROM base AS app-amd64
RUN <<one <<two
COPY a /b
one
ADD c /d
two
FROM app-${TARGETARCH} AS application
ARG ONE TWO=2
WORKDIR /app
FROM debian AS unrelated
USER 1000
FROM application
CMD ["a"]
"""


@pytest.mark.parametrize(
    ("text", "options", "keywords"),
    [
        ("FROM scratch", {}, ""),
        ("", {}, ""),
        ("FROM scratch\nCOPY a /\nUSER 1\n", {}, "COPY USER"),
        ("\ufeffFROM scratch\r\nCOPY a /\r\nRUN a \\\r\n b\r\nUSER 1\r\n", {}, "COPY RUN USER"),
        ("FROM scratch\nRUN echo a\x0cb\x85c\u2028d\nUSER 1\n", {}, "RUN USER"),
        (CHAIN, {}, "LABEL RUN COPY RUN ARG WORKDIR CMD"),
        (CHAIN, {"platform": "linux/arm64"}, "LABEL RUN COPY ENV ARG WORKDIR CMD"),
        (CHAIN, {"target": "app-arm64"}, "LABEL RUN COPY ENV"),
        (CHAIN, {"target": "unrelated"}, "USER"),
        (CHAIN, {"target": "none"}, ""),
        ("ARG A=x\nFROM b AS x-v7\nENV a=b\nFROM $A-$TARGETVARIANT", {"platform": "linux/arm/v7"}, "ENV"),
        ("ARG A=x\nFROM b AS y\nENV a=b\nFROM $A", {"arguments": {"A": "y"}}, "ENV"),
        ("FROM b AS x-\nENV a=b\nFROM x-$TARGETVARIANT", {"platform": "linux/arm64/v8"}, "ENV"),
        ("ARG TARGETARCH\nFROM b AS amd64\nENV a=b\nFROM $TARGETARCH", {}, "ENV"),
        ("ARG TARGETARCH=other\nFROM b AS amd64\nENV a=b\nFROM $TARGETARCH\nUSER 1", {}, "USER"),
    ],
)
def test_the_instructions_of_all_stages_that_lead_to_the_image(
    text: str, options: dict[str, Any], keywords: str
) -> None:
    assert own_instructions(text, **{"platform": "linux/amd64", **options}) == tuple(keywords.split())
