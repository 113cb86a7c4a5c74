"""The weights: good enough, and what the configuration says of them is true."""

import json
from pathlib import Path

import numpy as np
import pytest

from digits.network import CONFIG_FILE, WEIGHTS_FILE, Network
from train import Split, accuracy

LOWEST_ACCURACY = 0.96
LOWEST_ACCURACY_OF_A_CLASS = 0.85


def test_most_held_out_digits_are_named_correctly(network: Network, split: Split) -> None:
    assert accuracy(network, split) >= LOWEST_ACCURACY


def test_no_class_is_left_behind(network: Network, split: Split) -> None:
    predicted = network.most_likely(network.probabilities(split.held_out_pixels))
    for digit in range(10):
        of_this_class = split.held_out_labels == digit
        assert (predicted[of_this_class] == digit).mean() >= LOWEST_ACCURACY_OF_A_CLASS, digit


def test_probabilities_add_up_to_one(network: Network, split: Split) -> None:
    probabilities = network.probabilities(split.held_out_pixels)
    assert probabilities.dtype == np.float32
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(split.held_out_pixels)), abs=1e-5)


def test_the_recorded_accuracy_is_the_measured_one(
    network: Network, split: Split, model_folder: Path
) -> None:
    recorded = json.loads((model_folder / CONFIG_FILE).read_text())["accuracy"]
    assert recorded == pytest.approx(accuracy(network, split), abs=0.003)


@pytest.mark.parametrize("name", [WEIGHTS_FILE, CONFIG_FILE])
def test_every_user_may_read_the_model(model_folder: Path, name: str) -> None:
    assert (model_folder / name).stat().st_mode & 0o777 == 0o644
