"""Our own rules for deployment files: nothing public, a token always, no credentials, pinned versions that agree."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Problem = tuple[str, str]
"""Where (a dotted path) and what."""

OURS = {"app.kubernetes.io/part-of": "invertone"}
"""The label by which the NetworkPolicy knows the cluster's pods."""
PLACEHOLDER = re.compile(r"fill-in-[a-z]+(?:-[a-z]+)*")
SECRET_NAMES = re.compile(r"SECRET|TOKEN|PASSWORD|ACCESS_KEY|CREDENTIAL|API_?KEY", re.IGNORECASE)
SECRET_VALUES = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY|\bgh[pousr]_[A-Za-z0-9]{30,}|://[^/\s:@]+:[^/\s@]+@"
)
ASSIGNMENT = re.compile(r"\b([A-Z][A-Z0-9_]*)=(\S+)")
IMAGE = re.compile(r"^(?P<name>\S+/invertone):(?P<invertone>[0-9.]+)-ray(?P<ray>[0-9.]+)-py(?P<python>[0-9.]+)$")
FORBIDDEN: dict[str, tuple[Any, ...]] = {
    "serviceType": ("LoadBalancer", "NodePort"),
    "enableIngress": (True,),
    "hostNetwork": (True,),
    "hostPID": (True,),
    "hostIPC": (True,),
    "privileged": (True,),
    "allowPrivilegeEscalation": (True,),
}
LABELS = {"*": str}
FIELDS: dict[str, Any] = {
    "Namespace": {"apiVersion": str, "kind": str, "metadata": {"name": str, "labels": LABELS}},
    "ServiceAccount": {
        "apiVersion": str,
        "kind": str,
        "metadata": {"name": str, "namespace": str, "annotations": LABELS, "labels": LABELS},
        "automountServiceAccountToken": bool,
    },
    "NetworkPolicy": {
        "apiVersion": str,
        "kind": str,
        "metadata": {"name": str, "namespace": str, "labels": LABELS},
        "spec": {
            "podSelector": {"matchLabels": LABELS},
            "policyTypes": [str],
            "ingress": [
                {
                    "from": [{"podSelector": {"matchLabels": LABELS}, "namespaceSelector": {"matchLabels": LABELS}}],
                    "ports": [{"port": int, "protocol": str}],
                }
            ],
        },
    },
}
"""Fields of Kubernetes' own objects that we use, with their types: a closed list of ours, not Kubernetes' schemas."""
API_VERSIONS = {"Namespace": "v1", "ServiceAccount": "v1", "NetworkPolicy": "networking.k8s.io/v1"}


@dataclass(frozen=True)
class Versions:
    """What every image and manifest must name. python: the minor version, such as 3.11."""

    invertone: str
    ray: str
    python: str


def dotted(path: Iterable[str | int]) -> str:
    """`spec.containers[0].env`; brackets for what is no plain name."""
    text = ""
    for part in path:
        plain = isinstance(part, str) and re.fullmatch(r"[\w-]+", part)
        text += f".{part}" if plain else f"[{part}]"
    return text.removeprefix(".")


