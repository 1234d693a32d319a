"""The rules of a cascade: layers pruned in order, on the signals of the network pruned so far."""

from __future__ import annotations

from dataclasses import dataclass

from nettrim_core.problem import GAMMA, Settings, setting


@dataclass(frozen=True)
class Cascade(Settings):
    """How far later layers of a cascade may depart (paper 1, section 3.2; supplementary, section on the risk).

    gamma: radius^2 of a later layer is gamma times the squared error already made there.
    kappa: the radius of the network's linear output layer is multiplied by kappa; below 1 / sqrt(gamma) the trained
        weights are no longer sure to be allowed.
    dense: least-squares methods aim at the dense network's responses W'X rather than at W'X^, those of the trained
        weights on the pruned network's signals X^: they start from the minimum of ||U'X^ - W'X||, whose normal
        equations hold the cross moment X^X' (see LeastSquares).
    """

    gamma: float = setting(
        GAMMA, 1, 10, help="slack on the squared error already made upstream, for later layers of a cascade"
    )
    kappa: float = setting(1.0, 0.01, 1, help="factor on the radius of the network's output layer in a cascade")
    dense: bool = setting(True, help="least-squares methods aim at the dense network's responses on pruned signals")


def rules_of(cascade: bool | Cascade) -> Cascade | None:
    return (Cascade() if cascade else None) if isinstance(cascade, bool) else cascade
