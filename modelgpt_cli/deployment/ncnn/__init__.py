"""A folder for ncnn, which runs networks of images on phones and boards."""
