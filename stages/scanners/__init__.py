"""What looks into an image for known weaknesses: the interface, and one module per scanner."""
