"""Says what a file's content is: a model of Triton's Python backend."""

from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as triton
from content_type import ContentType


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self.model = ContentType(Path(args["model_repository"], args["model_version"], "weights"))

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self.answer(request) for request in requests]

    def answer(self, request: Any) -> Any:
        contents = triton.get_input_tensor_by_name(request, "content").as_numpy()
        found = [self.model.identify(content) for content in contents.reshape(-1)]
        labels = np.array([[label.encode()] for label, _ in found], object)
        scores = np.array([[score] for _, score in found], np.float32)
        return triton.InferenceResponse([triton.Tensor("label", labels), triton.Tensor("score", scores)])
