"""Signed statements about an image: what they say, who signs them, where they lie, whether they hold."""
