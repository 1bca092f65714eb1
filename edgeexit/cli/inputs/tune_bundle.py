"""The target of ``edgeexit tune`` for a bundle: runs its own graphs, writes its manifest."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeexit.cli.inputs.bundle_samples import bundle_data, folder_images, predict_bundle_split
from edgeexit.cli.inputs.samples import SampleOptions
from edgeexit.cli.options.backend import BackendOptions
from edgeexit.cli.options.tune import LATENCY, TuneOptions
from edgeexit.cli.terminal import remark, shown_progress
from edgeexit.formats import format_command

if TYPE_CHECKING:
    from edgeexit_runtime import Manifest
    from edgeexit_runtime.bundle.guarantee_entry import Guarantee

    from edgeexit.data.dataset import ImageDataset
    from edgeexit.evaluation.path_costs import PathCosts
    from edgeexit.thresholds.tuning import Subject, Tuning


@dataclass(frozen=True, slots=True)
class BundleTarget:
    """A bundle, and the typed options."""

    folder: Path
    options: TuneOptions
    samples: SampleOptions
    backend: BackendOptions

    @property
    def written(self) -> str:
        """The destination of the thresholds, in words."""
        return f"these thresholds into {self.folder}"

    @property
    def next_command(self) -> str:
        """The suggested next command."""
        return format_command("bench", "--engine-dir", f"{self.folder}/", *self.backend.words)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the bundle against other processes while thresholds are chosen."""
        from edgeexit_runtime import load_manifest
        from edgeexit_runtime.system.locks import lock_folder

        if self.options.dry_run or not self.options.chooses:
            yield
            return
        load_manifest(self.folder)  # no lock file is written into a folder that is not a bundle
        with lock_folder(self.folder):
            yield

    def subject(self) -> Subject:
        """Run its own graphs on val and test, or on ``--images``.

        With ``--objective latency`` it is timed, too.
        """
        import edgeexit_runtime as ee

        from edgeexit.bench.path_costs import path_costs
        from edgeexit.cost import bundle_costs
        from edgeexit.thresholds.tuning import Subject

        manifest = ee.load_manifest(self.folder)
        model, exits = manifest.model, bundle_costs(manifest)
        dataset, chosen_on, splits, labelled = self._images(manifest)
        if self.options.objective == LATENCY:
            costs, source = self._measure()
        else:
            costs, source = path_costs(exits, self.options.costs)
        with ee.load(self.folder, **self.backend.chosen(self.samples.device)) as session:
            answers = {
                split: predict_bundle_split(session, images, split, self.samples)
                for split, images in splits.items()
            }
        if not labelled:
            answers = {split: answer.against_last() for split, answer in answers.items()}
        title = f"{model.backbone}, branches {model.branches}, {manifest.precision}"
        return Subject(title, dataset, source, chosen_on, exits, costs, answers, labelled)

    def save(self, tuning: Tuning) -> Guarantee | None:
        """Write the thresholds, their guarantee and the expected exits, atomically.

        Returns the guarantee of the previous thresholds.
        """
        import edgeexit_runtime as ee
        from edgeexit_runtime.bundle.expected_entry import Expected
        from edgeexit_runtime.bundle.manifest import MANIFEST_NAME, manifest_json

        from edgeexit.evaluation import routed
        from edgeexit.files import replace_file

        thresholds = tuning.thresholds
        assert thresholds is not None
        manifest: Manifest = ee.load_manifest(self.folder)
        exits = tuple(
            dataclasses.replace(exit_, threshold=thresholds.get(exit_.name, exit_.threshold))
            for exit_ in manifest.exits
        )
        answers = routed(tuning.subject.val, thresholds)
        chosen_on = tuning.subject.chosen_on
        expected = Expected.of(answers, manifest.exit_names, thresholds, chosen_on)
        tuned = dataclasses.replace(
            manifest, exits=exits, guarantee=tuning.guarantee, expected=expected
        )
        with replace_file(self.folder / MANIFEST_NAME) as temporary:
            temporary.write_text(manifest_json(tuned), encoding="utf-8")
        return manifest.guarantee

    def _images(self, manifest: Manifest) -> tuple[str, str, dict[str, ImageDataset], bool]:
        """Return the names of all images and of those of the choice, the splits, and if labeled."""
        from edgeexit_runtime.bundle.guarantee_entry import DISAGREEMENT
        from edgeexit_runtime.errors import printable

        from edgeexit.errors import DataError

        folder, promise = self.options.images, self.options.promise()
        if folder is None:
            data = bundle_data(self.folder, manifest, self.samples)
            dataset = self.samples.dataset or str(manifest.data.get("name"))
            splits = {split: data.splits[split] for split in ("val", "test")}
            return dataset, f"{dataset}, val", splits, True
        images, labelled = folder_images(folder, manifest, self.samples.max_pixels)
        name = printable(str(folder))
        if not labelled and promise is not None and promise.risk != DISAGREEMENT:
            raise DataError(
                f"{name}: --max-{promise.risk} needs labels, which these images do not have: put "
                "them into folders named as the classes, or give --max-disagreement, which needs "
                "none"
            )
        return name, name, {"images": images}, labelled

    def _measure(self) -> tuple[PathCosts, str]:
        from edgeexit.bench import BenchOptions, run_bench
        from edgeexit.bench.path_costs import measured_costs

        bench = BenchOptions(**self.backend.chosen(self.samples.device), explain=False)
        with shown_progress("") as progress:
            report = run_bench(self.folder, None, bench, progress)
        device, calls = report.device, report.baseline.latency.count
        source = f"medians of {calls} calls on {device.cpu}, {device.backend_device}, batch 1"
        remark(f"measured: {source}")
        return measured_costs(report), source
