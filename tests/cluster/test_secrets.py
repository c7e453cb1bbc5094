"""What is said and written never holds a credential of this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from invertone.cluster.errors import UserError
from invertone.cluster.secrets import credential_in, refuse_secret, without_secrets


def test_values_of_credential_variables_are_blotted_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted/secret+value")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "planted/secret+value-and-more")
    monkeypatch.setenv("MY_PASSWORD", "short")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path))
    said = without_secrets(f"put planted/secret+value-and-more failed, planted/secret+value, short, {tmp_path}")
    assert said == f"put ••• failed, •••, short, {tmp_path}"


def test_the_variable_whose_value_is_in_a_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_PASSWORD", "short")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted/secret+value")
    assert credential_in(b"\x00...planted/secret+value...") == "AWS_SECRET_ACCESS_KEY"
    assert credential_in(b"short") == ""


@pytest.mark.parametrize(
    "word",
    [
        "source=/x/planted/secret+value",
        "planted/secret+value=1",
        "token=abcdef",
        "aws.secret_key=abcdef",
        "source=https://user:word@host/x",
        "key=AKIAABCDEFGHIJKLMNOP",
        "source=https://h/x?X-Amz-Signature=0123abcd",
        "source=https://h/x?a=1&sig=0123abcd",
        "text=-----BEGIN RSA PRIVATE KEY-----",
    ],
)
def test_a_word_that_looks_like_a_secret_is_refused_and_not_repeated(
    word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted/secret+value")
    with pytest.raises(UserError, match="looks like") as refused:
        refuse_secret(word)
    for secret in ("planted", "abcdef", "user:word", "AKIA", "0123abcd"):
        assert secret not in str(refused.value)


@pytest.mark.parametrize(
    "word",
    [
        "source=s3://bucket/tokens/x",
        "out=s3://b/x",
        "seed=1",
        "pattern=(?P<label>[a-z]+)_(?P<speaker>\\d+)",
        "name",
        "source=http://h:80/x@y",
    ],
)
def test_ordinary_words_pass(word: str) -> None:
    refuse_secret(word)
