"""The commands of the command line, one function each; what they need is imported when they run."""
