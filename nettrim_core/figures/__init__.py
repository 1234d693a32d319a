"""Plotly figures from reports and other plain data: the only part of the core that draws."""

from nettrim_core.figures.style import LOOKS, Look, blank, look_of

__all__ = ["LOOKS", "Look", "blank", "look_of"]
