"""A folder for Intel's OpenVINO: the model in its intermediate representation, and what stands in for strings."""
