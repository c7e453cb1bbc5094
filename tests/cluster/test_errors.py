"""The error law: one line, and it survives a process border."""

from __future__ import annotations

import errno
import pickle

import pytest

from invertone.cluster.errors import JobIncompleteError, UserError, as_user_error, cause_of_type, without_addresses


@pytest.mark.parametrize("kind", [UserError, JobIncompleteError])
def test_an_error_crosses_a_process_border_with_type_and_parts(kind: type[UserError]) -> None:
    error = pickle.loads(pickle.dumps(kind("what", where="here", fix="do so")))
    assert type(error) is kind
    assert (error.what, error.where, error.fix, error.exit_code) == ("what", "here", "do so", kind.exit_code)
    assert str(error) == "here: what; do so"


def test_an_error_is_one_line_whatever_it_quotes() -> None:
    assert str(UserError("first\n  second\tthird", where="a\nb")) == "a b: first second third"


def test_the_exit_codes_differ() -> None:
    assert (UserError.exit_code, JobIncompleteError.exit_code) == (2, 3)


def test_a_cause_is_found_however_it_is_wrapped() -> None:
    wanted = UserError("it")
    by_attribute, by_rank, by_raise = RuntimeError("a"), RuntimeError("b"), RuntimeError("c")
    by_attribute.cause = wanted  # type: ignore[attr-defined]
    by_rank.worker_failures = {0: RuntimeError("other"), 1: by_attribute}  # type: ignore[attr-defined]
    by_raise.__cause__ = by_rank
    for error in (wanted, by_attribute, by_rank, by_raise):
        assert cause_of_type(error, UserError) is wanted
    assert cause_of_type(RuntimeError("x"), UserError) is None


def test_causes_in_a_circle_end() -> None:
    a, b = RuntimeError("a"), RuntimeError("b")
    a.__cause__, b.__cause__ = b, a
    assert cause_of_type(a, UserError) is None


def test_storage_that_refuses_is_the_users_to_mend_also_as_a_cause() -> None:
    from botocore.exceptions import NoCredentialsError

    wrapped = RuntimeError("read failed")
    wrapped.__cause__ = NoCredentialsError()
    mendable = as_user_error(wrapped)
    assert mendable is not None and "give credentials by environment" in str(mendable)
    assert as_user_error(ZeroDivisionError()) is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/runs/a"), "make room, then run the same command again"),
        (OSError(errno.EROFS, "Read-only file system", "/runs/a"), "give a place that can be written"),
        (OSError(errno.EMFILE, "Too many open files"), "raise `ulimit -n`"),
        (MemoryError(), "out of memory; use smaller batches or fewer workers"),
    ],
)
def test_what_the_machine_lacks_is_said_in_one_line_however_it_is_wrapped(error: Exception, said: str) -> None:
    by_rank = RuntimeError("training failed")
    by_rank.worker_failures = {0: error}  # type: ignore[attr-defined]
    for each in (error, by_rank):
        mendable = as_user_error(each)
        assert mendable is not None and said in str(mendable)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Error opening <_io.BytesIO object at 0x7f52d1c0a>: bad", "Error opening <_io.BytesIO object>: bad"),
        ("<a at 0x1> and <b at 0xFF>", "<a> and <b>"),
        ("read 16 bytes at 0x of 12", "read 16 bytes at 0x of 12"),
    ],
)
def test_equal_faults_get_equal_words(text: str, clean: str) -> None:
    assert without_addresses(text) == clean
