"""Libraries that report how they are used don't, in our processes: imported first of all, before any of them is.

What a user has set stays. Child processes inherit it.
"""

from __future__ import annotations

import os

SWITCHES = {
    # onnxruntime 1.32 and newer sends a device id, Python's path and the model's file name, on Linux by default.
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}

for _name, _value in SWITCHES.items():
    os.environ.setdefault(_name, _value)
