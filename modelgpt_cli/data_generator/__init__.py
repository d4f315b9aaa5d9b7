"""Data where there are none: an LLM writes labelled rows, each is checked, and only new ones are kept."""
