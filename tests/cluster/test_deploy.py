"""Deployment files: as delivered they are good; whatever is broken in them on purpose is found, and its place is named."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from invertone.cluster.deploy import check as checking
from invertone.cluster.deploy.check import check, closed, main, schema_problems
from invertone.cluster.deploy.rules import Versions, walk

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "cluster" / "deploy"
SCHEMAS = ROOT.parent / "shared" / "schemas"
FILES = sorted(DEPLOY.glob("*.yaml"))
Document = dict[str, Any]
Break = Callable[[Document], None]


def pinned(package: str) -> str:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return next(line.partition("==")[2] for line in lines if line.partition("==")[0] == package)


def project() -> Document:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


VERSIONS = Versions(project()["project"]["version"], pinned("ray"), project()["tool"]["mypy"]["python_version"])


@pytest.fixture(scope="session")
def schemas() -> Path:
    if not SCHEMAS.is_dir():
        pytest.skip("no schemas of KubeRay here: ../shared/schemas is missing")
    return SCHEMAS


def broken(tmp_path: Path, name: str, kind: str, change: Break, schemas: Path | None = None) -> list[str]:
    """The problems of a file of ours whose document of `kind` was changed."""
    documents = list(yaml.safe_load_all((DEPLOY / name).read_text()))
    chosen = unalias(next(each for each in documents if each.get("kind", "") == kind))
    change(chosen)
    path = tmp_path / name
    path.write_text(yaml.safe_dump(chosen))
    return check(path, VERSIONS, schemas).problems


def unalias(document: Document) -> Document:
    """A copy in which no part stands in two places, so that one place can be changed."""
    made: Document = json.loads(json.dumps(document))
    return made


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_our_files_are_good(path: Path) -> None:
    found = check(path, VERSIONS, SCHEMAS if SCHEMAS.is_dir() else None)
    assert found.problems == []
    assert found.placeholders


def test_our_files_hold_to_kuberay_s_schemas(schemas: Path) -> None:
    for name in ("raycluster.yaml", "rayjob.yaml"):
        assert check(DEPLOY / name, VERSIONS, schemas).problems == []


def test_every_placeholder_is_listed_in_the_readme() -> None:
    listed = set(re.findall(r"`(fill-in-[a-z-]+)`", (DEPLOY / "README.md").read_text()))
    assert listed == {word for path in FILES for word in check(path, VERSIONS).placeholders}


def spec(document: Document) -> Document:
    """The cluster's, in a RayCluster and in a RayJob."""
    inner: Document = document["spec"].get("rayClusterSpec", document["spec"])
    return inner


def head(document: Document) -> Document:
    pod: Document = spec(document)["headGroupSpec"]["template"]["spec"]
    return pod


def container(document: Document) -> Document:
    first: Document = head(document)["containers"][0]
    return first


def group(document: Document) -> Document:
    last: Document = spec(document)["workerGroupSpecs"][-1]
    return last


SCHEMA_BREAKS: dict[str, tuple[Break, str]] = {
    "unknown field at the top": (lambda d: d["spec"].update(rayVersoin="2.60.0"), "rayVersoin"),
    "unknown field in a pod": (
        lambda d: head(d).update(serviceAcountName="x"),
        "headGroupSpec.template.spec: Additional",
    ),
    "unknown field in a container": (
        lambda d: container(d).update(volumeMount=[]),
        "headGroupSpec.template.spec.containers[0]: Additional",
    ),
    "unknown field of a worker": (
        lambda d: group(d)["template"]["spec"]["containers"][0]["resources"].update(request={}),
        "workerGroupSpecs",
    ),
    "a number where text belongs": (
        lambda d: spec(d)["headGroupSpec"]["rayStartParams"].update({"num-cpus": 0}),
        "headGroupSpec.rayStartParams.num-cpus: 0 is not of type 'string'",
    ),
    "text where a number belongs": (
        lambda d: group(d).update(minReplicas="many"),
        "minReplicas: 'many' is not of type",
    ),
    "a version of the autoscaler that is none": (
        lambda d: spec(d)["autoscalerOptions"].update(version="v3"),
        "autoscalerOptions.version: 'v3' is not one of",
    ),
}


@pytest.mark.parametrize("kind", ["RayCluster", "RayJob"])
@pytest.mark.parametrize("name", SCHEMA_BREAKS)
def test_what_kuberay_does_not_know_is_refused_with_its_path(
    name: str, kind: str, tmp_path: Path, schemas: Path
) -> None:
    change, said = SCHEMA_BREAKS[name]
    found = broken(tmp_path, f"{kind.lower()}.yaml", kind, change, schemas)
    assert len(found) >= 1 and any(said in line for line in found), found
    assert all(kind in line for line in found)


