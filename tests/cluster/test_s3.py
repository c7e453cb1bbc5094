"""What is particular to S3: the server's address, patience, refusals."""

from __future__ import annotations

import os

import fsspec
import pytest
from botocore.exceptions import ClientError

from invertone.cluster.errors import UserError
from invertone.cluster.storage import s3
from invertone.cluster.storage.folder import Folder


@pytest.mark.parametrize("address", ["http://127.0.0.1:9000", "https://minio.example/"])
def test_an_endpoint_holds_for_this_process_and_its_workers(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(s3.ENDPOINT, "http://before:1")
    s3.use_endpoint(address)
    assert os.environ[s3.ENDPOINT] == address.rstrip("/")


@pytest.mark.parametrize(
    "address", ["127.0.0.1:9000", "ftp://host", "http://host/bucket", "http://key:planted@host:1", ""]
)
def test_what_is_no_address_is_refused_and_credentials_are_not_repeated(address: str) -> None:
    with pytest.raises(UserError, match="is no address of a server") as caught:
        s3.use_endpoint(address)
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize(("code", "refused"), [("PreconditionFailed", True), ("412", True), ("AccessDenied", False)])
def test_a_refused_creation_is_known_by_its_code_however_it_is_wrapped(code: str, refused: bool) -> None:
    error = OSError(22, "Invalid argument")
    error.__cause__ = ClientError({"Error": {"Code": code}}, "PutObject")
    assert s3.create_refused(error) is refused


def test_s3_is_asked_patiently_unless_the_user_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    monkeypatch.setattr(fsspec.config, "conf", {"s3": {"max_concurrency": 4}})
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 5)
    s3.be_patient.cache_clear()
    Folder.at("s3://bucket/x")._at("y")
    configured = fsspec.config.conf["s3"]
    assert configured["max_concurrency"] == 4
    assert configured["config_kwargs"]["retries"] == {"mode": "standard", "total_max_attempts": s3.ATTEMPTS}
    assert s3fs.S3FileSystem.retries == s3.ATTEMPTS
    s3.be_patient.cache_clear()
