"""Where a branch of equilibria ends (``numerics.equilibrium.stability``)."""

from __future__ import annotations

from numerics.equilibrium import LossKind, locate_stability_loss
from theory.equations import DEQ


def test_a_line_and_a_fast_oscillation_have_no_fold() -> None:
    """Var - tau^2 is bounded and positive: quadrature sees another sign where it misses waves."""
    loss = locate_stability_loss(DEQ("x + sin(10*x)/10", 0, "4/5"))
    assert (loss.kind, loss.decimal()) == (LossKind.ESCAPE, "1.00000000000000")