RULE_BREAKS: dict[str, tuple[Break, str]] = {
    "public service": (
        lambda d: spec(d)["headGroupSpec"].update(serviceType="LoadBalancer"),
        "headGroupSpec.serviceType: serviceType must not be LoadBalancer",
    ),
    "node port": (lambda d: spec(d)["headGroupSpec"].update(serviceType="NodePort"), "headGroupSpec.serviceType"),
    "ingress": (lambda d: spec(d)["headGroupSpec"].update(enableIngress=True), "headGroupSpec.enableIngress"),
    "host port": (lambda d: container(d)["ports"][1].update(hostPort=8265), "containers[0].ports[1].hostPort"),
    "host network": (lambda d: head(d).update(hostNetwork=True), "headGroupSpec.template.spec.hostNetwork"),
    "privileged": (lambda d: container(d)["securityContext"].update(privileged=True), "securityContext.privileged"),
    "root": (lambda d: head(d)["securityContext"].update(runAsNonRoot=False), "spec.securityContext.runAsNonRoot"),
    "no token": (lambda d: spec(d).pop("authOptions"), "authOptions.mode: must be token"),
    "token disabled": (lambda d: spec(d)["authOptions"].update(mode="disabled"), "authOptions.mode: must be token"),
    "work on the head": (lambda d: spec(d)["headGroupSpec"]["rayStartParams"].pop("num-cpus"), "num-cpus: must be"),
    "a key in env": (
        lambda d: container(d).update(env=[{"name": "AWS_SECRET_ACCESS_KEY", "value": "planted"}]),
        "containers[0].env[0].value: AWS_SECRET_ACCESS_KEY is a credential",
    ),
    "a key under another name": (
        lambda d: container(d).update(env=[{"name": "NOTE", "value": "AKIA" + "A1" * 8}]),
        "containers[0].env[0].value: holds what looks like a credential",
    ),
    "an address with a password": (
        lambda d: container(d).update(args=["https://me:planted@example.org/x"]),
        "containers[0].args[0]: holds what looks like a credential",
    ),
    "another ray": (lambda d: spec(d).update(rayVersion="2.59.0"), "rayVersion: is 2.59.0, Ray 2.60.0 is pinned"),
    "an image of another ray": (
        lambda d: container(d).update(image="registry/invertone:0.1.0-ray2.59.0-py3.11"),
        "containers[0].image: ray is 2.59.0",
    ),
    "an image of another python": (
        lambda d: group(d)["template"]["spec"]["containers"][0].update(image="r/invertone:0.1.0-ray2.60.0-py3.12"),
        "template.spec.containers[0].image: python is 3.12",
    ),
    "an image without a version": (
        lambda d: container(d).update(image="registry/invertone:latest"),
        "is not of the form",
    ),
    "memory without a limit": (
        lambda d: group(d)["template"]["spec"]["containers"][0]["resources"]["limits"].pop("memory"),
        "containers[0].resources: memory asked for (28Gi) and limit (None)",
    ),
    "pods that the policy does not know": (
        lambda d: group(d)["template"]["metadata"].update(labels={}),
        "template.metadata.labels: lacks",
    ),
    "the default account": (lambda d: head(d).pop("serviceAccountName"), "spec.serviceAccountName: is missing"),
}


@pytest.mark.parametrize("kind", ["RayCluster", "RayJob"])
@pytest.mark.parametrize("name", RULE_BREAKS)
def test_what_our_rules_forbid_is_found_with_its_path(name: str, kind: str, tmp_path: Path) -> None:
    change, said = RULE_BREAKS[name]
    found = broken(tmp_path, f"{kind.lower()}.yaml", kind, change)
    assert len(found) == 1 and said in found[0], found


ACCESS_BREAKS: dict[str, tuple[str, Break, str]] = {
    "unknown field": ("NetworkPolicy", lambda d: d["spec"].update(ingres=[]), "spec.ingres: is no field"),
    "wrong type": (
        "NetworkPolicy",
        lambda d: d["spec"]["ingress"][1]["ports"][0].update(port="all"),
        "spec.ingress[1].ports[0].port: 'all' is not of type int",
    ),
    "everybody": ("NetworkPolicy", lambda d: d["spec"]["ingress"][1].pop("from"), "spec.ingress[1].from: is empty"),
    "every namespace": (
        "NetworkPolicy",
        lambda d: d["spec"]["ingress"][1].update({"from": [{"namespaceSelector": {"matchLabels": {}}}]}),
        "spec.ingress[1].from: an empty selector",
    ),
    "no ingress policy": ("NetworkPolicy", lambda d: d["spec"].update(policyTypes=["Egress"]), "spec.policyTypes"),
    "other pods": (
        "NetworkPolicy",
        lambda d: d["spec"]["podSelector"].update(matchLabels={"app": "x"}),
        "spec.podSelector.matchLabels: must be",
    ),
    "another version of the API": ("ServiceAccount", lambda d: d.update(apiVersion="v2"), "apiVersion: must be v1"),
    "an annotation that is a list": (
        "ServiceAccount",
        lambda d: d["metadata"].update(annotations={"a": []}),
        "metadata.annotations.a: [] is not of type str",
    ),
    "no name": ("Namespace", lambda d: d["metadata"].pop("name"), "metadata.name: is missing"),
    "a service of ours": ("Namespace", lambda d: d.update(kind="Service"), "kind: Service is none of"),
}


