"""The sizes of the head's inputs. Without torch, for `architectures`; what the inputs are stands in `inputs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelgpt_cli.parameter_generator.adapter import InputGroups


def input_groups(size: int) -> InputGroups:
    """Return the groups of the head's inputs for a backbone whose states have `size` numbers.

    A pair has both texts, their distance and product by component, and their cosine (after InferSent's).
    """
    pair = {"first": size, "second": size, "distance": size, "product": size, "cosine": 1}
    return {False: {"text": size}, True: pair}
