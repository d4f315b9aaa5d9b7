"""The requirement generator: a profile becomes one checked sentence, and the requirement file."""
