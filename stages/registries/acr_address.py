"""The host of an Azure Container Registry: its name, and which of Azure's clouds it is in."""

import re
from dataclasses import dataclass

HOST = re.compile(r"(?P<name>[a-z0-9]{5,50})(-[a-z0-9]+)?\.azurecr\.(?P<suffix>io|cn|us)")


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureCloud:
    """One of Azure's clouds, which do not know each other's identities."""

    authority: str
    """Host of its Entra."""
    audience: str
    """What a CI job's identity token is made for, unless a federated credential says otherwise."""


PUBLIC = AzureCloud(authority="login.microsoftonline.com", audience="api://AzureADTokenExchange")
CLOUDS = {
    "io": PUBLIC,
    "cn": AzureCloud(authority="login.chinacloudapi.cn", audience="api://AzureADTokenExchangeChina"),
    "us": AzureCloud(authority="login.microsoftonline.us", audience="api://AzureADTokenExchangeUSGov"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AcrAddress:
    """What a host name says; with a domain name label, the host is the name, a dash and a hash."""

    name: str
    cloud: AzureCloud

    @classmethod
    def parse(cls, host: str) -> "AcrAddress | None":
        """Return the parts of a host, or None where it is no registry of ACR."""
        if (found := HOST.fullmatch(host.lower())) is None:
            return None
        return cls(name=found["name"], cloud=CLOUDS[found["suffix"]])
