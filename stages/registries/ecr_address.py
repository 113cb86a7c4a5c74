"""The host of an Amazon ECR registry: whose it is, and where."""

import re
from dataclasses import dataclass

PUBLIC = "public.ecr.aws"
HOST = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?P<fips>-fips)?\.(?P<region>[a-z]+(?:-[a-z]+)+-\d+)\."
    r"(?P<suffix>amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu|on\.aws|on\.amazonwebservices\.com\.cn"
    r"|c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)"  # the isolated partitions
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EcrAddress:
    """What a host name says."""

    account: str
    region: str
    fips: bool
    dual_stack: bool

    @classmethod
    def parse(cls, host: str) -> "EcrAddress | None":
        """Return the parts of a host, or None where it is no private registry of ECR."""
        if (found := HOST.fullmatch(host.lower())) is None:
            return None
        return cls(
            account=found["account"],
            region=found["region"],
            fips=found["fips"] is not None,
            dual_stack=found["suffix"].startswith("on."),
        )
