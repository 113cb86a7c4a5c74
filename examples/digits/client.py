"""Send a v2 inference request to a running server and print the digit that it saw.

Usage: python client.py [server] [request.json]
"""

import json
import sys
from pathlib import Path
from urllib.request import Request, urlopen

SERVER = "http://127.0.0.1:8080"
REQUEST_FILE = Path(__file__).parent / "benchmark" / "request.json"


def infer(server: str, body: bytes) -> dict[str, list[float]]:
    """Return each output tensor's flat data by its name."""
    # MLServer answers 422 without the content type.
    request = Request(f"{server}/v2/models/digits/infer", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=10) as response:
        answer = json.load(response)
    return {output["name"]: output["data"] for output in answer["outputs"]}


def main(server: str = SERVER, request_file: str | Path = REQUEST_FILE) -> None:
    """Print the class of the request's first image and how sure the model is of it."""
    outputs = infer(server, Path(request_file).read_bytes())
    print(f"class {outputs['class'][0]}, probability {max(outputs['probabilities'][:10]):.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
