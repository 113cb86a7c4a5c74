"""What is allowed: pure functions of evidence, without any input or output of their own."""
