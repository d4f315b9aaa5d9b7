"""A folder that runs a model in a browser: the model, what it reads and answers as JSON, a page, and its runtime."""
