"""Images with objects marked in them, whatever the format: what detection, key points and segmentation read alike.

`find` looks at a folder or archive and gives `objects.Annotations`; each format has a module that turns its files into
these. Nothing here imports torch or pandas: the runtime reads the truth of `evaluate` with it.
"""
