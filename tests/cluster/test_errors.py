"""The error law: one line, and it survives a process border."""

from __future__ import annotations

import pickle

import pytest

from cluster.errors import JobIncompleteError, UserError, cause_of_type


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

    from cluster.errors import as_user_error

    wrapped = RuntimeError("read failed")
    wrapped.__cause__ = NoCredentialsError()
    mendable = as_user_error(wrapped)
    assert mendable is not None and "give credentials by environment" in str(mendable)
    assert as_user_error(ZeroDivisionError()) is None
