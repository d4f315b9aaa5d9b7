"""A model of the hub is loaded by the revision that it has when first asked for, and its provenance says which."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.domains.shared.build import provenance
from modelgpt_cli.parameter_generator import hub


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    hub.pin.cache_clear()
    monkeypatch.setattr(hub, "_loaded", {})


def test_the_revision_is_asked_for_once_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def model_info(self: Any, name: str, timeout: float) -> SimpleNamespace:
        asked.append(name)
        return SimpleNamespace(sha=f"{len(asked):040x}")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    assert hub.pin("someone/model") == hub.pin("someone/model") == f"{1:040x}"
    found = provenance(Requirement("Sort mails."), None, 0, generator=None, encoder=None)
    assert found["hub"] == {"someone/model": f"{1:040x}"}


def test_without_the_hub_provenance_is_as_ever() -> None:
    assert "hub" not in provenance(Requirement("Sort mails."), None, 0, generator=None, encoder=None)


def test_a_snapshot_in_the_cache_tells_its_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, local_files_only: f"/x/snapshots/{'a' * 40}")
    hub.kept_snapshot("someone/model")
    assert hub.loaded_revisions() == {"someone/model": "a" * 40}
