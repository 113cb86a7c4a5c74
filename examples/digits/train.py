"""Train the network on scikit-learn's digits and write model/.

Run twice on one machine, it writes the same bytes twice: the split, the starting weights and the order of
the samples have a fixed seed, and the arithmetic runs in one thread.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from digits.network import CONFIG_FILE, WEIGHTS_FILE, Layer, Matrix, Network

MODEL_FOLDER = Path(__file__).parent / "model"
VERSION = "1.0.0"
PIXEL_MAXIMUM = 16.0
HIDDEN_UNITS = (1024, 512)
EPOCHS = 12
SEED = 20


class Split(NamedTuple):
    """Pixels of shape (n, 64) from 0 to 16, and their classes of shape (n,); held-out samples apart."""

    pixels: Matrix
    labels: NDArray[np.int64]
    held_out_pixels: Matrix
    held_out_labels: NDArray[np.int64]


def split_digits() -> Split:
    """Return the 1797 digits, one fifth of them held out, always the same ones."""
    pixels, labels = load_digits(return_X_y=True)
    pixels, held_out_pixels, labels, held_out_labels = train_test_split(
        pixels.astype(np.float32), labels, test_size=0.2, random_state=SEED, stratify=labels
    )
    return Split(pixels, labels, held_out_pixels, held_out_labels)


def fit(split: Split) -> MLPClassifier:
    """Train in float32, EPOCHS times through the training samples."""
    classifier = MLPClassifier(hidden_layer_sizes=HIDDEN_UNITS, random_state=SEED)
    for epoch in range(1, EPOCHS + 1):
        classifier.partial_fit(split.pixels / PIXEL_MAXIMUM, split.labels, classes=np.unique(split.labels))
        print(f"epoch {epoch:2d}/{EPOCHS}  loss {classifier.loss_:.4f}", flush=True)
    return classifier


def network_of(classifier: MLPClassifier) -> Network:
    """Return the trained network in the form in which it is served."""
    layers = (
        Layer(np.ascontiguousarray(weights, np.float32), np.ascontiguousarray(bias, np.float32))
        for weights, bias in zip(classifier.coefs_, classifier.intercepts_, strict=True)
    )
    return Network(tuple(layers), tuple(classifier.classes_.tolist()), PIXEL_MAXIMUM, VERSION)


def accuracy(network: Network, split: Split) -> float:
    """Return the share of the held-out digits that the network names correctly."""
    predicted = network.most_likely(network.probabilities(split.held_out_pixels))
    return float((predicted == split.held_out_labels).mean())


def write_model(network: Network, measured_accuracy: float) -> None:
    """Write the weights and, last, the configuration: its date tells make that the model is complete."""
    tensors: dict[str, Matrix] = {}
    for number, layer in enumerate(network.layers):
        tensors |= {f"{number}.weights": layer.weights, f"{number}.bias": layer.bias}
    config = {
        "version": network.version,
        "classes": network.classes,
        "pixel_maximum": network.pixel_maximum,
        "accuracy": measured_accuracy,
    }
    MODEL_FOLDER.mkdir(exist_ok=True)
    MODEL_FOLDER.chmod(0o755)
    write(MODEL_FOLDER / WEIGHTS_FILE, save(tensors))
    write(MODEL_FOLDER / CONFIG_FILE, (json.dumps(config, indent=2) + "\n").encode())


def write(path: Path, content: bytes) -> None:
    """Write a file that every user may read, whatever this user's umask: the server runs as another one."""
    path.write_bytes(content)
    path.chmod(0o644)


def main() -> None:
    """Train, measure, write."""
    split = split_digits()
    with threadpool_limits(limits=1):
        network = network_of(fit(split))
        measured = round(accuracy(network, split), 4)
    write_model(network, measured)
    print(f"wrote {MODEL_FOLDER.name}/; {measured:.2%} of the held-out digits are named correctly")


if __name__ == "__main__":
    main()
