"""What is said and written never holds a credential of this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.secrets import without_secrets


def test_values_of_credential_variables_are_blotted_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted/secret+value")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "planted/secret+value-and-more")
    monkeypatch.setenv("MY_PASSWORD", "short")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path))
    said = without_secrets(f"put planted/secret+value-and-more failed, planted/secret+value, short, {tmp_path}")
    assert said == f"put ••• failed, •••, short, {tmp_path}"
