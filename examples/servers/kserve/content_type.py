"""Says what a file's content is: the model of Google's Magika in ONNX Runtime."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray


class ContentType:
    """The model and its configuration, from a folder."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.min.json").read_text())
        self._labels: list[str] = config["target_labels_space"]
        self._begin, self._end, self._block = config["beg_size"], config["end_size"], config["block_size"]
        self._padding = config["padding_token"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a request is too small to be worth sharing between cores
        self._session = onnxruntime.InferenceSession(folder / "model.onnx", options)

    def identify(self, content: bytes) -> tuple[str, float]:
        """Return the likeliest label and its score, 0 to 1."""
        ((scores,),) = self._session.run(None, {"bytes": self._features(content)})
        best = int(scores.argmax())
        return self._labels[best], float(scores[best])

    def _features(self, content: bytes) -> NDArray[np.int32]:
        """Return the first and the last bytes that are no white space, with padding between them."""
        begin = content[: self._block].strip()[: self._begin]
        end = content[-self._block :].strip()[-self._end :]
        row = np.full((1, self._begin + self._end), self._padding, np.int32)
        row[0, : len(begin)] = list(begin)
        row[0, row.size - len(end) :] = list(end)
        return row
