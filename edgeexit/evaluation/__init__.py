"""What a trained network is worth: predictions of every exit, adaptive accuracy, thresholds."""

from edgeexit.evaluation.adaptive import (
    AdaptiveReport,
    ExitReport,
    evaluate_adaptive,
    leaving_exits,
)
from edgeexit.evaluation.bundle_predictions import predict_bundle
from edgeexit.evaluation.predictions import ExitPredictions, predict
from edgeexit.evaluation.selection import (
    cheapest_with_accuracy,
    cheapest_within_drop,
    most_accurate_within_macs,
    pareto_front,
)
from edgeexit.evaluation.thresholds import (
    SearchResult,
    Setting,
    confidence_grids,
    search_thresholds,
)

__all__ = [
    "AdaptiveReport",
    "ExitPredictions",
    "ExitReport",
    "SearchResult",
    "Setting",
    "cheapest_with_accuracy",
    "cheapest_within_drop",
    "confidence_grids",
    "evaluate_adaptive",
    "leaving_exits",
    "most_accurate_within_macs",
    "pareto_front",
    "predict",
    "predict_bundle",
    "search_thresholds",
]