def walk(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every value of a document with its path, parents first."""
    yield path, node
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from walk(value, (*path, key))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from walk(value, (*path, number))


def placeholders(document: Any) -> Iterator[str]:
    """The words that a user still has to replace."""
    for _, value in walk(document):
        if isinstance(value, str):
            yield from PLACEHOLDER.findall(value)


def problems(document: Mapping[str, Any], versions: Versions) -> Iterator[Problem]:
    """What our rules say against a document of any kind."""
    for path, value in walk(document):
        where = dotted(path)
        name = path[-1] if path else ""
        if name in FORBIDDEN and value in FORBIDDEN[str(name)]:
            yield where, f"{name} must not be {value}: the job API runs whatever it is sent"
        if name in ("hostPort", "ingressOptions"):
            yield where, f"{name} makes a port public: the job API runs whatever it is sent"
        if isinstance(value, str):
            yield from _secrets(where, value)
            if name == "image" or (str(name).endswith("_image") and "docker" in path):
                yield from _image(where, value, versions)
        if isinstance(value, Mapping):
            if isinstance(value.get("name"), str) and isinstance(value.get("value"), str) and name != "metadata":
                yield from _named(f"{where}.value", value["name"], value["value"])
            if "headGroupSpec" in value:
                yield from _ray_cluster(path, value, versions)
            if "containers" in value:
                yield from _pod(path, value)
    if document.get("kind") == "NetworkPolicy":
        yield from _network_policy(document)


def _secrets(where: str, text: str) -> Iterator[Problem]:
    if SECRET_VALUES.search(text):
        yield where, "holds what looks like a credential; give a role or a secret's name"
    for name, value in ASSIGNMENT.findall(text):
        yield from _named(where, name, value)


def _named(where: str, name: str, value: str) -> Iterator[Problem]:
    """A value under a name such as AWS_SECRET_ACCESS_KEY. The path of a file that holds a token is none."""
    if SECRET_NAMES.search(name) and not name.upper().endswith(("_PATH", "_FILE")) and not value.startswith("$"):
        yield where, f"{name} is a credential; give a role or a secret's name, never a value"


def _image(where: str, image: str, versions: Versions) -> Iterator[Problem]:
    found = IMAGE.match(image)
    if not found:
        yield where, f"{image} is not of the form REGISTRY/invertone:VERSION-rayVERSION-pyVERSION"
        return
    for name in ("invertone", "ray", "python"):
        if found[name] != getattr(versions, name):
            yield where, f"{name} is {found[name]} in the image's tag, {getattr(versions, name)} is pinned"


def _ray_cluster(path: tuple[str | int, ...], spec: Mapping[str, Any], versions: Versions) -> Iterator[Problem]:
    if spec.get("authOptions", {}).get("mode") != "token":
        yield dotted((*path, "authOptions", "mode")), "must be token: without one whoever reaches the job API runs code"
    if str(spec.get("rayVersion")) != versions.ray:
        yield dotted((*path, "rayVersion")), f"is {spec.get('rayVersion')}, Ray {versions.ray} is pinned"
    head = spec["headGroupSpec"]
    parameters = head.get("rayStartParams", {})
    if parameters.get("num-cpus") != "0":
        yield (
            dotted((*path, "headGroupSpec", "rayStartParams", "num-cpus")),
            'must be "0": work would starve the driver',
        )
    groups = [((*path, "headGroupSpec"), head)]
    groups += [
        ((*path, "workerGroupSpecs", number), each) for number, each in enumerate(spec.get("workerGroupSpecs", []))
    ]
    for at, group in groups:
        labels = group.get("template", {}).get("metadata", {}).get("labels", {})
        if not OURS.items() <= labels.items():
            yield (
                dotted((*at, "template", "metadata", "labels")),
                f"lacks {OURS}, by which the NetworkPolicy knows its pods",
            )


def _pod(path: tuple[str | int, ...], spec: Mapping[str, Any]) -> Iterator[Problem]:
    if not spec.get("securityContext", {}).get("runAsNonRoot"):
        yield dotted((*path, "securityContext", "runAsNonRoot")), "must be true"
    if "serviceAccountName" not in spec:
        yield dotted((*path, "serviceAccountName")), "is missing: the bucket's rights come with it"
    for number, container in enumerate(spec["containers"]):
        at = (*path, "containers", number)
        resources = container.get("resources", {})
        asked, most = (resources.get(kind, {}).get("memory") for kind in ("requests", "limits"))
        if asked is None or asked != most:
            yield dotted((*at, "resources")), f"memory asked for ({asked}) and limit ({most}) must be there and agree"
        if container.get("securityContext", {}).get("allowPrivilegeEscalation") is not False:
            yield dotted((*at, "securityContext", "allowPrivilegeEscalation")), "must be false"


def _network_policy(document: Mapping[str, Any]) -> Iterator[Problem]:
    spec = document.get("spec", {})
    if "Ingress" not in spec.get("policyTypes", []):
        yield "spec.policyTypes", "must name Ingress"
    if spec.get("podSelector", {}).get("matchLabels") != OURS:
        yield "spec.podSelector.matchLabels", f"must be {OURS}, the label of the cluster's pods"
    for number, rule in enumerate(spec.get("ingress", [])):
        where = f"spec.ingress[{number}].from"
        if not rule.get("from"):
            yield where, "is empty, which lets everybody in"
        for peer in rule.get("from") or []:
            if not peer or any(not selector.get("matchLabels") for selector in peer.values()):
                yield where, "an empty selector lets everybody in"


# ---------------------------------------------------------------------- Kubernetes' own objects


def kubernetes_problems(document: Mapping[str, Any]) -> Iterator[Problem]:
    """By the closed list above: that names and types are such as we use. Kubernetes knows many more."""
    kind = document.get("kind")
    if kind not in FIELDS:
        yield "kind", f"{kind} is none of {', '.join((*FIELDS, 'RayCluster', 'RayJob'))}"
        return
    if document.get("apiVersion") != API_VERSIONS[str(kind)]:
        yield "apiVersion", f"must be {API_VERSIONS[str(kind)]}"
    if not isinstance(document.get("metadata"), Mapping) or "name" not in document["metadata"]:
        yield "metadata.name", "is missing"
    yield from _unlike(document, FIELDS[str(kind)], ())


def _unlike(value: Any, fields: Any, path: tuple[str | int, ...]) -> Iterator[Problem]:
    if isinstance(fields, type):
        if not isinstance(value, fields) or (fields is int and isinstance(value, bool)):
            yield dotted(path), f"{value!r} is not of type {fields.__name__}"
    elif isinstance(fields, list):
        if not isinstance(value, list):
            yield dotted(path), f"{value!r} is no list"
            return
        for number, each in enumerate(value):
            yield from _unlike(each, fields[0], (*path, number))
    elif not isinstance(value, Mapping):
        yield dotted(path), f"{value!r} is no mapping"
    else:
        for name, each in value.items():
            known = fields.get(name, fields.get("*"))
            if known is None:
                yield dotted((*path, name)), "is no field that we know here"
            else:
                yield from _unlike(each, known, (*path, name))
