"""Model servers: how they are run from the image, spoken to in their protocol, loaded and measured."""

from collections.abc import Mapping
from types import MappingProxyType

from stages.servers.interface import ServerProtocol
from stages.servers.openai import OpenAI
from stages.servers.plain_http import PlainHttp
from stages.servers.v2 import OpenInference
from stages.servers.v2_binary import BinaryInference
from stages.servers.v2_grpc import GrpcInference

PROTOCOLS: Mapping[str, ServerProtocol] = MappingProxyType(
    {
        "v2": OpenInference(),
        "v2-binary": BinaryInference(),
        "v2-grpc": GrpcInference(),
        "openai": OpenAI(),
        "http": PlainHttp(),
    }
)
"""The protocols by the name that `pipeline.yaml` gives them."""
