"""Confidence scores of an exit, one file per score."""

from edgeexit.scores.base import SCORES, SOFTMAX, Nodes, Score, check_score

__all__ = ["SCORES", "SOFTMAX", "Nodes", "Score", "check_score"]
