"""What is done: one file per stage, in the order in which the data flows."""
