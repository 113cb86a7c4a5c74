"""The MLServer runtime: a v2 inference request in, classes and probabilities out."""

from pathlib import Path

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.errors import InferenceError
from mlserver.types import Datatype, InferenceRequest, InferenceResponse, RequestInput
from mlserver.utils import get_model_uri

from digits.network import Matrix, Network


class DigitsRuntime(MLModel):
    """Serves the network whose folder MLSERVER_MODEL_URI names."""

    network: Network

    async def load(self) -> bool:
        """Read the weights; the server reports itself ready once this returns true."""
        self.network = Network.load(Path(await get_model_uri(self.settings)))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one request, which may hold several images.

        Raises InferenceError, which MLServer answers with status 400, when the input is not what the
        model's metadata describes.
        """
        pixels = read_pixels(payload, self.network.pixel_count)
        probabilities = self.network.probabilities(pixels)
        return InferenceResponse(
            model_name=self.name,
            model_version=self.network.version,
            outputs=[
                NumpyCodec.encode_output("class", self.network.most_likely(probabilities)),
                NumpyCodec.encode_output("probabilities", probabilities),
            ],
        )


def read_pixels(payload: InferenceRequest, pixel_count: int) -> Matrix:
    """Return the request's images, shape (batch, pixel_count), or raise InferenceError."""
    if len(payload.inputs) != 1:
        raise InferenceError(f"expected one input, got {len(payload.inputs)}")
    tensor = payload.inputs[0]
    datatype = Datatype(tensor.datatype)
    if datatype is not Datatype.FP32:
        raise InferenceError(f"expected datatype FP32, got {datatype.value}")
    if len(tensor.shape) != 2 or tensor.shape[0] < 1 or tensor.shape[1] != pixel_count:
        raise InferenceError(f"expected shape [batch, {pixel_count}], got {tensor.shape}")
    return decode(tensor)


def decode(tensor: RequestInput) -> Matrix:
    """Return the tensor's data in its declared shape; what is not a finite number is refused."""
    try:
        with np.errstate(over="ignore"):
            pixels: Matrix = NumpyCodec.decode_input(tensor)
    except (TypeError, ValueError) as error:
        # NumPy's own error would reach the client as a server error, which it is not.
        raise InferenceError(f"the data does not fit shape {tensor.shape}: {error}") from error
    if not np.isfinite(pixels).all():
        raise InferenceError("the data holds a value that is not a finite float32")
    return pixels
