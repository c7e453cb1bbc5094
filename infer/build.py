"""From a config to an inverter. Free of Ray: a test or a bare script may call it."""

from __future__ import annotations

from collections.abc import Callable

import torch

from invertone.cluster.formats.signals import USUAL, SignalFormat
from invertone.infer.config import METHODS
from invertone.infer.methods.method import Inverter, Materials, Method
from invertone.infer.schemas.shared import InferConfig
from invertone.infer.threads import CALLER, Threads
from invertone.models.generator import Generator
from invertone.models.networks.listening import SignalClassifier


def method_of(config: InferConfig) -> Method:
    """What does `config.method`."""
    found: Method = METHODS.implementation(config.method)
    return found


def build_inverter(
    config: InferConfig,
    generator: Generator,
    classifier: SignalClassifier | None,
    device: torch.device,
    beat: Callable[[], None] = lambda: None,
    threads: Threads = CALLER,
    format: SignalFormat = USUAL,
) -> Inverter:
    """The inverter that `config.method` names. Neither `config.batch` nor the number of `threads` can change its results:
    every call of a network has the same shape and is one thread's. `beat` is called at every evaluation.
    `format` is of what the generator makes."""
    return method_of(config).build(config, Materials(generator, classifier, device, beat, threads, format))
