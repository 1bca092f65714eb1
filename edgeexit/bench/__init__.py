"""Measured time and energy of a bundle on this device, beside the cost that Eq. 5 predicts.

The steps from :func:`run_bench` to a written page; each passes frozen data to the next:

1. ``timing`` opens the candidates and times them in interleaved rounds on the ``device``;
2. ``roofline`` explains the times, ``advice`` chooses thresholds from them;
3. ``results`` defines the report, which holds every figure and interval; it computes nothing;
4. ``compare`` compares two saved reports;
5. ``render`` turns reports into sentences, tables, pictures and the page; it computes nothing.

Imports point one way only; a test checks them.
"""

from edgeexit.bench.images import (
    BenchImages,
    images_from_dataset,
    images_from_folder,
    images_from_npz,
)
from edgeexit.bench.render.page import check_page_path, write_page
from edgeexit.bench.render.page.pictures import check_plot_path, plot_reports
from edgeexit.bench.render.report import report_json
from edgeexit.bench.render.verdict import verdict
from edgeexit.bench.results.advice import Advice
from edgeexit.bench.results.explanation import Explanation
from edgeexit.bench.results.mixture import IsoAccuracy, Mixture, MixtureExit, Run
from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.results.report import BenchReport, BundleInfo, DeviceInfo, load_report
from edgeexit.bench.results.scenarios import Scenarios
from edgeexit.bench.results.timings import PartTiming, PathTiming
from edgeexit.bench.run import run_bench
from edgeexit.statistics.percentiles import Percentile

__all__ = [
    "Advice",
    "BenchImages",
    "BenchOptions",
    "BenchReport",
    "BundleInfo",
    "DeviceInfo",
    "Explanation",
    "IsoAccuracy",
    "Mixture",
    "MixtureExit",
    "PartTiming",
    "PathTiming",
    "Percentile",
    "Run",
    "Scenarios",
    "check_page_path",
    "check_plot_path",
    "images_from_dataset",
    "images_from_folder",
    "images_from_npz",
    "load_report",
    "plot_reports",
    "report_json",
    "run_bench",
    "verdict",
    "write_page",
]
