"""From a model file to a place where it runs: what `modelgpt export --for` writes. One module for each place."""
