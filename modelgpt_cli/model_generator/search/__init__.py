"""Search for better settings of a build and its tuning: behind ``modelgpt tune --search``."""
