"""Runs under TensorFlow 1's graph mode, in a venv of its own: WaveGANs with random weights, saved as their authors save them.

`python tensorflow_side.py FOLDER WIDTH TAPS SAMPLES CHANNELS` writes FOLDER/model.ckpt-SEED.* (generator, discriminator, the
optimisers' slots, global_step, in the layers and scopes that the published checkpoints show) and FOLDER/expected.npz: latents,
waveforms, scores.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
KERNEL, LATENT, STEP = 25, 100, 103_005
STRIDES = {16_384: [4, 4, 4, 4, 4], 32_768: [4, 4, 4, 4, 4, 2], 65_536: [4, 4, 4, 4, 4, 4]}
"""Of the layers by a clip's samples, as the authors' code has them."""


def generator(latent: tf.Tensor, width: int, taps: int, samples: int, channels: int) -> tf.Tensor:
    """[b, 100] → [b, samples, channels]. Kernels fill the range of tanh; biases are random, or a wrong one would hide."""
    spread, large = v1.random_normal_initializer(stddev=0.05), v1.variance_scaling_initializer(6.0, "fan_avg")
    with v1.variable_scope("z_project"):
        inner = width << len(STRIDES[samples]) - 1
        hidden = v1.layers.dense(latent, 16 * inner, kernel_initializer=large, bias_initializer=spread)
    hidden = tf.nn.relu(tf.reshape(hidden, [-1, 16, inner]))
    last = len(STRIDES[samples]) - 1
    for layer, stride in enumerate(STRIDES[samples]):
        with v1.variable_scope(f"upconv_{layer}"):
            hidden = v1.layers.conv2d_transpose(
                tf.expand_dims(hidden, 1),
                inner >> layer + 1 if layer < last else channels,
                (1, KERNEL),
                (1, stride),
                padding="same",
                kernel_initializer=large,
                bias_initializer=spread,
            )[:, 0]
        hidden = tf.nn.relu(hidden) if layer < last else tf.nn.tanh(hidden)
    if taps:
        with v1.variable_scope("pp_filt"):
            hidden = v1.layers.conv1d(hidden, 1, taps, use_bias=False, padding="same")
    return hidden


def discriminator(waveform: tf.Tensor, width: int, samples: int) -> tf.Tensor:
    """[b, samples, channels] → [b], without phase shuffle."""
    spread, large = v1.random_normal_initializer(stddev=0.05), v1.variance_scaling_initializer(3.0, "fan_avg")
    hidden = waveform
    for layer, stride in enumerate(STRIDES[samples]):
        with v1.variable_scope(f"downconv_{layer}"):
            hidden = v1.layers.conv1d(
                hidden,
                width * 2**layer,
                KERNEL,
                stride,
                padding="same",
                kernel_initializer=large,
                bias_initializer=spread,
            )
        hidden = tf.nn.leaky_relu(hidden, 0.2)
    with v1.variable_scope("output"):
        inner = width << len(STRIDES[samples]) - 1
        return v1.layers.dense(tf.reshape(hidden, [-1, 16 * inner]), 1, bias_initializer=spread)[:, 0]


def main(folder: Path, width: int, taps: int, samples: int, channels: int) -> None:
    v1.disable_eager_execution()
    v1.set_random_seed(width + taps)
    latent = v1.placeholder(tf.float32, [None, LATENT])
    real = v1.placeholder(tf.float32, [None, samples, channels])
    with v1.variable_scope("G"):
        made = generator(latent, width, taps, samples, channels)
    with v1.variable_scope("D"):
        score = discriminator(real, width, samples)
    step = v1.train.get_or_create_global_step()
    moving = [v1.train.AdamOptimizer(1e-4, 0.5, 0.9) for _ in "GD"]
    losses = {"G": tf.reduce_mean(made), "D": tf.reduce_mean(score)}
    for adam, (scope, loss) in zip(moving, losses.items(), strict=True):
        adam.minimize(loss, var_list=v1.get_collection(v1.GraphKeys.TRAINABLE_VARIABLES, scope))
    rng = np.random.default_rng(width + taps)
    latents = rng.uniform(-1, 1, (6, LATENT)).astype(np.float32)
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        session.run(step.assign(STEP))
        waveforms = session.run(made, {latent: latents})
        # A untrained generator is all but silent: the critic also hears noise, at which its layers bend.
        heard = np.concatenate([waveforms, rng.uniform(-1, 1, waveforms.shape).astype(np.float32)])
        scores = session.run(score, {real: heard})
        v1.train.Saver().save(session, str(folder / "model.ckpt"), global_step=STEP)
    np.savez(folder / "expected.npz", latents=latents, waveforms=waveforms, heard=heard, scores=scores)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:6]))
