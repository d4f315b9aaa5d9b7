"""A folder for LiteRT (TensorFlow Lite), which runs networks of images on phones and boards."""
