"""Model servers: how they are run from the image, spoken to in their protocol, loaded and measured."""

from collections.abc import Mapping
from types import MappingProxyType

from stages.servers.interface import ServerProtocol
from stages.servers.v2 import OpenInference

PROTOCOLS: Mapping[str, ServerProtocol] = MappingProxyType({"v2": OpenInference()})
"""The protocols by the name that `pipeline.yaml` gives them."""
