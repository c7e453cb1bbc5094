"""Configuration: overrides reach their key, a typo is refused with a suggestion, nothing in a YAML is executed."""

from __future__ import annotations

import dataclasses
import string
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invertone.cluster.config.files import names
from invertone.cluster.config.loading import build, load, schema_of
from invertone.cluster.config.schema import REQUIRED, Catalogue, as_dict, as_yaml, decisive, describe, key
from invertone.cluster.errors import UserError


@dataclass(frozen=True)
class Optimiser:
    learning_rate: float = key(1e-3, "step size", minimum=0.0, maximum=10.0)
    name: str = key("adam", "which", choices=("adam", "sgd"))


@dataclass(frozen=True)
class Job:
    kind: str = key(REQUIRED, "which job")
    out: str = key("runs/x", "where to", path=True, neutral=True)
    seed: int = key(0, "decides")
    ratio: float = key(0.5, "a share", minimum=0.0, maximum=1.0)
    words: list[str] = key([], "which words")
    flags: list[str] = key([], "a few", choices=("red", "green"))
    title: str = key("", "free text")
    note: str = key("", "free text")
    limit: int | None = key(None, "at most", minimum=1)
    optimiser: Optimiser = field(default_factory=Optimiser)


@dataclass(frozen=True)
class Strict:
    kind: str = key(REQUIRED, "which job")
    source: str = key(REQUIRED, "where from", path=True)
    other: int = key(REQUIRED, "a number")


JOBS = Catalogue("job", "kind", {"plain": Job, "strict": Strict}, positional="title")


@pytest.fixture
def plain(tmp_path: Path) -> str:
    return write(tmp_path / "plain.yaml", "kind: plain\n")


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def refused(name: str, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load(JOBS, name, overrides)
    line = str(caught.value)
    assert "\n" not in line
    return line


@given(
    seed=st.integers(-(2**40), 2**40),
    ratio=st.floats(0, 1),
    rate=st.floats(0, 10),
    limit=st.none() | st.integers(1, 10**9),
    words=st.lists(st.text(string.ascii_letters, min_size=1).map(lambda word: f"w{word}"), max_size=3),
    flags=st.lists(st.sampled_from(["red", "green"]), max_size=2),
)
def test_what_is_typed_is_what_the_job_gets(
    tmp_path: Path, seed: int, ratio: float, rate: float, limit: int | None, words: list[str], flags: list[str]
) -> None:
    config = load(
        JOBS,
        write(tmp_path / "plain.yaml", "kind: plain\n"),
        [
            f"seed={seed}",
            f"ratio={ratio!r}",
            f"optimiser.learning_rate={rate!r}",
            f"limit={'null' if limit is None else limit}",
            f"words=[{','.join(words)}]",
            f"flags=[{','.join(flags)}]",
        ],
    )
    assert (config.seed, config.ratio, config.optimiser.learning_rate) == (seed, ratio, rate)
    assert (config.limit, config.words, config.flags) == (limit, words, flags)


@given(seed=st.integers(-100, 100), title=st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20))
def test_a_resolved_config_written_as_yaml_reads_back_equal(tmp_path: Path, seed: int, title: str) -> None:
    if "$" in title or title == "???":
        return
    config = build(Job, {"kind": "plain", "seed": seed, "title": title}, {}, "test")
    assert load(JOBS, write(tmp_path / "again.yaml", as_yaml(config)), []) == config


def test_the_config_is_frozen(plain: str) -> None:
    config = load(JOBS, plain, [])
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 3


def test_a_list_default_is_not_shared_between_configs(plain: str) -> None:
    load(JOBS, plain, []).words.append("x")
    assert load(JOBS, plain, []).words == []


