"""`ray up` files: Ray's own validation, the parts of it that need no cloud, and AWS's as far as its client library knows it."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from invertone.cluster.deploy.rules import Problem, dotted

CREATED_BY_RAY = {"MinCount": 1, "MaxCount": 1}
TOKEN = "RAY_AUTH_TOKEN_PATH="  # noqa: S105 (the name of a variable that names a file)


def prepared(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """`config` as Ray fills it up with its defaults, by which it would go public; None where Ray cannot."""
    from ray.autoscaler._private.util import prepare_config

    try:
        return dict(prepare_config(copy.deepcopy(dict(config))))
    except Exception:
        return None


def problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """What Ray says against it, and our rules for such files."""
    import jsonschema
    from ray.autoscaler._private.util import prepare_config, validate_config

    try:
        full = prepare_config(copy.deepcopy(dict(config)))
        validate_config(full)
    except jsonschema.ValidationError as error:
        yield dotted(error.absolute_path), error.message[:200]
        return
    except Exception as error:  # Ray raises what comes: KeyError, AssertionError, ClickException
        yield "", f"Ray refuses it: {type(error).__name__}: {error}"
        return
    yield from _token(full)
    yield from _commands(full)
    if full["provider"]["type"] == "aws":
        yield from _aws(full)


def _token(config: Mapping[str, Any]) -> Iterator[Problem]:
    """The image says RAY_AUTH_MODE=token; every container must be told where the token lies, and have it there."""
    options = [str(each) for each in config.get("docker", {}).get("run_options", [])]
    paths = [each.partition(TOKEN)[2] for each in options if TOKEN in each]
    if not paths:
        yield "docker.run_options", f"must tell {TOKEN}…: without a token whoever reaches the job API runs code"
    elif not any(paths[0].startswith(f"{folder}/") for folder in config.get("file_mounts", {})):
        yield "file_mounts", f"must bring the folder of {paths[0]}"


def _commands(config: Mapping[str, Any]) -> Iterator[Problem]:
    for number, command in enumerate(config.get("head_start_ray_commands", [])):
        for host in re.findall(r"--dashboard-host[= ](\S+)", command):
            if host not in ("127.0.0.1", "localhost"):
                yield (
                    f"head_start_ray_commands[{number}]",
                    f"dashboard-host is {host}; it must be 127.0.0.1, behind a tunnel",
                )
    joined = "\n".join(config.get("head_start_ray_commands", []))
    if "ray start" in joined and "--num-cpus=0" not in joined:
        yield "head_start_ray_commands", "must say --num-cpus=0: work would starve the driver"


def _aws(config: Mapping[str, Any]) -> Iterator[Problem]:
    if not config["provider"].get("use_internal_ips"):
        yield "provider.use_internal_ips", "must be true: no node has a public address"
    if "security_group" in config["provider"]:
        yield "provider.security_group", "Ray would open SSH to the world in it; give SecurityGroupIds of your own"
    for name, kind in config["available_node_types"].items():
        at = ("available_node_types", name, "node_config")
        node = kind["node_config"]
        if not node.get("SecurityGroupIds"):
            yield dotted((*at, "SecurityGroupIds")), "is missing: Ray would make a group that opens SSH to the world"
        if not node.get("IamInstanceProfile"):
            yield dotted((*at, "IamInstanceProfile")), "is missing: the bucket's rights come with it"
        yield from _unlike_aws(node, at)


def _unlike_aws(node: Mapping[str, Any], at: tuple[str, ...]) -> Iterator[Problem]:
    """Against the parameters of RunInstances, to which Ray hands them (it chooses one of SubnetIds)."""
    from botocore.validate import ParamValidator

    asked = {key: value for key, value in node.items() if key != "SubnetIds"} | CREATED_BY_RAY
    report = ParamValidator().validate(asked, _run_instances())
    if report.has_errors():
        for line in report.generate_report().splitlines():
            yield dotted(at), line[:200]


@functools.cache
def _run_instances() -> Any:
    """What the request takes, from the description of the API that comes with its client library."""
    import botocore.session

    return botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
