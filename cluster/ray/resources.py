"""What a cluster has, what a worker needs, and a refusal where the one does not hold the other: Ray would wait for ever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from invertone.cluster.errors import UserError

GIB = 2**30
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Node:
    """What Ray may give away on one machine. memory in bytes."""

    cpus: float
    gpus: float
    memory: float


@dataclass(frozen=True)
class Need:
    """What one worker needs. memory in bytes; 0 reserves none."""

    cpus: float
    gpus: float = 0.0
    memory: float = 0.0

    def on(self, node: Node) -> int:
        """How many such workers fit on a node."""
        pairs = ((self.cpus, node.cpus), (self.gpus, node.gpus), (self.memory, node.memory))
        return int(min((there / asked + _ROUNDING for asked, there in pairs if asked), default=0))

    def for_ray(self) -> dict[str, float]:
        """As Ray names resources."""
        named = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory}
        return {name: amount for name, amount in named.items() if amount}

    def __str__(self) -> str:
        parts = [_counted(self.cpus, "CPU"), _counted(self.gpus, "GPU") if self.gpus else ""]
        parts.append(f"{self.memory / GIB:.3g} GiB of memory" if self.memory else "")
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class Capacity:
    """What the cluster has in all, the CPUs of its largest node, and its nodes."""

    cpus: int
    gpus: int
    largest_node: int
    nodes: tuple[Node, ...]


def places(nodes: Sequence[Node], need: Need) -> int:
    """How many such workers the nodes hold together."""
    return sum(need.on(node) for node in nodes)


def refuse_unless(nodes: Sequence[Node], need: Need, workers: int) -> None:
    """Raises UserError, naming what is missing, where the nodes hold fewer than `workers`."""
    found = places(nodes, need)
    if found >= workers:
        return
    what = f"one worker needs {need}"
    if found:
        what = f"{workers} workers that need {need} each do not fit: there is room for {found}"
    listed = "; ".join(f"{count} of {node}" for node, count in _alike(nodes))
    raise UserError(
        f"{what}. Nodes: {listed or 'none'}",
        where="cluster",
        fix="lower workers, cpus_per_worker, gpus_per_worker or memory_per_worker, or add nodes (autoscaling=true waits "
        "for them)",
    )


def nodes_of(alive: Sequence[dict[str, Any]]) -> tuple[Node, ...]:
    """Ray's nodes, those that take work."""
    found = []
    for each in alive:
        amounts = each["Resources"]
        node = Node(amounts.get("CPU", 0.0), amounts.get("GPU", 0.0), amounts.get("memory", 0.0))
        if each["Alive"] and (node.cpus or node.gpus):
            found.append(node)
    return tuple(found)


def _alike(nodes: Sequence[Node]) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for node in nodes:
        name = str(Need(node.cpus, node.gpus, node.memory))
        counts[name] = counts.get(name, 0) + 1
    return list(counts.items())


def _counted(amount: float, name: str) -> str:
    return f"{amount:g} {name}{'' if amount == 1 else 's'}"
