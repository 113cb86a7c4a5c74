"""What the command line understands of `pipeline edit`."""

import argparse
from pathlib import Path


def add_edit(parser: argparse.ArgumentParser) -> None:
    """Add what `pipeline edit` takes."""
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="folder of the manifests")
    parser.add_argument(
        "--path",
        action="append",
        required=True,
        help="file or folder below it to edit; may be given several times",
    )
    parser.add_argument("--image", required=True, metavar="NAME", help="name of the image as it is deployed")
    parser.add_argument("--tag", required=True, help="tag that it shall have")
    parser.add_argument("--digest", help="digest that it shall have")
    parser.add_argument("--dry-run", action="store_true", help="print the diff and write nothing")
    place = parser.add_argument_group("which place, where more than one is possible")
    place.add_argument("--form", help="form of the manifest, such as kubernetes, kserve or helm")
    place.add_argument("--kind", help="kind of the resource")
    place.add_argument("--name", help="metadata.name of the resource")
    place.add_argument("--namespace", metavar="NS", help="metadata.namespace of the resource")
    place.add_argument("--container", help="name of the container or volume")
    place.add_argument(
        "--field", metavar="PATH", help='a.b[0]["key.with.dots"]: a value, or its parts\' mapping'
    )
    place.add_argument("--marker", metavar="NS:POLICY", help="Flux's marker of this image policy")
    place.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="PART=NAME",
        help="Helm parameter of an Argo CD Application: tag=NAME or digest=NAME",
    )
