import pytest

from pipeline.errors import StageFailed
from stages.oci.layer_facts import Entry, LayerFacts
from stages.oci.overlap import refuse_overlap

PATH = "/models/digits"


def layer(*removed: str, **entries: Entry) -> LayerFacts:
    """Say what a layer does; in a name, `__` stands for a slash and `_` for a dot."""
    named = {name.replace("__", "/").replace("_", "."): entry for name, entry in entries.items()}
    return LayerFacts(entries=named, removed=removed)


def folder(*, mode: int = 0o755, owner: int = 0) -> Entry:
    return Entry(kind="folder", mode=mode, owner=owner, group=owner)


def link(target: str) -> Entry:
    return Entry(kind="link", mode=0o777, owner=0, group=0, target=target)


FILE = Entry(kind="file", mode=0o644, owner=0, group=0)


def overlap(below: list[LayerFacts], above: list[LayerFacts]) -> None:
    refuse_overlap(below, [(f"RUN step {number}", one) for number, one in enumerate(above)], PATH)


@pytest.mark.parametrize(
    ("below", "above"),
    [
        ([layer(models=folder())], []),
        ([layer(models=folder(), models__digits=folder(owner=1000))], []),
        ([layer(models__digits__old_bin=FILE), layer("models/digits/old.bin")], []),
        ([layer(models__digits__old_bin=FILE), layer("models/digits/")], []),
        ([layer(models__digits__old_bin=FILE), layer("models")], []),
        ([layer(models__digits__old_bin=FILE), layer("/")], []),
        ([layer(models=link("data")), layer("models"), layer(models=folder())], []),
        ([layer(models=folder(owner=1000)), layer(models=folder())], []),
        ([layer("models/", models=folder(), models__digits=folder())], []),
        ([], [layer(models=folder(owner=1000, mode=0o700))]),
        ([layer(models=folder(owner=1000))], [layer(models=folder(owner=1000))]),
        ([], [layer(models=folder(), models__digits=folder(owner=1000, mode=0o775))]),
        ([layer(models__digits=folder(mode=0o700))], []),
    ],
)
def test_room_for_the_model(below: list[LayerFacts], above: list[LayerFacts]) -> None:
    overlap(below, above)


@pytest.mark.parametrize(
    ("below", "above", "message"),
    [
        ([layer(models__digits__old_bin=FILE)], [], "already has /models/digits/old.bin"),
        ([layer(models__digits=FILE)], [], "already has /models/digits,"),
        ([layer(models__digits=link("v1"))], [], "already has /models/digits,"),
        ([layer(models=link("data"))], [], "/models in the image is a link to data"),
        ([layer(models=FILE)], [], "/models in the image is not a folder"),
        ([layer(models=folder(owner=1000))], [], "belongs to 1000:1000 with mode drwxr-xr-x"),
        ([layer(models=folder(mode=0o1777))], [], "/models in the image belongs to 0:0 with mode drwxrwxrwt"),
        ([layer("models"), layer(models__digits__new=FILE)], [], "already has /models/digits/new"),
        (
            [layer(models__digits__x=FILE), layer("models/digits/y")],
            [],
            "already has /models/digits/x",
        ),
        (
            [layer(models__digits__x=FILE)],
            [layer("models/digits/x")],
            "already has /models/digits/x, where the model goes",
        ),
        ([], [layer(), layer(models__digits__x=FILE)], "where the model goes (`RUN step 1`)"),
        ([], [layer(models__digits__x=folder())], "already has /models/digits/x"),
        ([], [layer(models__digits=link("v1"))], "already has /models/digits,"),
        ([layer(models=folder())], [layer("models")], "the Dockerfile removes /models (`RUN step 0`)"),
        ([], [layer("models/digits")], "the Dockerfile removes /models/digits (`RUN step 0`)"),
        (
            [],
            [layer("models/", models=folder())],
            "the Dockerfile removes what was in /models (`RUN step 0`)",
        ),
        ([], [layer(models=link("data")), layer(models=folder())], "is a link to data (`RUN step 0`)"),
        ([], [layer(models=FILE)], "/models in the image is not a folder (`RUN step 0`)"),
        (
            [],
            [layer(models__digits=folder(mode=0o700, owner=7))],
            "/models/digits in the image belongs to 7:7 with mode drwx------: not every user could read",
        ),
    ],
)
def test_what_model_and_application_would_do_to_each_other_is_named(
    below: list[LayerFacts], above: list[LayerFacts], message: str
) -> None:
    with pytest.raises(StageFailed) as caught:
        overlap(below, above)
    assert message in caught.value.message
    assert f"such as {PATH}" not in caught.value.advice  # it is what has just failed
