"""One HTML file that says what a model is for, how good it is, and where it comes from."""
