"""Real model servers, each with a small real model: examples/servers, prepared for a test."""
