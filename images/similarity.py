"""The compiled loop of structural similarity (`images.structural.ssim`): one pair of pictures at a time, row by row, so that
all it works on stays in the processor's nearest cache. A third of the time of torch's operations, which pass over whole
batches.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from invertone.images.compiling import compiled
from invertone.images.gaussian import WINDOW, gaussian

G0, G1, G2, G3, G4, G5 = (np.float32(weight) for weight in gaussian()[: WINDOW // 2 + 1])
TWO = np.float32(2)
INSIDE = WINDOW - 1


@compiled(inline="always")
@no_type_check
def along(row, out):
    """`row` [n], weighted along itself where the window fits whole → `out` [n - 10]. The weights are symmetric."""
    for j in range(len(out)):
        out[j] = (
            G0 * (row[j] + row[j + 10])
            + G1 * (row[j + 1] + row[j + 9])
            + G2 * (row[j + 2] + row[j + 8])
            + G3 * (row[j + 3] + row[j + 7])
            + G4 * (row[j + 4] + row[j + 6])
            + G5 * row[j + 5]
        )


@compiled(inline="always")
@no_type_check
def across(rows, newest, out):
    """The last eleven rows, of which `rows` [11, n] holds the one of number r at r % 11, weighted → `out` [n]."""
    r0, r1, r2, r3 = rows[(newest + 1) % 11], rows[(newest + 2) % 11], rows[(newest + 3) % 11], rows[(newest + 4) % 11]
    r4, r5, r6, r7 = rows[(newest + 5) % 11], rows[(newest + 6) % 11], rows[(newest + 7) % 11], rows[(newest + 8) % 11]
    r8, r9, r10 = rows[(newest + 9) % 11], rows[(newest + 10) % 11], rows[newest % 11]
    for j in range(len(out)):
        out[j] = (
            G0 * (r0[j] + r10[j])
            + G1 * (r1[j] + r9[j])
            + G2 * (r2[j] + r8[j])
            + G3 * (r3[j] + r7[j])
            + G4 * (r4[j] + r6[j])
            + G5 * r5[j]
        )


@compiled()
@no_type_check
def mean_similarity(a, b, c1, c2):
    """SSIM of two pictures, float32 [rows, columns] and contiguous, with the constants C1 and C2."""
    height, width = a.shape
    size = width - INSIDE
    rows = np.empty((4, 11, size), np.float32)
    means = np.empty((4, size), np.float32)
    squares, products = np.empty(width, np.float32), np.empty(width, np.float32)
    total = np.zeros(size, np.float64)
    for r in range(height):
        row_a, row_b = a[r], b[r]
        for j in range(width):
            squares[j] = row_a[j] * row_a[j] + row_b[j] * row_b[j]
            products[j] = row_a[j] * row_b[j]
        along(row_a, rows[0, r % 11])
        along(row_b, rows[1, r % 11])
        along(squares, rows[2, r % 11])
        along(products, rows[3, r % 11])
        if r >= INSIDE:
            for part in range(4):
                across(rows[part], r, means[part])
            mean_a, mean_b, square, product = means[0], means[1], means[2], means[3]
            for j in range(size):
                both = mean_a[j] * mean_b[j]
                own = mean_a[j] * mean_a[j] + mean_b[j] * mean_b[j]
                total[j] += ((TWO * both + c1) * (TWO * (product[j] - both) + c2)) / (
                    (own + c1) * (square[j] - own + c2)
                )
    return total.sum() / (size * (height - INSIDE))
