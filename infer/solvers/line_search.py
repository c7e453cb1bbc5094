"""A strong-Wolfe line search for many problems at once, each on its own: Moré & Thuente 1994, section 2-4.

Ask and tell: `step` holds the steplength each problem wants evaluated; `tell` takes the values found there. All arithmetic
is elementwise over the problems, so that none depends on another, and nothing waits for the host.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from invertone.infer.solvers.shapes import Mask, Numbers

DECREASE, CURVATURE, INTERVAL = 1e-3, 0.9, 0.1
"""Sufficient decrease (μ), curvature (η) and relative width of the interval: the values of L-BFGS-B (Byrd et al. 1995)."""
TRIES = 20
SHRINK, EXTRAPOLATE_LEAST, EXTRAPOLATE_MOST = 0.66, 1.1, 4.0


@dataclass
class LineSearch:
    """State of b searches along b directions.

    value, slope: of the objective at step 0 (slope < 0). best_*: the endpoint with the least value so far; other_*: the
    other end of the interval; `bracketed` where the interval is known to hold a minimum. low, high: where the next step may
    lie; most: the longest step allowed.
    """

    value: Numbers
    slope: Numbers
    step: Numbers
    most: Numbers
    best_step: Numbers
    best_value: Numbers
    best_slope: Numbers
    other_step: Numbers
    other_value: Numbers
    other_slope: Numbers
    low: Numbers
    high: Numbers
    width: Numbers
    width_before: Numbers
    tries: Numbers
    bracketed: Mask
    first_stage: Mask

    @staticmethod
    def begin(value: Numbers, slope: Numbers, step: Numbers, most: Numbers) -> LineSearch:
        """Searches that first try `step`, and never go beyond `most`."""
        zero, yes = torch.zeros_like(value), torch.ones_like(value, dtype=torch.bool)
        width = most.clone()
        return LineSearch(
            value, slope, step, most, zero, value, slope, zero, value, slope, zero, step + EXTRAPOLATE_MOST * step,
            width, 2 * width, zero, ~yes, yes,
        )  # fmt: skip

    def restart(self, where: Mask, fresh: LineSearch) -> None:
        """Where the mask holds, the search becomes the one in `fresh`."""
        for name in self.__dataclass_fields__:
            setattr(self, name, torch.where(where, getattr(fresh, name), getattr(self, name)))

    def tell(self, value: Numbers, slope: Numbers) -> tuple[Mask, Mask]:
        """Takes objective and slope at `step`. Returns where the search is over: with both Wolfe conditions fulfilled,
        and for lack of anything better (interval too small, or the longest step). Elsewhere `step` is the next to try.
        """
        finite = torch.isfinite(value) & torch.isfinite(
            slope
        )  # past a cliff: as if it rose there, so that it goes back
        value = torch.where(finite, value, 2 * self.value.abs() + 1)
        slope = torch.where(finite, slope, self.slope.abs())
        test = DECREASE * self.slope
        bound = self.value + self.step * test
        decreased = value <= bound
        self.first_stage = self.first_stage & ~(decreased & (slope >= 0))
        narrow = self.bracketed & (
            (self.step <= self.low) | (self.step >= self.high) | (self.high - self.low <= INTERVAL * self.high)
        )
        at_most = (self.step >= self.most) & decreased & (slope <= test)
        found = decreased & (slope.abs() <= CURVATURE * -self.slope)
        self.tries = self.tries + 1
        over = found | narrow | at_most | (self.tries >= TRIES) | ~torch.isfinite(self.step) | (self.step <= 0)
        # In the first stage the auxiliary function ψ(t) = φ(t) - φ(0) - μ t φ'(0) finds a step of sufficient decrease.
        shift = torch.where(self.first_stage & (value <= self.best_value) & ~decreased, test, torch.zeros_like(test))
        self._update(value, slope, shift, ~over)
        return found, over & ~found

    def _update(self, value: Numbers, slope: Numbers, shift: Numbers, going: Mask) -> None:
        interval = _Interval(
            self.best_step, self.best_value - self.best_step * shift, self.best_slope - shift,
            self.other_step, self.other_value - self.other_step * shift, self.other_slope - shift,
            self.step, value - self.step * shift, slope - shift, self.bracketed, self.low, self.high,
        )  # fmt: skip
        new, step, bracketed = interval.next()
        one, two, three, four, five, six = new
        two, five = two + one * shift, five + four * shift
        three, six = three + shift, six + shift
        size = (four - one).abs()
        step = torch.where(bracketed & (size >= SHRINK * self.width_before), one + 0.5 * (four - one), step)
        width_before = torch.where(bracketed, self.width, self.width_before)
        width = torch.where(bracketed, size, self.width)
        low = torch.where(bracketed, torch.minimum(one, four), step + EXTRAPOLATE_LEAST * (step - one))
        high = torch.where(bracketed, torch.maximum(one, four), step + EXTRAPOLATE_MOST * (step - one))
        step = torch.minimum(step.clamp_min(0.0), self.most)
        stuck = bracketed & ((step <= low) | (step >= high) | (high - low <= INTERVAL * high))
        step = torch.where(stuck, one, step)
        names = ("best_step", "best_value", "best_slope", "other_step", "other_value", "other_slope")
        for name, found in zip(names, (one, two, three, four, five, six), strict=True):
            setattr(self, name, torch.where(going, found, getattr(self, name)))
        for name, found in (
            ("low", low),
            ("high", high),
            ("width", width),
            ("width_before", width_before),
            ("step", step),
        ):
            setattr(self, name, torch.where(going, found, getattr(self, name)))
        self.bracketed = torch.where(going, bracketed, self.bracketed)


@dataclass(frozen=True)
class _Interval:
    """The interval of uncertainty [best, other] and a trial: the update of Moré & Thuente, section 4, four cases."""

    x: Numbers
    fx: Numbers
    dx: Numbers
    y: Numbers
    fy: Numbers
    dy: Numbers
    t: Numbers
    ft: Numbers
    dt: Numbers
    bracketed: Mask
    low: Numbers
    high: Numbers

    def next(self) -> tuple[tuple[Numbers, ...], Numbers, Mask]:
        """The new interval (best, other), the next trial, and whether a minimum is bracketed."""
        x, fx, dx, y, fy, dy, t, ft, dt = (
            self.x, self.fx, self.dx, self.y, self.fy, self.dy, self.t, self.ft, self.dt,
        )  # fmt: skip
        opposite = dt * torch.sign(dx) < 0
        higher = ft > fx
        flatter = dt.abs() < dx.abs()
        secant = t + dt / (dt - dx) * (x - t)

        # 1: the value is higher, so a minimum is bracketed: the cubic, or half-way to the quadratic
        cubic_x = _cubic(x, fx, dx, t, ft, dt, torch.where(t < x, -1.0, 1.0))
        quadratic = x + dx / ((fx - ft) / (t - x) + dx) / 2 * (t - x)
        one = torch.where((cubic_x - x).abs() < (quadratic - x).abs(), cubic_x, cubic_x + (quadratic - cubic_x) / 2)

        # 2: lower, the slope changes sign: whichever of cubic and secant goes farther from the trial
        cubic_t = _cubic(t, ft, dt, x, fx, dx, torch.where(t > x, -1.0, 1.0))
        two = torch.where((cubic_t - t).abs() > (secant - t).abs(), cubic_t, secant)

        # 3: lower, same sign, flatter: the cubic only where it tends to infinity in the step's direction or its minimum
        # lies beyond the trial
        theta = 3 * (fx - ft) / (t - x) + dx + dt
        scale = torch.maximum(torch.maximum(theta.abs(), dx.abs()), dt.abs())
        gamma = scale * ((theta / scale) ** 2 - (dx / scale) * (dt / scale)).clamp_min(0.0).sqrt()
        gamma = torch.where(t > x, -gamma, gamma)
        ratio = (gamma - dt + theta) / (gamma + (dx - dt) + gamma)
        end = torch.where(t > x, self.high, self.low)
        cubic = torch.where((ratio < 0) & (gamma != 0), t + ratio * (x - t), end)
        nearer = (cubic - t).abs() < (secant - t).abs()
        inside = torch.where(nearer, cubic, secant)
        limit = t + SHRINK * (y - t)
        inside = torch.where(t > x, torch.minimum(limit, inside), torch.maximum(limit, inside))
        outside = torch.minimum(torch.maximum(torch.where(nearer, secant, cubic), self.low), self.high)
        three = torch.where(self.bracketed, inside, outside)

        # 4: lower, same sign, not flatter: the cubic through the other end, or as far as allowed
        cubic_y = _cubic(t, ft, dt, y, fy, dy, torch.where(t > y, -1.0, 1.0))
        four = torch.where(self.bracketed, cubic_y, end)

        trial = torch.where(higher, one, torch.where(opposite, two, torch.where(flatter, three, four)))
        keeps = higher | ~opposite
        best = tuple(torch.where(higher, a, b) for a, b in ((x, t), (fx, ft), (dx, dt)))
        other = tuple(
            torch.where(higher, a, torch.where(keeps, b, c)) for a, b, c in ((t, y, x), (ft, fy, fx), (dt, dy, dx))
        )
        return (*best, *other), trial, self.bracketed | higher | opposite


def _cubic(a: Numbers, fa: Numbers, da: Numbers, b: Numbers, fb: Numbers, db: Numbers, sign: Numbers) -> Numbers:
    """The minimiser of the cubic that has values fa, fb and slopes da, db at a and b; `sign` chooses its root."""
    theta = 3 * (fa - fb) / (b - a) + da + db
    scale = torch.maximum(torch.maximum(theta.abs(), da.abs()), db.abs())
    gamma = sign * scale * ((theta / scale) ** 2 - (da / scale) * (db / scale)).clamp_min(0.0).sqrt()
    ratio = (gamma - da + theta) / (gamma - da + gamma + db)
    return a + ratio * (b - a)
