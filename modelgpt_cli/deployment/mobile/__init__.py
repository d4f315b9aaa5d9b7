"""A folder for apps of Android and iOS: the model in onnxruntime's own format, and snippets made for its inputs."""
