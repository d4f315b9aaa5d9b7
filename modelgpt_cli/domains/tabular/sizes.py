"""The sizes that decide what a model of tables costs. Without torch, for `architectures`.

Shapes: K channels, H hidden units.
"""

from __future__ import annotations

CHANNELS = 8
"""K: the views of a numeric feature that `features.channels` computes."""
HIDDEN = 128
"""H, of each of a member's two hidden layers."""
MAX_COLUMNS = 2_000
"""Used columns of a table; the time to build, and the model's size, grow with them."""
