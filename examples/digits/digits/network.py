"""The network: float32 weights from a safetensors file, applied with NumPy alone."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

Matrix = NDArray[np.float32]

WEIGHTS_FILE = "digits.safetensors"
CONFIG_FILE = "config.json"


@dataclass(frozen=True, slots=True)
class Layer:
    """One dense layer: weights of shape (inputs, outputs), bias of shape (outputs,)."""

    weights: Matrix
    bias: Matrix

    def apply(self, inputs: Matrix) -> Matrix:
        """Return inputs @ weights + bias, of shape (batch, outputs)."""
        return inputs @ self.weights + self.bias


@dataclass(frozen=True, slots=True)
class Network:
    """A multilayer perceptron that gives each class a probability."""

    layers: tuple[Layer, ...]
    classes: tuple[int, ...]
    pixel_maximum: float
    version: str

    @classmethod
    def load(cls, folder: Path) -> "Network":
        """Read the weights and the configuration that train.py wrote into a folder."""
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS_FILE)
        depth = len(tensors) // 2
        return cls(
            layers=tuple(Layer(tensors[f"{n}.weights"], tensors[f"{n}.bias"]) for n in range(depth)),
            classes=tuple(config["classes"]),
            pixel_maximum=config["pixel_maximum"],
            version=config["version"],
        )

    @property
    def pixel_count(self) -> int:
        """How many pixels one image has."""
        return self.layers[0].weights.shape[0]

    def probabilities(self, pixels: Matrix) -> Matrix:
        """Return the probability of every class, shape (batch, classes), for pixels of shape (batch, n)."""
        activation = pixels / np.float32(self.pixel_maximum)
        for hidden in self.layers[:-1]:
            activation = np.maximum(hidden.apply(activation), 0)
        return softmax(self.layers[-1].apply(activation))

    def most_likely(self, probabilities: Matrix) -> NDArray[np.int64]:
        """Return the most likely class of every image, shape (batch,)."""
        return np.asarray(self.classes, dtype=np.int64)[probabilities.argmax(axis=1)]


def softmax(scores: Matrix) -> Matrix:
    """Turn each row of scores into probabilities that add up to one."""
    # Without the subtraction, a large score overflows float32.
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
