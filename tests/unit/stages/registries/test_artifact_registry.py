from __future__ import annotations

import pytest

from pipeline.errors import ConfigurationError
from pipeline.reference import Digest, Repository
from stages.oci.uploads import Monolithic
from stages.registries import recognise
from stages.registries.artifact_registry import ArtifactRegistry
from stages.registries.artifact_registry_address import ArtifactRegistryAddress
from stages.registries.generic import GenericRegistry
from stages.registries.options import LoginOptions, RegistryOptions

POOL = "projects/12/locations/global/workloadIdentityPools/ci/providers/github"


@pytest.mark.parametrize(
    ("name", "resource", "image"),
    [
        (
            "europe-west1-docker.pkg.dev/proj/models/digits",
            "projects/proj/locations/europe-west1/repositories/models",
            "digits",
        ),
        (
            "northamerica-northeast1-docker.pkg.dev/proj/models/team/digits",
            "projects/proj/locations/northamerica-northeast1/repositories/models",
            "team%2Fdigits",
        ),
        ("us-docker.pkg.dev/proj/m/d", "projects/proj/locations/us/repositories/m", "d"),
        (
            "us-docker.pkg.dev/example.com/proj/m/d",
            "projects/example.com:proj/locations/us/repositories/m",
            "d",
        ),
        ("gcr.io/proj/digits", "projects/proj/locations/us/repositories/gcr.io", "digits"),
        ("us.gcr.io/proj/digits", "projects/proj/locations/us/repositories/us.gcr.io", "digits"),
        ("eu.gcr.io/proj/a/b", "projects/proj/locations/europe/repositories/eu.gcr.io", "a%2Fb"),
        ("asia.gcr.io/proj/digits", "projects/proj/locations/asia/repositories/asia.gcr.io", "digits"),
        ("gcr.io/example.com/proj/d", "projects/example.com:proj/locations/us/repositories/gcr.io", "d"),
    ],
)
def test_a_name_says_where_the_images_are(name: str, resource: str, image: str) -> None:
    address, digest = ArtifactRegistryAddress.parse(Repository(name)), Digest.of(b"")
    assert address.resource == resource
    assert address.image_resource(digest) == f"{resource}/dockerImages/{image}@{digest}"


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("us-docker.pkg.dev/proj/digits", "us-docker.pkg.dev/PROJECT/REPOSITORY"),
        ("us-docker.pkg.dev/digits", "us-docker.pkg.dev/PROJECT/REPOSITORY"),
        ("us-docker.pkg.dev/example.com/proj/digits", "us-docker.pkg.dev/PROJECT/REPOSITORY"),
        ("gcr.io/digits", "gcr.io/PROJECT"),
        ("gcr.io/example.com/digits", "gcr.io/PROJECT"),
    ],
)
def test_a_name_that_lacks_a_part_is_told_with_the_form(name: str, form: str) -> None:
    with pytest.raises(ConfigurationError, match="does not name an image") as caught:
        ArtifactRegistryAddress.parse(Repository(name))
    assert f"`registries: [{form}]`" in caught.value.advice


@pytest.mark.parametrize("host", ["europe-west1-docker.pkg.dev", "us-docker.pkg.dev", "gcr.io", "EU.gcr.io"])
def test_a_host_of_artifact_registry_is_recognised(host: str) -> None:
    registry = recognise(host)
    assert isinstance(registry, ArtifactRegistry)
    assert registry.uploads == Monolithic()
    assert registry.mounts
    assert isinstance(recognise(host, options=RegistryOptions(kind="generic")), GenericRegistry)


@pytest.mark.parametrize(
    "host",
    [
        "europe-west1-python.pkg.dev",
        "europe-west1-docker.pkg.dev.example.com",
        "mirror.gcr.io",  # Google's own, which takes no pushes
        "evil-gcr.io",
        "gcr.io:5000",
    ],
)
def test_other_hosts_are_none_of_artifact_registry(host: str) -> None:
    assert isinstance(recognise(host), GenericRegistry)
    with pytest.raises(ConfigurationError, match="is no host of it"):
        recognise(host, options=RegistryOptions(kind="artifact_registry"))


@pytest.mark.parametrize("prefix", ["", "//iam.googleapis.com/", "https://iam.googleapis.com/"])
def test_a_providers_name_is_taken_in_every_form_that_google_writes(prefix: str) -> None:
    registry = recognise("gcr.io", options=RegistryOptions(login=LoginOptions(provider=prefix + POOL)))
    assert isinstance(registry, ArtifactRegistry)
    assert registry.api.session.provider == POOL
    assert registry.api.session.audience == f"https://iam.googleapis.com/{POOL}"


@pytest.mark.parametrize(
    ("login", "problem"),
    [
        (
            LoginOptions(service_account="push@proj.iam.gserviceaccount.com"),
            "a service account and no provider",
        ),
        (LoginOptions(provider="github"), "not the full name"),
        (LoginOptions(provider=POOL.replace("12", "proj")), "not the full name"),
        (LoginOptions(provider=f"{POOL}/x"), "not the full name"),
    ],
)
def test_a_login_that_is_incomplete_is_refused(login: LoginOptions, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        recognise("gcr.io", options=RegistryOptions(login=login))
