"""The flags of `pipeline bench`."""

import argparse
from pathlib import Path


def add_bench(parser: argparse.ArgumentParser) -> None:
    """Add what says which image is measured, and how."""
    parser.add_argument(
        "image",
        metavar="IMAGE",
        help="as the engine or a registry names it, or the folder of an OCI image layout",
    )
    parser.add_argument("--against", metavar="IMAGE", help="run in turn with this one, and compare")
    parser.add_argument(
        "--maximum-regression",
        action="append",
        default=[],
        metavar="METRIC=SHARE",
        help="how much worse is allowed; default: what the rules say, else p99_ms=10%% and "
        "throughput_rps=10%%",
    )
    parser.add_argument("--port", type=int, metavar="N", help="port of the server; default: 8080")
    parser.add_argument("--protocol", metavar="NAME", help="how the server is spoken to; default: v2")
    parser.add_argument("--model", metavar="NAME", help="the model's name at the server")
    parser.add_argument("--request", type=Path, metavar="FILE", help="file with an inference request")
    parser.add_argument("--rate", type=float, metavar="N", help="requests per second; default: 20")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="of the load; default: 10")
    parser.add_argument("--rounds", type=int, metavar="N", help="turns of each image; default: 5")
    parser.add_argument("--most-rounds", type=int, metavar="N", help="while undecided; default: 15")
    parser.add_argument("--starts", type=int, metavar="N", help="of the image alone; default: 3")
    parser.add_argument("--json", action="store_true", help="print the numbers and verdicts as JSON")
