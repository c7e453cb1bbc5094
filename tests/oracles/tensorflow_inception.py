"""Runs under TensorFlow 1's graph mode, in a venv of its own: the classifier of inception scores with random weights.

`python tensorflow_inception.py FOLDER WIDTH` writes FOLDER/best_acc-STEP.* (in the layers and scopes of the published graph)
and FOLDER/expected.npz: waveforms, their mel spectrograms, logits.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
SAMPLES, STEP = 16_384, 103_005


def log_mel(waveform: tf.Tensor) -> tf.Tensor:
    """[b, 16384] → [b, 128 frames, 128 bands]."""
    magnitude = tf.abs(tf.signal.stft(waveform, 1_024, 128, pad_end=True))
    weights = tf.signal.linear_to_mel_weight_matrix(128, 513, 16_000, 40.0, 7_800.0)
    return tf.math.log(tf.tensordot(magnitude, weights, 1) + 1e-6)


def classifier(mel: tf.Tensor, width: int) -> tf.Tensor:
    """[b, 128, 128] → [b, 10]. Everything is random that training would change, or a wrong place would hide."""
    spread = v1.random_normal_initializer(stddev=0.3)
    positive = v1.random_uniform_initializer(0.5, 2.0)
    large = v1.variance_scaling_initializer(2.0, "fan_in")
    moving = {"beta_initializer": spread, "gamma_initializer": positive, "moving_variance_initializer": positive}
    hidden = v1.layers.batch_normalization(
        mel, moving_mean_initializer=v1.random_uniform_initializer(-8.0, 2.0), **moving
    )
    hidden = tf.expand_dims(hidden, 3)
    for layer in range(4):
        if layer:
            hidden = v1.layers.batch_normalization(hidden, moving_mean_initializer=spread, **moving)
        hidden = v1.layers.conv2d(
            hidden,
            width,
            (5, 5),
            padding="same",
            activation=tf.nn.relu,
            kernel_initializer=large,
            bias_initializer=spread,
        )
        hidden = v1.layers.max_pooling2d(hidden, (2, 2), (2, 2))
    hidden = v1.layers.batch_normalization(
        tf.reshape(hidden, [-1, 8 * 8 * width]), moving_mean_initializer=spread, **moving
    )
    return v1.layers.dense(hidden, 10, bias_initializer=spread)


def main(folder: Path, width: int) -> None:
    v1.disable_eager_execution()
    v1.set_random_seed(width)
    waveform = v1.placeholder(tf.float32, [None, SAMPLES])
    mel = log_mel(waveform)
    with v1.variable_scope("classifier"):
        logits = classifier(mel, width)
    step = v1.train.get_or_create_global_step()
    rng = np.random.default_rng(width)
    time = np.arange(SAMPLES) / 16_000
    loud = rng.uniform(-1, 1, (3, SAMPLES)) * np.array([[1.0], [0.03], [0.001]])
    tones = np.stack([np.sin(2 * np.pi * hertz * time) * np.exp(-5 * time) for hertz in (110, 440, 3_000)])
    # in noise: far from a pure tone logarithms show nothing but the rounding of either's Fourier transform
    tones += rng.uniform(-0.003, 0.003, tones.shape)
    quarter = np.zeros((1, SAMPLES))
    quarter[0, 4_000:9_000] = rng.uniform(-0.5, 0.5, 5_000)
    waveforms = np.concatenate([loud, tones, quarter, np.zeros((1, SAMPLES))])
    waveforms = waveforms.astype(np.float32)
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        session.run(step.assign(STEP))
        mels, scores = session.run([mel, logits], {waveform: waveforms})
        v1.train.Saver().save(session, str(folder / "best_acc"), global_step=STEP)
    np.savez(folder / "expected.npz", waveforms=waveforms, mels=mels, logits=scores)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
