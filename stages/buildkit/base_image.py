"""An image as its registry has it, brought out by BuildKit for the platforms of a build."""

from pathlib import Path

from pipeline.desk import Desk
from pipeline.errors import StageFailed
from stages.buildkit.builder import Builder
from stages.oci.model_image import Base

# the command that the base begins with would come before the one that a pod gives it
DOCKERFILE = "FROM {name}\nENTRYPOINT []\n"


def export_base(name: str, platforms: tuple[str, ...], builder: Builder, desk: Desk, folder: Path) -> Base:
    """Export an image below `folder`, which is made.

    Raises:
        StageFailed: there is no such image, or not for these platforms.
        DiskFull: the engine or this machine has no room left.
    """
    from stages.buildkit.export import Request, base_image, export

    context, dockerfile = folder / "context", folder / "Dockerfile"
    context.mkdir(parents=True)
    dockerfile.write_text(DOCKERFILE.format(name=name), encoding="utf-8")
    request = Request(
        context=context,
        dockerfile=dockerfile,
        shown_dockerfile=dockerfile,
        target=None,
        platforms=platforms,
        arguments={},
        secrets=(),
        builder=builder.name,
        network=None,
        cache=True,
    )
    desk.say(f"getting {name} for the model image")
    try:
        found = export(request, builder, desk, folder)
    except StageFailed as error:
        reason = error.message.removeprefix(str(dockerfile)).lstrip(":0123456789 ")
        advice = error.advice.replace("in FROM", "of the base")
        raise StageFailed(f"`model.base`: {name}: {reason}", advice=advice, tail=error.tail) from error
    return Base(found.layout, base_image(name, builder, found.materials), found.packing)
