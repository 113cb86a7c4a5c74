"""A model server that speaks the Open Inference Protocol and multiplies by the model's weight."""

import json
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WEIGHT = float(Path("/models/tiny/weight.txt").read_text())


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one packet

    def answer(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        inputs = [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}]
        self.answer({"name": "tiny", "inputs": inputs} if self.path == "/v2/models/tiny" else {})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        values = [value * WEIGHT for value in request["inputs"][0]["data"]]
        output = {"name": "y", "datatype": "FP32", "shape": [len(values), 1], "data": values}
        self.answer({"model_name": "tiny", "outputs": [output]})

    def log_message(self, *arguments: object) -> None:
        pass


def stop(*_: object) -> None:
    threading.Thread(target=server.shutdown).start()


server = ThreadingHTTPServer(("0.0.0.0", 8080), Server)
# TERM does nothing to the first process of a container that has no handler for it.
signal.signal(signal.SIGTERM, stop)
server.serve_forever()
