"""The talk with LLMs, whatever it is about: providers, keys, templates, one asked answer, the cache, the cost."""
