"""The real parts that the demo and the integration tests run against."""
