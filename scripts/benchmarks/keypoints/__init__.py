"""Benchmarks of key points."""