@pytest.mark.parametrize(
    ("override", "unknown", "nearest"),
    [
        ("sed=1", "'sed'", "'seed'"),
        ("optimiser.lerning_rate=1", "'optimiser.lerning_rate'", "'optimiser.learning_rate'"),
        ("optimizer.name=sgd", "'optimizer'", "'optimiser.name'"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(plain: str, override: str, unknown: str, nearest: str) -> None:
    line = refused(plain, override)
    assert f"command line: unknown key {unknown}" in line
    assert f"did you mean {nearest}?" in line


def test_an_unknown_key_in_a_file_names_the_file(tmp_path: Path) -> None:
    name = write(tmp_path / "typo.yaml", "kind: plain\nratoi: 0.1\n")
    line = refused(name)
    assert line.startswith(f"{name}: unknown key 'ratoi'")
    assert "'ratio'" in line


@pytest.mark.parametrize(
    "override", ["seed=many", "seed=1.5", "seed=[1]", "seed=null", "ratio=half", "words={a: 1}", "optimiser=3"]
)
def test_a_value_of_the_wrong_type_is_refused_by_key(plain: str, override: str) -> None:
    assert override.split("=")[0] in refused(plain, override)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("ratio=1.5", "ratio=1.5 is above 1.0"),
        ("ratio=-0.1", "ratio=-0.1 is below 0.0"),
        ("ratio=nan", "ratio=nan"),
        ("limit=0", "limit=0 is below 1"),
        ("optimiser.learning_rate=11", "optimiser.learning_rate=11.0 is above 10.0"),
        ("optimiser.name=adm", "optimiser.name=adm is not one of adam, sgd; choose one; did you mean 'adam'?"),
        ("flags=[red,gren]", "flags=gren is not one of red, green; choose one; did you mean 'green'?"),
    ],
)
def test_a_value_out_of_range_or_choice_is_refused(plain: str, override: str, said: str) -> None:
    assert said in refused(plain, override)


@pytest.mark.parametrize("word", ["seed", "=3", "--seed=3"])
def test_a_word_that_sets_nothing_is_refused(tmp_path: Path, word: str) -> None:
    assert "key=value" in refused(write(tmp_path / "s.yaml", "kind: strict\n"), word) or word.startswith("-")


def test_every_key_that_was_not_given_is_named(tmp_path: Path) -> None:
    line = refused(write(tmp_path / "s.yaml", "kind: strict\n"))
    assert "other, source not given" in line
    assert "add other=… source=…" in line


def test_a_required_place_given_empty_is_not_given(tmp_path: Path) -> None:
    assert "source" in refused(write(tmp_path / "s.yaml", "kind: strict\n"), "source=", "other=1")


def test_local_paths_become_absolute_and_addresses_stay(
    plain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(JOBS, plain, ["out=here/there"]).out == str(tmp_path / "here/there")
    assert load(JOBS, plain, ["out=s3://bucket/there/"]).out == "s3://bucket/there"


def test_credentials_in_a_place_are_refused_before_anything_could_print_them(plain: str) -> None:
    line = refused(plain, "out=s3://AKIAEXAMPLE:topsecret@bucket/x")
    assert "credentials" in line
    assert "topsecret" not in line
    assert "AKIAEXAMPLE" not in line


def test_a_bare_word_sets_the_positional_key(plain: str) -> None:
    assert load(JOBS, plain, ["hello", "seed=3"]).title == "hello"


def test_a_bare_word_is_refused_where_no_key_is_positional(plain: str) -> None:
    with pytest.raises(UserError, match="'hello' is not of the form key=value"):
        load(dataclasses.replace(JOBS, positional=""), plain, ["hello"])


def test_a_config_extends_another(tmp_path: Path) -> None:
    base = write(tmp_path / "base.yaml", "kind: plain\nseed: 1\nratio: 0.25\nwords: [a, b]\noptimiser: {name: sgd}\n")
    child = write(tmp_path / "child.yaml", f"extends: {base}\nseed: 2\nwords: [c]\noptimiser: {{learning_rate: 0.5}}\n")
    config = load(JOBS, child, ["ratio=0.75"])
    assert (config.seed, config.ratio, config.words) == (2, 0.75, ["c"])
    assert config.optimiser == Optimiser(0.5, "sgd")


def test_a_file_extends_a_neighbour_wherever_the_command_is_typed(tmp_path: Path) -> None:
    write(tmp_path / "base.yaml", "kind: plain\nseed: 7\n")
    assert load(JOBS, write(tmp_path / "child.yaml", "extends: base.yaml\n"), []).seed == 7


def test_configs_that_extend_each_other_in_a_circle_are_refused(tmp_path: Path) -> None:
    a, b = tmp_path / "a.yaml", tmp_path / "b.yaml"
    write(a, f"kind: plain\nextends: {b}\n")
    write(b, f"kind: plain\nextends: {a}\n")
    assert "circle" in refused(str(a))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "kind is None"),
        ("kind: plan\n", "did you mean 'plain'"),
        ("kind: [plain]\n", "kind is ['plain'], not one of plain, strict"),
        ("- a\n- b\n", "holds no keys"),
        ("kind: plain\nseed: [1\n", "not readable as YAML"),
        ("kind: plain\nkind: strict\n", "not readable as YAML"),
        ("kind: plain\nseed: ${nowhere}\n", "nowhere"),
    ],
)
def test_a_file_that_is_no_config_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    name = write(tmp_path / "broken.yaml", text)
    line = refused(name)
    assert name in line
    assert said in line


