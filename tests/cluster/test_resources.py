"""How many workers fit, what each gets, and what is refused: against placing them one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invertone.cluster.config.shared import WorkerConfig
from invertone.cluster.errors import UserError
from invertone.cluster.ray.resources import GIB, Capacity, Need, Node, nodes_of, places, refuse_unless
from invertone.cluster.ray.staffing import staffed

NODES = st.lists(
    st.builds(Node, cpus=st.integers(0, 64), gpus=st.integers(0, 8), memory=st.integers(0, 64).map(lambda n: n * GIB)),
    max_size=6,
)
NEEDS = st.builds(
    Need,
    cpus=st.integers(1, 8),
    gpus=st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0]),
    memory=st.integers(0, 8).map(lambda n: n * GIB),
)


def capacity(*nodes: Node) -> Capacity:
    cpus, gpus = (int(sum(each)) for each in ([n.cpus for n in nodes], [n.gpus for n in nodes]))
    return Capacity(cpus, gpus, max((int(n.cpus) for n in nodes), default=0), nodes)


@given(NODES, NEEDS)
def test_places_are_as_many_as_can_be_taken_one_by_one(nodes: list[Node], need: Need) -> None:
    taken = 0
    for node in nodes:
        cpus, gpus, memory = node.cpus, node.gpus, node.memory
        while cpus >= need.cpus and gpus >= need.gpus and memory >= need.memory:
            cpus, gpus, memory, taken = cpus - need.cpus, gpus - need.gpus, memory - need.memory, taken + 1
    assert places(nodes, need) == taken
    refuse_unless(nodes, need, taken)
    with pytest.raises(UserError, match=r"room for|one worker needs"):
        refuse_unless(nodes, need, taken + 1)


@given(NODES.filter(bool), st.integers(0, 20), st.integers(1, 20), st.sampled_from(["auto", "cpu"]))
def test_what_is_staffed_can_be_placed(nodes: list[Node], asked: int, jobs: int, device: str) -> None:
    there = capacity(*nodes)
    try:
        workers, need = staffed(WorkerConfig(), asked, jobs, device, there)
    except UserError:
        assert not any(node.cpus and (device == "cpu" or not there.gpus or node.gpus) for node in nodes)
        return
    assert 1 <= workers <= min(jobs, asked or workers) and places(nodes, need) >= workers
    assert (need.gpus > 0) == (device == "auto" and there.gpus > 0)


def test_defaults_fit_a_laptop_and_a_node_with_gpus() -> None:
    laptop, node = capacity(Node(8, 0, 16 * GIB)), capacity(Node(64, 8, 512 * GIB))
    assert staffed(WorkerConfig(), 0, 1_000, "auto", laptop) == (8, Need(1))
    assert staffed(WorkerConfig(), 0, 2, "auto", laptop) == (2, Need(4))
    assert staffed(WorkerConfig(), 0, 1_000, "auto", node) == (8, Need(8, 1.0))
    assert staffed(WorkerConfig(gpus_per_worker=0.5), 0, 1_000, "auto", node) == (16, Need(4, 0.5))
    assert staffed(WorkerConfig(cpus_per_worker=2, memory_per_worker=8), 0, 1_000, "cpu", laptop) == (
        2,
        Need(2, 0, 8 * GIB),
    )


def test_what_can_never_be_scheduled_is_refused_with_what_is_missing() -> None:
    laptop = capacity(Node(2, 0, 8 * GIB))
    with pytest.raises(UserError, match=r"one worker needs 4 CPUs\. Nodes: 1 of 2 CPUs, 8 GiB of memory"):
        staffed(WorkerConfig(cpus_per_worker=4), 0, 9, "auto", laptop)
    with pytest.raises(UserError, match="one worker needs 1 CPU, 16 GiB of memory"):
        staffed(WorkerConfig(memory_per_worker=16), 0, 9, "auto", laptop)
    with pytest.raises(UserError, match="no GPU"):
        staffed(WorkerConfig(), 0, 9, "cuda", laptop)
    with pytest.raises(UserError, match="3 workers that need 1 CPU each do not fit: there is room for 2"):
        staffed(WorkerConfig(), 3, 3, "auto", laptop, least=3)
    assert staffed(WorkerConfig(cpus_per_worker=4, autoscaling=True), 5, 9, "cuda", laptop) == (5, Need(4, 1.0))


def test_a_head_without_cpus_takes_no_workers() -> None:
    amounts = [{"CPU": 0.0, "memory": 9.0}, {"CPU": 4.0, "GPU": 1.0, "memory": 9.0}]
    alive = [{"Alive": True, "Resources": each} for each in amounts] + [{"Alive": False, "Resources": amounts[1]}]
    assert nodes_of(alive) == (Node(4, 1, 9),)
