"""The right singular vectors of smallest singular value of many small matrices.

The matrices are given by their rows, one (4, matrices) array for each: equal places of all matrices lie side
by side. Every operation is element by element, so that a matrix's result does not depend on the others. A
factorisation A = QR comes first, because A^T A would lose half of the digits.
"""

from __future__ import annotations

import numpy as np

from anipipe.numerics.lenses import EPS, Floats

POWER_STEPS = 12  # settles 99 of 100 points whose pixels are off by 5 px at f = 800 px
SQUARINGS = 10  # worth 1024 power steps

_TRIANGLE = tuple((i, j) for i in range(4) for j in range(i, 4))
_PLACE = {pair: place for place, (i, j) in enumerate(_TRIANGLE) for pair in ((i, j), (j, i))}
_DIAGONAL = tuple(_PLACE[i, i] for i in range(4))


def triangular(rows: list[Floats]) -> list[list[Floats]]:
    """Factorise stacked matrices by the modified Gram-Schmidt process.

    Its R is as exact as that of Householder's method (Björck 1967), its Q is not needed.

    Parameters
    ----------
    rows
        One (4, matrices) array per row; overwritten.

    Returns
    -------
    The upper triangle, ``factor[i][j - i]`` of shape (matrices,) for j >= i.
    """
    factor: list[list[Floats]] = []
    for i in range(4):
        length = np.sqrt(_dot(rows, rows, i, i))
        scale = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
        for row in rows:
            row[i] *= scale
        line = [length]
        for j in range(i + 1, 4):
            share = _dot(rows, rows, i, j)
            for row in rows:
                row[j] -= share * row[i]
            line.append(share)
        factor.append(line)
    return factor


def _dot(left: list[Floats], right: list[Floats], i: int, j: int) -> Floats:
    """Sum over the rows, one after the other: numpy's own sums change their order with the shape."""
    total: Floats = left[0][i] * right[0][j]
    for a, b in zip(left[1:], right[1:], strict=True):
        total += a[i] * b[j]
    return total


def inverse_iteration(factor: list[list[Floats]]) -> tuple[Floats, Floats]:
    """Find the vectors by power steps with the inverse of ``R^T R``.

    A step turns a vector towards the smallest singular direction by the squared ratio of the two smallest
    singular values.

    Parameters
    ----------
    factor
        The upper triangles R, as :func:`triangular` gives them.

    Returns
    -------
    (4, matrices) unit vectors, and (matrices,) by how much the last step still changed them.
    """
    pivots = _pivots(factor)
    vector = [np.full_like(pivots[0], 0.5) for _ in range(4)]
    change = np.full_like(pivots[0], np.inf)
    for _ in range(POWER_STEPS):
        before = vector
        solved: list[Floats] = []
        for i in range(4):  # R^T y = v
            rest = before[i]
            for k in range(i):
                rest = rest - factor[k][i - k] * solved[k]
            solved.append(rest / pivots[i])
        vector = _unit(solved)
        for i in range(3, -1, -1):  # R v = y
            rest = vector[i]
            for k in range(i + 1, 4):
                rest = rest - factor[i][k - i] * vector[k]
            vector[i] = rest / pivots[i]
        vector = _unit(vector)
        # (R^T R)^-1 is positive definite, so a step never turns the sign around.
        change = np.maximum.reduce([np.abs(a - b) for a, b in zip(vector, before, strict=True)])
    return np.stack(vector), change


def squared_inverse(factor: list[list[Floats]]) -> Floats:
    """Find the vectors by squaring the inverse of ``R^T R`` again and again.

    Each squaring doubles the number of power steps that the matrix stands for, until a single direction is
    left of it. Where the two smallest singular values differ by less than some per cent, a mixture of both
    directions is left; the matrix then hardly prefers one.

    Parameters
    ----------
    factor
        The upper triangles R, as :func:`triangular` gives them.

    Returns
    -------
    (4, matrices) vectors, not of length 1.
    """
    matrix = _inverse(factor)
    for _ in range(SQUARINGS):
        first, second, third, fourth = (matrix[place] for place in _DIAGONAL)
        scale = 1 / (first + second + third + fourth)
        matrix = [entry * scale for entry in matrix]
        matrix = [_product(matrix, i, j) for i, j in _TRIANGLE]
    # Each column is the vector times one of its components; the longest is the most exact.
    longest = np.argmax([matrix[place] for place in _DIAGONAL], axis=0)
    return np.stack([np.choose(longest, [matrix[_PLACE[i, j]] for j in range(4)]) for i in range(4)])


def _inverse(factor: list[list[Floats]]) -> list[Floats]:
    """Invert ``R^T R``, up to a scale; returns the upper triangle of the symmetric inverse."""
    pivots = _pivots(factor)
    inverse: dict[tuple[int, int], Floats] = {}
    for j in range(4):  # R W = 1, column by column
        inverse[j, j] = 1 / pivots[j]
        for i in range(j - 1, -1, -1):
            rest = factor[i][1] * inverse[i + 1, j]
            for k in range(i + 2, j + 1):
                rest = rest + factor[i][k - i] * inverse[k, j]
            inverse[i, j] = -rest / pivots[i]
    largest = np.maximum.reduce([np.abs(entry) for entry in inverse.values()])
    inverse = {place: entry / largest for place, entry in inverse.items()}
    out = []
    for i, j in _TRIANGLE:
        entry = inverse[i, j] * inverse[j, j]
        for k in range(j + 1, 4):
            entry += inverse[i, k] * inverse[j, k]
        out.append(entry)
    return out


def _product(matrix: list[Floats], i: int, j: int) -> Floats:
    """Return one entry of the square of symmetric matrices."""
    out = matrix[_PLACE[i, 0]] * matrix[_PLACE[0, j]]
    for k in range(1, 4):
        out += matrix[_PLACE[i, k]] * matrix[_PLACE[k, j]]
    return out


def _pivots(factor: list[list[Floats]]) -> list[Floats]:
    """Return the diagonal of R, bounded below.

    Exact pixels make the matrix singular; a tiny pivot instead of none leads to the same direction (Golub &
    Van Loan, section 7.6.1).
    """
    largest = np.maximum.reduce([line[0] for line in factor])
    floor = np.finfo(np.float64).tiny ** 0.5 + EPS**2 * largest
    return [np.maximum(line[0], floor) for line in factor]


def _unit(vector: list[Floats]) -> list[Floats]:
    """Scale (matrices,) components to vectors of length 1, without overflow."""
    largest = np.maximum.reduce([np.abs(value) for value in vector])
    scaled = [value / largest for value in vector]
    length = np.sqrt(sum((value * value for value in scaled[1:]), scaled[0] * scaled[0]))
    return [value / length for value in scaled]
