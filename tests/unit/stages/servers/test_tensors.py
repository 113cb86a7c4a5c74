"""Tensors as bytes, there and back, for every data type of the protocol."""

import pytest

from stages.servers.tensors import FORMATS, Tensor, tensor_of


@pytest.mark.parametrize("datatype", [*FORMATS, "BF16"])
def test_numbers_come_back_as_they_went(datatype: str) -> None:
    data = [[True, False], [False, True]] if datatype == "BOOL" else [[1, 0], [2, 3]]
    tensor = tensor_of("x", datatype, [2, 2], data)
    assert tensor.values() == [value for row in data for value in row]


def test_text_comes_back_as_it_went() -> None:
    assert tensor_of("x", "BYTES", [3], ["", "seven", "ü"]).values() == ["", "seven", "ü"]


def test_the_bytes_are_little_endian() -> None:
    assert tensor_of("x", "INT32", [1], [258]).raw == b"\x02\x01\x00\x00"
    assert tensor_of("x", "BYTES", [1], ["ab"]).raw == b"\x02\x00\x00\x00ab"
    assert tensor_of("x", "BF16", [1], [1.0]).raw == b"\x80\x3f"


@pytest.mark.parametrize(
    ("datatype", "data", "words"),
    [
        ("UINT8", [300], "x: the data are no UINT8"),
        ("FP32", ["seven"], "x: the data are no FP32"),
        ("FP8", [1], "'FP8' is no data type"),
        ("FP16", [1e6], "x: the data are no FP16"),
        ("FP32", [1e40], "x: the data are no FP32"),
        ("INT64", [2**70], "x: the data are no INT64"),
    ],
)
def test_data_that_do_not_fit_are_refused(datatype: str, data: list[object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tensor_of("x", datatype, [1], data)


@pytest.mark.parametrize("raw", [b"\x01\x00", b"\x05\x00\x00\x00ab"])
def test_text_that_is_cut_off_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="cut off"):
        Tensor(name="x", datatype="BYTES", shape=(1,), raw=raw).values()


@pytest.mark.parametrize("shape", [4, "12", None, ["1"], [True], [-1], [1.0]], ids=repr)
def test_a_shape_that_is_none_is_refused(shape: object) -> None:
    with pytest.raises(ValueError, match=r"x: the shape .* is no list of whole numbers"):
        tensor_of("x", "FP32", shape, [1.0])
