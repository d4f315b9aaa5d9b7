"""Libraries kept quiet."""

from __future__ import annotations

import logging
import warnings

import pytest

from modelgpt_cli.core.quiet import quiet


def test_what_a_library_does_to_logging_is_undone(recwarn: pytest.WarningsRecorder) -> None:
    root, handler = logging.getLogger(), logging.StreamHandler()
    before = (root.level, list(root.handlers))
    with quiet(""):
        root.addHandler(handler)  # as `logging.info` does where there is none
        assert not root.isEnabledFor(logging.WARNING)
        warnings.warn("for programmers", stacklevel=1)
    assert (root.level, root.handlers) == before
    assert not recwarn.list
