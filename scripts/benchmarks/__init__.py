"""Benchmarks of quality, speed and size. ``python -m scripts.benchmarks`` lists them; README.md describes each."""
