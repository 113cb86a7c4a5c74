"""A server of the Open Inference Protocol over gRPC that answers at once, in a process of its own.

python benchmarks/load_grpc_server.py     # prints its port; ends when its standard input does
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc.aio
import uvloop
from tritonclient.grpc import service_pb2 as messages
from tritonclient.grpc import service_pb2_grpc

TENSOR = {"name": "input", "datatype": "FP32", "shape": [1, 16]}
ANSWER = messages.ModelInferResponse(model_name="digits", model_version="1", id="benchmark")
ANSWER.outputs.add(name="output", datatype="FP32", shape=[1, 10])
ANSWER.raw_output_contents.append(bytes(40))


class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # generated code has no types
    """What the load asks for."""

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Describe the model."""
        del request, context
        return messages.ModelMetadataResponse(name="digits", versions=["1"], inputs=[TENSOR])

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Answer."""
        del request, context
        return ANSWER


async def serve() -> None:
    """Serve until the standard input ends."""
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    uvloop.run(serve())
