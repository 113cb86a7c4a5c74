"""The real parts that the demo and the integration tests run against: engine, registry, scanner data, git server."""