@pytest.mark.parametrize("text", ["kind: nothing\n", "seed: 1\n", "kind: {a: b}\n"])
def test_help_for_a_file_without_a_known_kind_is_a_user_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="not one of plain, strict"):
        schema_of(JOBS, write(tmp_path / "broken.yaml", text))


def test_a_missing_file_is_named() -> None:
    assert refused("nowhere/x.yaml") == "nowhere/x.yaml: no such file; check the path"


def test_an_unknown_name_gets_the_shipped_ones_and_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no config named 'sc9' for ingest; choose one of .*sc09.*did you mean 'sc09'"):
        load(Catalogue("ingest", "corpus", {}), "sc9", [])


def test_the_selector_is_not_overridden(plain: str) -> None:
    assert "kind is what the config's name chose" in refused(plain, "kind=strict")


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['touch {mark}']",
        "!!python/object/apply:pathlib.Path.touch [{mark}]",
        "!!python/object/new:subprocess.Popen [[touch, '{mark}']]",
        "!!python/name:os.system",
        "!!python/module:antigravity",
    ],
)
@pytest.mark.parametrize("place", ["file", "command line"])
def test_a_python_tag_is_refused_and_not_executed(tmp_path: Path, plain: str, tag: str, place: str) -> None:
    mark = tmp_path / "executed"
    value = tag.format(mark=mark)
    if place == "file":
        refused(write(tmp_path / "evil.yaml", f"kind: plain\ntitle: {value}\n"))
    else:
        refused(plain, f"title={value}")
    assert not mark.exists()


@pytest.mark.parametrize(
    "value",
    [
        "${oc.env:INVERTONE_TEST_SECRET}",
        "x-${oc.env:INVERTONE_TEST_SECRET,none}-y",
        "${oc.${note}:INVERTONE_TEST_SECRET}",
        "${oc.decode:${oc.env:INVERTONE_TEST_SECRET}}",
    ],
)
@pytest.mark.parametrize("place", ["file", "command line", "base", "list"])
def test_a_config_cannot_pull_the_environment_into_a_run_folder(
    tmp_path: Path, plain: str, monkeypatch: pytest.MonkeyPatch, value: str, place: str
) -> None:
    monkeypatch.setenv("INVERTONE_TEST_SECRET", "hunter2")
    text = f'kind: plain\nnote: env\ntitle: "{value}"\n'
    if place == "file":
        line = refused(write(tmp_path / "f.yaml", text))
    elif place == "base":
        base = write(tmp_path / "base.yaml", text)
        line = refused(write(tmp_path / "f.yaml", f"extends: {base}\nseed: 1\n"))
    elif place == "list":
        line = refused(write(tmp_path / "f.yaml", f'kind: plain\nnote: env\nwords: [a, "{value}"]\n'))
    else:
        line = refused(plain, "note=env", f"title={value}")
    assert "hunter2" not in line
    assert "write the value out" in line


def test_a_value_may_refer_to_another_key(plain: str) -> None:
    assert load(JOBS, plain, ["seed=5", "title=run-${seed}"]).title == "run-5"


def test_a_regular_expression_with_a_dollar_sign_passes(plain: str) -> None:
    assert load(JOBS, plain, ["title='(?P<label>[^/]+)_x{2}:$'"]).title == "(?P<label>[^/]+)_x{2}:$"


def test_places_and_worker_counts_are_not_decisive(plain: str) -> None:
    values = decisive(load(JOBS, plain, ["out=elsewhere"]))
    assert "out" not in values
    assert values["optimiser.learning_rate"] == 1e-3


def test_help_shows_every_key_with_default_and_choices() -> None:
    rows = {name: (kind, default, text) for name, kind, default, text in describe(Job)}
    assert rows["kind"][1] == "required"
    assert rows["limit"][:2] == ("int?", "none")
    assert "adam | sgd" in rows["optimiser.name"][2]
    assert set(rows) == set(_flat(as_dict(build(Job, {"kind": "plain"}, {}, "test"))))


def _flat(values: dict[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, value in values.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
    return found


@pytest.mark.parametrize("stage", ["ingest", "corpus"])
def test_every_shipped_config_loads_once_its_places_are_given(stage: str) -> None:
    import importlib

    catalogue = importlib.import_module(
        "invertone.ingest.config" if stage == "ingest" else "invertone.ingest.obtain.config"
    ).CATALOGUE
    for name in names(stage):
        given = ["out=runs/x"] + (["source=here"] if stage == "ingest" else [])
        given += ["pattern='(?P<label>x)'"] if name == "folder" else []
        if stage == "corpus" and name == "fetch":
            continue
        assert load(catalogue, name, given).out.endswith("runs/x")