@pytest.mark.parametrize("name", ACCESS_BREAKS)
def test_what_lets_others_in_is_found(name: str, tmp_path: Path) -> None:
    kind, change, said = ACCESS_BREAKS[name]
    found = broken(tmp_path, "access.yaml", kind, change)
    assert len(found) == 1 and said in found[0], found


def node(document: Document, name: str = "gpu") -> Document:
    config: Document = document["available_node_types"][name]["node_config"]
    return config


def command(document: Document, text: str) -> None:
    document["head_start_ray_commands"][-1] = text


UP_BREAKS: dict[str, tuple[str, Break, str]] = {
    "unknown key": ("both", lambda d: d.update(max_wokers=3), "max_wokers"),
    "wrong type": ("both", lambda d: d.update(upscaling_speed="fast"), "upscaling_speed: 'fast' is not of type"),
    "no provider type": ("aws", lambda d: d["provider"].pop("type"), "Ray refuses it"),
    "unknown key of a node type": (
        "aws",
        lambda d: d["available_node_types"]["gpu"].update(min_worker=1),
        "available_node_types.gpu: Additional",
    ),
    "resources that are no number": (
        "aws",
        lambda d: d["available_node_types"]["gpu"]["resources"].update(GPU="one"),
        "available_node_types.gpu.resources.GPU: 'one' is not of type",
    ),
    "another head": ("aws", lambda d: d.update(head_node_type="haed"), "head_node_type"),
    "a parameter that AWS does not know": (
        "aws",
        lambda d: node(d).update(InstanceTyp="g6.2xlarge"),
        'available_node_types.gpu.node_config: Unknown parameter in input: "InstanceTyp"',
    ),
    "a parameter of the wrong type": (
        "aws",
        lambda d: node(d).update(SecurityGroupIds="sg-1"),
        "Invalid type for parameter SecurityGroupIds",
    ),
    "public addresses": ("aws", lambda d: d["provider"].update(use_internal_ips=False), "provider.use_internal_ips"),
    "a group of Ray's": ("aws", lambda d: node(d).pop("SecurityGroupIds"), "gpu.node_config.SecurityGroupIds"),
    "rules for a group of Ray's": (
        "aws",
        lambda d: d["provider"].update(security_group={"GroupName": "x"}),
        "provider.security_group",
    ),
    "no profile": (
        "aws",
        lambda d: node(d, "ingest").pop("IamInstanceProfile"),
        "ingest.node_config.IamInstanceProfile",
    ),
    "dashboard on every interface": (
        "both",
        lambda d: command(d, "ray start --head --num-cpus=0 --dashboard-host=0.0.0.0"),
        "head_start_ray_commands[1]: dashboard-host is 0.0.0.0",
    ),
    "work on the head": ("both", lambda d: command(d, "ray start --head"), "must say --num-cpus=0"),
    "no token": (
        "both",
        lambda d: d["docker"].update(run_options=[]),
        "docker.run_options: must tell RAY_AUTH_TOKEN_PATH",
    ),
    "a token that is not brought": ("both", lambda d: d.update(file_mounts={}), "file_mounts: must bring"),
    "a key in env": (
        "both",
        lambda d: d["docker"]["run_options"].append("--env AWS_SECRET_ACCESS_KEY=planted"),
        "AWS_SECRET_ACCESS_KEY is a credential",
    ),
    "a token in a command": (
        "both",
        lambda d: command(d, "RAY_AUTH_TOKEN=planted ray start --head --num-cpus=0"),
        "head_start_ray_commands[1]: RAY_AUTH_TOKEN is a credential",
    ),
    "an image of another ray": (
        "both",
        lambda d: d["docker"].update(image="r/invertone:0.1.0-ray2.61.0-py3.11"),
        "docker.image: ray is 2.61.0",
    ),
}


@pytest.mark.parametrize("file", ["aws", "onprem"])
@pytest.mark.parametrize("name", UP_BREAKS)
def test_what_is_wrong_with_a_ray_up_file_is_found(name: str, file: str, tmp_path: Path) -> None:
    which, change, said = UP_BREAKS[name]
    if which not in ("both", file):
        return
    found = broken(tmp_path, f"{file}.yaml", "", change)
    assert len(found) == 1 and said in found[0], found


