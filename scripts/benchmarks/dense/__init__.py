"""Benchmarks of dense vision."""
