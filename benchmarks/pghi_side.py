"""The other implementation's side of `benchmarks.pghi`: runs in an environment of its own and knows nothing of ours.

`python pghi_side.py IN.npz OUT.npz`. In: magnitude [b, f, t] (Hann window, a full-scale sine reads 1), waves [b, n], gamma.
Out: phase [b, f, t] from our magnitudes; own, own_wanted [b, t, f]: magnitudes of its reconstructions with its own window and
of the clips; seconds: processor time per clip for both; first: seconds of the first call, which compiles.
"""

import sys
import time

import numpy as np
from pghipy import calculate_synthesis_window, get_default_window, istft, pghi, stft

N_FFT, HOP = 512, 128


def main(source: str, target: str) -> None:
    given = np.load(source)
    frames = [np.ascontiguousarray(clip.T, np.float64) for clip in given["magnitude"]]
    window, gamma = get_default_window(N_FFT)
    synthesis = calculate_synthesis_window(N_FFT, HOP, window)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    hann_synthesis = calculate_synthesis_window(N_FFT, HOP, hann)
    since = time.monotonic()
    pghi(frames[0], N_FFT, HOP, float(given["gamma"]), np.exp(-10))
    first = time.monotonic() - since

    def invert(magnitude, gamma, synthesis):
        phase = pghi(magnitude, N_FFT, HOP, gamma, np.exp(-10))
        return phase, istft(magnitude * np.exp(1j * phase), N_FFT, HOP, synthesis_window=synthesis)

    since = time.process_time()
    phases = [invert(clip, float(given["gamma"]), hann_synthesis)[0] for clip in frames]
    hann_seconds = (time.process_time() - since) / len(frames)
    wanted = [np.abs(stft(wave, N_FFT, HOP, window)) for wave in given["waves"].astype(np.float64)]
    since = time.process_time()
    found = [invert(clip, gamma, synthesis)[1] for clip in wanted]
    own_seconds = (time.process_time() - since) / len(wanted)
    own = [np.abs(stft(wave, N_FFT, HOP, window))[: len(clip)] for wave, clip in zip(found, wanted, strict=True)]
    np.savez(
        target,
        phase=np.stack(phases).transpose(0, 2, 1),
        own=np.stack([np.pad(clip, ((0, len(wanted[0]) - len(clip)), (0, 0))) for clip in own]),
        own_wanted=np.stack(wanted),
        seconds=[hann_seconds, own_seconds],
        first=first,
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
