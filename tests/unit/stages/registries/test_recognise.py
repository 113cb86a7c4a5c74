from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import ConfigurationError
from stages.registries import recognise
from stages.registries.ecr import EcrRegistry
from stages.registries.ecr_address import EcrAddress
from stages.registries.generic import GenericRegistry
from stages.registries.options import LoginOptions, RegistryOptions

AMAZON = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


@pytest.mark.parametrize(
    ("host", "region", "fips", "dual_stack"),
    [
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com", "eu-central-1", False, False),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", True, False),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1", False, False),
        ("123456789012.dkr-ecr.eu-west-1.on.aws", "eu-west-1", False, True),
        ("123456789012.dkr-ecr-fips.us-east-1.on.aws", "us-east-1", True, True),
        ("123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", "cn-north-1", False, True),
        ("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", False, False),
        ("123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov", "us-iso-east-1", False, False),
    ],
)
def test_a_host_of_amazon_ecr_says_account_and_region(
    host: str, region: str, fips: bool, dual_stack: bool
) -> None:
    address = EcrAddress(account="123456789012", region=region, fips=fips, dual_stack=dual_stack)
    assert EcrAddress.parse(host) == address
    registry = recognise(host)
    assert isinstance(registry, EcrRegistry)
    assert registry.largest_blob_bytes == 54_525_952_000


@pytest.mark.parametrize(
    "host",
    [
        "ghcr.io",
        "12345.dkr.ecr.eu-west-1.amazonaws.com",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com.example.com",
        "api.ecr.eu-west-1.amazonaws.com",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com:5000",
    ],
)
def test_other_hosts_are_none_of_amazon_ecr(host: str) -> None:
    assert EcrAddress.parse(host) is None
    assert isinstance(recognise(host), GenericRegistry)


@pytest.mark.parametrize(
    ("host", "options", "keys"),
    [
        ("ghcr.io", RegistryOptions(immutable=True, tags={"team": "ml"}), "`immutable`, `tags`"),
        ("ghcr.io", RegistryOptions(login=LoginOptions(role="arn")), "`login.role`"),
        ("public.ecr.aws", RegistryOptions(create=True), "`create`"),
        (AMAZON, RegistryOptions(login=LoginOptions(client_id="x")), "`login.client_id`"),
        ("gcr.io", RegistryOptions(lifecycle=Path("lifecycle.json")), "`lifecycle`"),
        ("gcr.io", RegistryOptions(login=LoginOptions(role="arn")), "`login.role`"),
        ("modelteam.azurecr.io", RegistryOptions(login=LoginOptions(provider="p")), "`login.provider`"),
    ],
)
def test_what_a_registry_has_no_use_for_is_refused_and_not_ignored(
    host: str, options: RegistryOptions, keys: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        recognise(host, options=options)
    assert host in caught.value.message
    assert caught.value.message.endswith(f"has no {keys}")
    assert caught.value.advice.startswith("Leave it out")


def test_a_registry_that_makes_its_repositories_by_itself_may_be_told_to() -> None:
    assert isinstance(recognise("ghcr.io", options=RegistryOptions(create=True)), GenericRegistry)


def test_a_kind_that_is_named_is_taken() -> None:
    host = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    assert isinstance(recognise(host, options=RegistryOptions(kind="generic")), GenericRegistry)
    assert isinstance(recognise(host, options=RegistryOptions(kind="ecr")), EcrRegistry)
    with pytest.raises(ConfigurationError, match="does not say account and region") as caught:
        recognise("registry.example.com", options=RegistryOptions(kind="ecr"))
    assert "leave `kind:` out" in caught.value.advice


def test_the_public_registry_is_an_ordinary_one_with_its_own_login() -> None:
    registry = recognise("public.ecr.aws")
    assert isinstance(registry, GenericRegistry)
    assert registry.largest_blob_bytes == 10_000 << 20
    assert not registry.makes_repositories
