"""Says what a file's content is: KServe's model server, over HTTP and gRPC."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import kserve
import numpy as np
from content_type import ContentType
from kserve import InferOutput, InferRequest, InferResponse

NAME = "content-type"


class Server(kserve.Model):
    def load(self) -> bool:
        self.model = ContentType(Path("/models/content-type"))
        self.ready = True
        return True

    async def get_input_types(self) -> list[dict[str, Any]]:
        return [{"name": "content", "datatype": "BYTES", "shape": [-1, 1]}]

    async def get_output_types(self) -> list[dict[str, Any]]:
        return [
            {"name": "label", "datatype": "BYTES", "shape": [-1, 1]},
            {"name": "score", "datatype": "FP32", "shape": [-1, 1]},
        ]

    async def predict(self, payload: InferRequest, *_: object, **__: object) -> InferResponse:
        contents = payload.inputs[0].as_numpy().reshape(-1)
        found = [self.model.identify(as_bytes(content)) for content in contents]
        shape = [len(found), 1]
        labels, scores = InferOutput("label", shape, "BYTES"), InferOutput("score", shape, "FP32")
        labels.set_data_from_numpy(np.array([[label.encode()] for label, _ in found], object), False)
        scores.set_data_from_numpy(np.array([[score] for _, score in found], np.float32), False)
        # KServe answers status 500 to a request without id, unless the model makes one.
        return InferResponse(payload.id or str(uuid4()), NAME, [labels, scores])


def as_bytes(content: bytes | str) -> bytes:
    return content if isinstance(content, bytes) else content.encode()


if __name__ == "__main__":
    server = Server(NAME)
    server.load()
    kserve.ModelServer(workers=1).start([server])
