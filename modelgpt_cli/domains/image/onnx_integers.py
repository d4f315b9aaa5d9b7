"""A convolutional graph in 8 bits, by onnxruntime's own static quantisation: fixed ranges, measured on images.

The last step of `onnx_image` where it is asked for. Convolutions are rounded, with a scale per channel, and so is ReLU6
after them, which is then part of them; what else is between them, preprocessing and head stay as they are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

from modelgpt_cli.core.progress import Advance, progress
from modelgpt_cli.core.quiet import quiet

_CONVOLUTION, _BOUNDED = "Conv", "Clip"


def in_integers(proto: onnx.ModelProto, image: str, images: Sequence[np.ndarray]) -> onnx.ModelProto:
    """Quantise a graph.

    Parameters
    ----------
    proto : onnx.ModelProto
        BatchNorm already folded into the convolutions.
    image : str
        Its input, uint8 (N, H, W, 3).
    images : sequence of uint8 (H, W, 3)
        Ranges are the least and greatest number that these give.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        quiet(""),
        progress("calibrate", len(images), "images") as advance,
    ):  # the tool advises to prepare the graph, which is prepared
        path = Path(folder) / "model.onnx"
        quantize_static(
            proto,
            path,
            _Reader(image, images, advance),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[_CONVOLUTION, _BOUNDED],
            nodes_to_exclude=_sensitive(proto),
            per_channel=True,
            # Processors without instructions for 8-bit networks add two products in 16 bits: 7 bits fit, 8 don't.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        made = onnx.load(path)
    # The tool renews what it doesn't need to.
    made.ClearField("producer_name")
    made.producer_name, made.producer_version = proto.producer_name, proto.producer_version
    del made.metadata_props[:]
    made.metadata_props.extend(proto.metadata_props)
    made.ir_version = proto.ir_version
    for node in made.graph.node:
        node.ClearField("doc_string")
    return made


def _sensitive(proto: onnx.ModelProto) -> list[str]:
    """The convolutions that stay in float32: the first, which sees the image, and depthwise ones without a bound.

    They hold next to no weights, and lose most of what there is to lose. Where ReLU6 bounds what a depthwise one gives,
    8 bits suffice: EfficientNet-Lite0 keeps its accuracy on objects15 (.963) and takes 13.5 ms instead of 24.4.
    """
    nodes = proto.graph.node
    convs = [node for node in nodes if node.op_type == _CONVOLUTION]
    bounded = {node.input[0] for node in nodes if node.op_type == _BOUNDED}
    depthwise = [node for node in convs if any(a.name == "group" and a.i > 1 for a in node.attribute)]
    return sorted({node.name for node in [*convs[:1], *(d for d in depthwise if d.output[0] not in bounded)]})


class _Reader:
    """Hand images to onnxruntime's tool, one after the other: a `CalibrationDataReader` by what it does."""

    def __init__(self, image: str, images: Sequence[np.ndarray], advance: Advance) -> None:
        self._feeds: Iterator[dict[str, np.ndarray]] = iter([{image: one[None]} for one in images])
        self._advance = advance

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next image; None at the end."""
        feed = next(self._feeds, None)
        self._advance(feed is not None)
        return feed
