"""Sums over the nodes of the trapezoidal rule, for all Gaussian moments of one analytic activation at once."""

from __future__ import annotations

import math

from flint import arb, ctx

from numerics.arithmetic import BallArithmetic, Program, compile_program, integer_power
from numerics.budget import checkpoint
from numerics.moments.values import Key
from theory.activations import Activation
from theory.symbols import x

__all__ = ["NodeSums"]

#: Nodes that share a precision.
_BLOCK = 64


class NodeSums:
    """Sums over the nodes j h of xi^k f(tau xi)^j exp(-xi^2/2), by key; far nodes need fewer bits."""

    def __init__(self, activation: Activation, keys: list[Key], scale: arb, step: arb) -> None:
        self._activation = activation
        self._keys = keys
        self._scale, self._step = scale, step
        self._keys.sort()
        self._slopes = any(j == 0 for _, j in keys)
        self.totals: dict[Key, arb] = {key: arb(0) for key in keys}

    def _program(self) -> Program:
        exprs = [self._activation.pieces[0].expr]
        if self._slopes:
            exprs.append(self._activation.slope_pieces[0].expr)
        return compile_program(exprs, [x], BallArithmetic())

    def run(self, count: int, bits: int) -> None:
        """Add the nodes -count .. count; the precision that is set must be ``bits``."""
        program = self._program()
        origin = self._terms(program, arb(0), arb(0), arb(1))
        for key in self._keys:
            # The origin was counted as two mirrored nodes.
            self.totals[key] += origin[key] / 2 if key[0] == 0 else 0
        square = self._step**2
        weight, ratio, shrink = (-square / 2).exp(), (-3 * square / 2).exp(), (-square).exp()
        node_scale = self._scale * self._step
        length = float(self._step)
        for begin in range(1, count + 1, _BLOCK):
            checkpoint()
            needed = bits - int((begin * length) ** 2 / (2 * math.log(2)))
            with ctx.workprec(max(needed, 30) + 20):
                block: dict[Key, arb] = {key: arb(0) for key in self._keys}
                for j in range(begin, min(begin + _BLOCK, count + 1)):
                    self._add(block, program, node_scale * j, self._step * j, weight)
                    weight *= ratio
                    ratio *= shrink
            for key in self._keys:
                self.totals[key] += block[key]

    def _terms(self, program: Program, point: arb, node: arb, weight: arb) -> dict[Key, arb]:
        block: dict[Key, arb] = {key: arb(0) for key in self._keys}
        self._add(block, program, point, node, weight)
        return block

    def _add(self, block: dict[Key, arb], program: Program, point: arb, node: arb, weight: arb) -> None:
        """Add the terms of a node and of its mirror image."""
        right = program(point)
        parity = self._activation.parity
        values: dict[tuple[int, int], arb] = {}
        if parity:
            double = 2 * weight
            values[1, 0] = values[1, 1] = right[0] * double
            values[2, 0] = values[1, 0] * right[0]
            if self._slopes:
                values[0, 0] = double * right[1] * right[1]
        else:
            left = program(-point)
            first, second = weight * right[0], weight * left[0]
            values[1, 0], values[1, 1] = first + second, first - second
            values[2, 0] = first * right[0] + second * left[0]
            if self._slopes:
                values[0, 0] = weight * (right[1] * right[1] + left[1] * left[1])
        square = node * node
        powers: dict[int, arb] = {1: node}
        for k, j in self._keys:
            value = values[j, k % 2]
            if k == 0:
                block[k, j] += value
                continue
            if k not in powers:
                lower = powers.get(k - 2)
                powers[k] = square if k == 2 else (integer_power(node, k - 2) if lower is None else lower) * square
            block[k, j] += powers[k] * value