def test_ray_s_own_defaults_would_be_found_too(tmp_path: Path) -> None:
    """Where a file says nothing, Ray fills in a dashboard on every interface."""
    found = broken(tmp_path, "aws.yaml", "", lambda d: d.pop("head_start_ray_commands"))
    assert any("dashboard-host is 0.0.0.0" in line for line in found)


def test_the_schema_is_closed_where_it_names_fields_and_open_where_it_says_so() -> None:
    made = closed(
        {
            "properties": {
                "properties": {"type": "string"},  # a field of that name
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"a": {}}},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "port": {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True},
                "deep": {"items": {"properties": {"a": {"type": "integer"}}, "type": "object"}, "type": "array"},
            },
            "type": "object",
        }
    )
    good = {"properties": "x", "free": {"b": 1}, "labels": {"any": "x"}, "port": "http", "deep": [{"a": 1}]}
    assert list(schema_problems(made, good)) == [] and list(schema_problems(made, {"port": 80})) == []
    for bad, where in (
        ({"other": 1}, ""),
        ({"labels": {"any": 1}}, "labels.any"),
        ({"port": 1.5}, "port"),
        ({"deep": [{"a": 1}, {"b": 1}]}, "deep[1]"),
    ):
        assert [place for place, _ in schema_problems(made, bad)] == [where]


# ---------------------------------------------------------------------- versions, image, package


def test_dockerfile_and_pins_agree() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    python = re.search(r"^ARG PYTHON=(\S+)$", text, re.MULTILINE)
    assert python and python[1].rpartition(".")[0] == VERSIONS.python
    assert f"invertone:{VERSIONS.invertone}-ray{VERSIONS.ray}-py{VERSIONS.python} ." in text
    assert re.search(r"^FROM python:\$\{PYTHON\}-slim", text, re.MULTILINE)
    installs = re.findall(r"pip install .*", text)
    assert installs and all("--constraint constraints.txt" in each for each in installs)
    assert pinned("torch") == pinned("torchaudio")


def test_the_image_runs_as_nobody_in_particular_and_holds_no_secret() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("USER")] == ["USER ray"]
    assert "RAY_AUTH_MODE=token" in text
    assert not re.search(r"SECRET|PASSWORD|ACCESS_KEY|AUTH_TOKEN=", text)
    user = re.search(r"--uid (\d+)", text)
    pods = [
        value["runAsUser"]
        for name in ("raycluster.yaml", "rayjob.yaml")
        for _, value in walk(yaml.safe_load((DEPLOY / name).read_text()))
        if isinstance(value, dict) and "runAsUser" in value
    ]
    assert user and pods and set(pods) == {int(user[1])}


def test_the_image_gets_every_room_and_nothing_else_of_the_checkout() -> None:
    kept = re.findall(r"^!(\S+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    packages = {*project()["tool"]["setuptools"]["package-dir"].values(), "invertone"}
    assert set(kept) == packages | {"LICENSE", "README.md", "constraints.txt", "pyproject.toml"}
    assert all((ROOT / each).exists() for each in kept)


def test_the_files_come_with_the_package() -> None:
    tool = project()["tool"]["setuptools"]
    assert "invertone.cluster.deploy" in tool["packages"] and "*" in tool["package-data"]["invertone.cluster.deploy"]


# ---------------------------------------------------------------------- the command


def test_the_command_says_what_is_wrong_a_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "access.yaml"
    text = (DEPLOY / "access.yaml").read_text()
    path.write_text(text.replace("policyTypes: [Ingress]", "policyTypes: [Egress]"))
    assert main([str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{path}: NetworkPolicy: spec.policyTypes: must name Ingress"
    assert lines[1] == f"{path}: still to be filled in: fill-in-account" and len(lines) == 5
    path.write_text(re.sub("fill-in-[a-z-]+", "x", text))
    assert main([str(path)]) == 0 and capsys.readouterr().out == f"{path}: good\n"


def test_the_command_refuses_what_is_no_yaml_or_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text("a: [")
    assert main([str(tmp_path / "a.yaml")]) == 2 and main([str(tmp_path / "b.yaml")]) == 2
    assert [line.count("cannot be read as YAML") for line in capsys.readouterr().err.splitlines() if "a.yaml: " in line]
    (tmp_path / "c.yaml").write_text("")
    assert main([str(tmp_path / "c.yaml")]) == 1 and "is empty" in capsys.readouterr().out
    assert main([]) == 2 and main(["--schema"]) == 2


def test_the_command_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", checking.__name__, str(DEPLOY / "aws.yaml")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1 and "still to be filled in: fill-in-ami" in done.stdout and not done.stderr
