"""Our own load engine as a program of its own, as `benchmarks/load.py` runs it: prints what came of one load.

python benchmarks/load_ours.py --protocol http --port 8000 --path /slow --shape poisson --load 500 --seconds 5
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it knows its own folder only

from pipeline.model import LoadResult
from stages.load.closed_loop import ClosedLoop, drive_closed
from stages.load.measured import Measured
from stages.load.open_loop import OpenLoop, drive
from stages.load.result import result_of
from stages.load.sending import Sender
from stages.servers.interface import Payload, ServerProtocol, Target
from stages.servers.openai import OpenAI
from stages.servers.plain_http import PlainHttp
from stages.servers.v2 import OpenInference
from stages.servers.v2_grpc import GrpcInference

PROTOCOLS: dict[str, ServerProtocol] = {
    "http": PlainHttp(),
    "v2": OpenInference(),
    "v2-grpc": GrpcInference(),
    "openai": OpenAI(),
}
TIMEOUT_S = 5.0


async def measure(options: argparse.Namespace) -> tuple[LoadResult, Measured]:
    """Put the server under one load."""
    spoken = {} if options.protocol != "http" else {"path": options.path}
    payloads = () if options.protocol != "http" else (Payload(body=Path(options.body).read_bytes()),)
    target = Target(port=options.port, model=options.model, payloads=payloads, options=spoken)
    load = (
        ClosedLoop(concurrency=int(options.load), duration_s=options.seconds)
        if options.shape == "closed"
        else OpenLoop(rate_rps=options.load, duration_s=options.seconds, shape=options.shape)
    )
    async with PROTOCOLS[options.protocol].connect(target) as server:
        await server.prepare()
        sender = Sender(server=server, request_timeout_s=TIMEOUT_S, measured=Measured())
        if isinstance(load, ClosedLoop):
            await drive_closed(sender, load)
        else:
            await drive(sender, load)
    return result_of(load, sender.measured), sender.measured


def main() -> None:
    """Print the result as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--protocol", choices=PROTOCOLS, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/")
    parser.add_argument("--model", default="digits")
    parser.add_argument("--body", help="file with the request's body")
    parser.add_argument("--shape", choices=("constant", "poisson", "closed"), required=True)
    parser.add_argument("--load", type=float, required=True, help="requests per second, or clients")
    parser.add_argument("--seconds", type=float, required=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result, measured = runner.run(measure(parser.parse_args()))
    cpu_s = measured.generator_cpu * measured.elapsed_s
    print(json.dumps(result.model_dump(mode="json") | {"cpu_s": cpu_s}))


if __name__ == "__main__":
    main()
