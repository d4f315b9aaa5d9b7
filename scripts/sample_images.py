"""Write handwritten digits (scikit-learn's, enlarged) as PNG files, a folder per class: what the image demo is shown.

python scripts/sample_images.py out/demo_images --examples 15 --held-out 15
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

SIDE = 96


def main() -> None:
    """Write OUT/examples and OUT/held_out, so many images of each digit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--examples", type=int, default=15, help="of each digit")
    parser.add_argument("--held-out", type=int, default=15, help="of each digit")
    args = parser.parse_args()
    digits = load_digits()
    for digit in range(10):
        rows = np.flatnonzero(digits.target == digit)[: args.examples + args.held_out]
        for i, row in enumerate(rows):
            folder = args.out / ("examples" if i < args.examples else "held_out") / str(digit)
            folder.mkdir(parents=True, exist_ok=True)
            ink = Image.fromarray((255 - digits.images[row] * 15.9).astype(np.uint8))  # 8 x 8, black on white
            ink.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / f"{row:04}.png")


if __name__ == "__main__":
    main()
