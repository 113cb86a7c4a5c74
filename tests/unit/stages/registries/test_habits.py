from __future__ import annotations

import pytest

from stages.oci.chunked import Chunked
from stages.oci.uploads import Monolithic
from stages.registries import recognise
from stages.registries.habits import HABITS, habit


@pytest.mark.parametrize(
    "host",
    [
        "ghcr.io",
        "europe-west1-docker.pkg.dev",
        "gcr.io",
        "eu.gcr.io",
        "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
        "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com",
        "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
        "123456789012.dkr-ecr.eu-west-1.on.aws",
        "public.ecr.aws",
        "GHCR.IO",
    ],
)
def test_registries_without_chunks_get_each_blob_in_one_request(host: str) -> None:
    assert recognise(host).uploads == Monolithic()


@pytest.mark.parametrize(
    "host",
    [
        "docker.io",
        "quay.io",
        "localhost:5000",
        "registry.gitlab.com",
        "team.azurecr.io",
        "notghcr.io",
        "ghcr.io.example.com",
        "evil-gcr.io",
    ],
)
def test_any_other_registry_gets_chunks(host: str) -> None:
    assert recognise(host).uploads == Chunked()


def test_every_habit_has_its_reason() -> None:
    assert all(each.reason for each in (*HABITS, habit("registry.example.com")))
