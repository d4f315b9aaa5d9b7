"""Images with objects marked in them, whatever the format: what detection, key points and segmentation read alike.

`find` looks at a folder or archive and gives `objects.Annotations`; each format has a module that turns its files into
these. Nothing here imports torch or pandas: the runtime reads the truth of `evaluate` with it.
"""

DETECTION, SEGMENTATION, KEYPOINTS = TASKS = "detection", "segmentation", "keypoints"
"""What annotations can be for; each is the task of a domain."""
SUFFIXES = (".json", ".xml")
"""How files of annotations end that may be given by themselves."""
BESIDE = (".json", ".data")
"""How files end that lie beside annotated images, and are no tables there."""
