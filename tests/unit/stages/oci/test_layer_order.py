import pytest

from stages.oci.layer_order import Place, above_base, layer_names, top


def steps(*written: str) -> list[dict[str, object]]:
    """Return a history; what BuildKit calls an empty layer begins with a hyphen."""
    return [
        {"created_by": step.removeprefix("-"), **({"empty_layer": True} if step.startswith("-") else {})}
        for step in written
    ]


HISTORY = steps(
    "/bin/sh -c #(nop) ADD file:1 in /",
    '-/bin/sh -c #(nop)  CMD ["bash"]',
    "RUN /bin/sh -c make # buildkit",
    "-ENV A=b",
    "-ARG ONE=1",
    "RUN |1 ONE=1 /bin/sh -c echo a  &&     echo b # buildkit",
    "COPY app.py /app/ # buildkit",
    '-CMD ["a"]',
)


@pytest.mark.parametrize(
    ("instructions", "place"),
    [
        ("ENV ARG RUN COPY CMD", Place(2, 3)),
        ("RUN COPY CMD", Place(2, 5)),
        ("CMD", Place(4, 7)),
        ("", Place(4, 8)),
        ("COPY RUN CMD", None),
        ("ENV RUN COPY CMD", None),
        (" ".join(["RUN"] * 9), None),
    ],
)
def test_the_last_steps_are_the_dockerfiles(instructions: str, place: Place | None) -> None:
    assert above_base(HISTORY, 4, instructions.split()) == place


@pytest.mark.parametrize("layers", [0, 3, 5])
def test_a_history_that_does_not_fit_the_layers_shows_nothing(layers: int) -> None:
    assert above_base(HISTORY, layers, ["CMD"]) is None
    assert top(HISTORY, layers) == Place(layers, 8)
    assert layer_names(HISTORY, layers) == ("",) * layers


def test_all_of_an_image_from_scratch_is_the_dockerfiles() -> None:
    assert above_base(steps("COPY a /", "-USER 1"), 1, ["COPY", "USER"]) == Place(0, 0)


def test_a_step_without_a_text_is_no_instruction() -> None:
    assert above_base([{"comment": "Imported from -"}], 1, ["COPY"]) is None


def test_a_layer_has_the_name_of_its_instruction() -> None:
    assert layer_names(HISTORY, 4) == (
        "/bin/sh -c #(nop) ADD file:1 in /",
        "RUN make",
        "RUN echo a  &&     echo b",
        "COPY app.py /app/",
    )
    assert layer_names(steps(f"RUN /bin/bash -c {'x' * 200}\ny"), 1) == (f"RUN {'x' * 96}…",)
    assert layer_names([{}], 1) == ("",)
