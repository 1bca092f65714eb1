"""Colours of all pictures and pages."""

from __future__ import annotations

# Okabe and Ito's, which colour-blind readers can tell apart (their yellow is too pale)
BLUE, ORANGE, GREEN, PINK = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
AMBER, SKY, BLACK = "#e69f00", "#56b4e9", "#000000"
