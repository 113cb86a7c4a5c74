"""Recognises a handwritten digit in 8 x 8 pixels."""
