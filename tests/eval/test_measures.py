"""Measures written out once more, and sums that do not depend on how clips are cut (see also `tests.oracles.measures`)."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.image import peak_signal_noise_ratio

from invertone.eval.measures.columns import estimates
from invertone.eval.measures.draws import clip_counts, clip_groups, key_digests
from invertone.eval.measures.estimates import (
    Estimate,
    Sums,
    add,
    frechet_distances,
    inception_score,
    inception_sums,
    moment_sums,
    moments,
    over_trainings,
    percentile,
    weighted,
)
from invertone.eval.measures.sums import packed, unpacked
from invertone.models.frechet import frechet_distance

KEYS = key_digests([f"clip-{number}" for number in range(400)])
RNG = np.random.default_rng(0)
FEATURES = RNG.standard_normal((400, 6)) @ RNG.standard_normal((6, 6)) + 3.0
POSTERIOR = RNG.dirichlet(np.full(10, 0.3), 400)


def summed(part: slice, replicates: int = 8) -> Sums:
    keys = KEYS[part]
    counts = clip_counts(keys, 0, replicates)
    sums = {"clips": counts.sum(0), **weighted({"ssim": FEATURES[part, 0]}, counts)}
    sums |= inception_sums(POSTERIOR[part], clip_groups(keys, 0, 10), 10, counts)
    return sums | moment_sums("logits", FEATURES[part], counts)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 399), max_size=50))
def test_any_number_of_units_gives_the_same_numbers(cuts: list[int]) -> None:
    whole, total = summed(slice(None)), {}
    ends = [0, *sorted(set(cuts)), 400]
    for first, last in zip(ends[:-1], ends[1:], strict=True):
        add(total, unpacked(packed({"a row, 5 %": summed(slice(first, last))}))["a row, 5 %"])
    reference = {name: value * 1.0 for name, value in whole.items()}
    reference["logits_sum"] = reference["logits_sum"] + 0.5
    one, other = estimates(whole, reference), estimates(total, reference)
    assert one.keys() == other.keys() == {"ssim", "inception_score", "inception_spread", "frechet_logits"}
    for name in one:
        assert one[name].value == pytest.approx(other[name].value, rel=1e-9, abs=1e-12)
        pair = one[name].interval, other[name].interval
        assert pair == (None, None) or pair[0] == pytest.approx(pair[1], rel=1e-9, abs=1e-9)


def test_inception_score_written_out_group_by_group() -> None:
    groups = clip_groups(KEYS, 3, 10)
    scores, spreads = inception_score(inception_sums(POSTERIOR, groups, 10, np.ones((400, 1))))
    found = []
    for group in range(10):
        p = POSTERIOR[groups == group]
        divergence = [sum(x * np.log(x / m) for x, m in zip(row, p.mean(0), strict=True)) for row in p]
        found.append(np.exp(np.mean(divergence)))
    assert scores[0] == pytest.approx(np.mean(found), rel=1e-12)
    assert spreads[0] == pytest.approx(np.std(found), rel=1e-10)


def test_inception_score_of_perfect_and_of_useless_posteriors() -> None:
    certain, equal = np.eye(10)[np.arange(400) % 10], np.full((400, 10), 0.1)
    one = np.zeros(400, dtype=np.int64)
    assert inception_score(inception_sums(certain, one, 1, np.ones((400, 1))))[0][0] == pytest.approx(10.0)
    assert inception_score(inception_sums(equal, one, 1, np.ones((400, 1))))[0][0] == pytest.approx(1.0)


def test_frechet_distance_as_scipy_takes_the_root_of_the_product() -> None:
    a, b = FEATURES[:250], FEATURES[250:] * 1.3 + 0.2
    mean_a, mean_b, cov_a, cov_b = a.mean(0), b.mean(0), np.cov(a.T), np.cov(b.T)
    wanted = np.square(mean_a - mean_b).sum() + np.trace(cov_a + cov_b - 2 * scipy.linalg.sqrtm(cov_a @ cov_b).real)
    sums = [moment_sums("logits", part, np.ones((len(part), 1))) for part in (a, b)]
    assert frechet_distances(sums[0], sums[1], "logits")[0] == pytest.approx(wanted, rel=1e-9)
    for part, (mean, covariance) in zip((a, b), (moments(each, "logits", 0) for each in sums), strict=True):
        np.testing.assert_allclose(mean, part.mean(0), rtol=1e-12)
        np.testing.assert_allclose(covariance, np.cov(part.T), rtol=1e-10)


def test_frechet_distance_of_singular_covariances() -> None:
    flat, tall = np.diag([0.0, 4.0, 0.0]), np.diag([1.0, 1.0, 0.0])
    assert frechet_distance(np.zeros(3), flat, np.ones(3), tall) == pytest.approx(3 + 4 + 2 - 2 * 2)
    assert frechet_distance(np.zeros(3), flat, np.zeros(3), flat) == pytest.approx(0.0, abs=1e-12)
    alone = moment_sums("logits", FEATURES[:1], np.ones((1, 1)))
    assert np.isnan(frechet_distance(*moments(alone, "logits", 0), *moments(alone, "logits", 0)))


def test_peak_signal_to_noise_ratio_as_torchmetrics() -> None:
    a, b = torch.rand(8, 100, dtype=torch.float64) * 2 - 1, torch.rand(8, 100, dtype=torch.float64) * 2 - 1
    counts = np.ones((8, 1))
    sums = {"clips": counts.sum(0), **weighted({"waveform_mse": (a - b).square().mean(1).numpy()}, counts)}
    assert estimates(sums, None)["psnr"].value == pytest.approx(
        float(peak_signal_noise_ratio(a, b, data_range=2.0)), rel=1e-6
    )
    assert "psnr" not in estimates({**sums, "waveform_mse": np.zeros(1)}, None)  # infinite


def test_poisson_bootstrap_gives_the_interval_that_theory_gives() -> None:
    values = RNG.standard_normal(400)
    counts = clip_counts(KEYS, 1, 2_000)
    assert (counts[:, 0] == 1).all() and counts[:, 1:].mean() == pytest.approx(1.0, abs=0.01)
    sums = {"clips": counts.sum(0), **weighted({"ssim": values}, counts)}
    interval = percentile(sums["ssim"] / sums["clips"]).interval
    assert interval is not None
    assert interval[1] - interval[0] == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert interval[0] < values.mean() < interval[1]


def test_sums_of_products_as_outer_products_give_them() -> None:
    counts = clip_counts(KEYS[:50], 5, 6)
    features, posterior, groups = FEATURES[:50], POSTERIOR[:50], clip_groups(KEYS[:50], 5, 7)
    for used in (counts, counts[:, :1]):
        sums = moment_sums("logits", features, used)
        wanted = np.einsum("br,bi,bj->rij", used, features, features)
        np.testing.assert_allclose(sums["logits_products"], wanted, rtol=1e-12)
        np.testing.assert_allclose(sums["logits_sum"], np.einsum("br,bi->ri", used, features), rtol=1e-12)
    found, member = inception_sums(posterior, groups, 7, counts), np.eye(7)[groups]
    np.testing.assert_allclose(found["inception_clips"], np.einsum("br,bg->rg", counts, member), rtol=1e-12)
    wanted = np.einsum("br,bg,bk->rgk", counts, member, posterior)
    np.testing.assert_allclose(found["inception_posterior"], wanted, rtol=1e-12)
    entropies = np.einsum("br,bg,bk->rg", counts, member, posterior * np.log(posterior))
    np.testing.assert_allclose(found["inception_negative_entropy"], entropies, rtol=1e-12)


def test_several_trainings_are_their_mean_and_deviation_in_what_all_of_them_have() -> None:
    each = [
        {"a": Estimate(1.0, (0.5, 1.5)), "b": Estimate(float("nan")), "c": Estimate(3.0)},
        {"b": Estimate(2.0), "a": Estimate(4.0, (3.0, 5.0))},
        {"a": Estimate(4.0), "b": Estimate(2.0), "d": Estimate(0.0)},
    ]
    found = over_trainings(each)
    assert list(found) == ["a", "b"] and (found["a"].value, found["a"].interval) == (3.0, None)
    assert found["a"].spread == pytest.approx(3**0.5)
    assert np.isnan(found["b"].value) and found["b"].spread is None
    assert over_trainings(each[:1]) == each[0]
