"""Clouds on loopback, under their real host names: the real SDKs and clients cannot tell the difference.

`internet.py` holds it together. An `Internet` is a certificate authority of its own (`authority.py`) and a
proxy (`connect_proxy.py`) that connects each known host name to a port of this machine and refuses the rest.
Whoever gets its `environment` (requests, boto3, google-auth, azure-core, gRPC, Go programs) comes here and
nowhere else, without privileges and without a line changed in the product:

    with running_internet(folder) as internet, running_registry(folder / "registry") as registry:
        front = internet.serve(("*.azurecr.io", "login.microsoftonline.com"), rules, upstream=registry)

A `Front` (`front.py`) speaks TLS for its host names. It asks its rules first: a function that takes an
`Asked` (method, host, path, query, headers, `read()`) and returns a `Reply` in the cloud's place, or None to
forward the request to the stock registry behind, with that registry's own password in the place of the
client's. Rules may call `asked.forward()` themselves and change or note the answer. Servers that speak
something else (gRPC) take a certificate from `internet.authority.issue(hosts)` and are announced by
`internet.route(host, port)`.

One file for each cloud holds its rules (`ecr.py`, …); its fixture stands in
tests/integration/clouds/conftest.py.
"""
