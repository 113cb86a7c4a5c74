"""Where the weights of a model image come from."""
