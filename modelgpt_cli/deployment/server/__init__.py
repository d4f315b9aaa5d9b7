"""A folder that serves a model: an image for containers, KServe's description of a service, and Triton's repository."""
