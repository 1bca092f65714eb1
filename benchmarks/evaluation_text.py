"""The words of docs/results/evaluation.md; what is said of pictures, of the run that is there."""

CAPTIONS = {
    "front": ("Figs. 6 to 8: accuracy against average cost", ""),
    "confidence": ("Fig. 4: how sure each exit is", ""),
    "patterns": ("Fig. 5: the patterns at one accuracy", ""),
    "classes": ("Fig. 9: class by class", ""),
    "groups": ("Fig. 10: easy classes and hard ones", ""),
    "examples": ("Fig. 11: who leaves where", ""),
}
"""By figure: its heading, and what is seen in it."""

REPORT = """# Thresholds, figures and knowledge consistency on the digits

Written by `make results` (`benchmarks/evaluation_results.py`), which runs `edgeexit tune`,
`export`, `figures` and `consistency` as a user would; all numbers are in
[evaluation.json](evaluation.json), those of pictures as CSV in [evaluation/](evaluation). Tables
follow from the runs; what is said of them and of the pictures was written about the run shown here.

ResNet-20 on scikit-learn's handwritten digits at 16x16 pixels with two exits. The paper's networks
are of ImageNet and CIFAR-100: what a small network makes of an easy data set neither confirms nor
refutes what it found there.

For thresholds and figures the networks are those of seed 0 of [training.md](training.md), which
learned from 138 images so that the task is not too easy. Thresholds are chosen on {validation}
other
images (val) and judged on {samples} further ones (test), where one image is {step} points and
brackets are 95 % bootstrap intervals. All thresholds of one network are judged on the same
images; patterns differ by one training each, and over five trainings [training.md](training.md)
could not tell 3+1 from the others.

## The front

`edgeexit tune --front --plot`, exact over all combinations of the grid. {accuracy} % is the highest
accuracy on val that all three reach, less 0.2 points and rounded down.

{front}

FRONT_TEXT

{tuned_pictures}

## What switching exits off does

An exit with a threshold of *off* lets nobody leave, and its branch is not run. The choice for
{accuracy} % on val, then the cheapest one if the branch of an exit that is off were run all the
same (a file of costs without `branches`), then the choice where no image may pay for more than one
branch (`--max-path-cost`). Costs on val, where they are chosen.

{switching}

SWITCHING_TEXT

## Temperatures

`edgeexit tune --calibrate` fits a temperature per exit on 650 of the val images and chooses on the
other half; the expected calibration error is of that half. Below, what thresholds without a loss
against the network's own backbone give on test, chosen on all of val or after calibration.

{calibration}

{calibrated}

CALIBRATION_TEXT

## Thresholds by MACs and by milliseconds

The networks as FP32 bundles on ONNX Runtime, {cpu}, one thread per graph, batch 1. `edgeexit tune
--engine-dir ... --objective latency` measured each path three times: medians, over the plain
backbone of the same measurement.

{paths}

Both choices for {accuracy} % on val. MACs are Eq. 5's; the last column is what each choice costs on
test at the times of the measurement that the milliseconds are from.

{objectives}

LATENCY_TEXT

{figures}

## Knowledge consistency (Section V-G, Figs. 12 and 13)

`edgeexit consistency` with N = 0 to 3 and 3 fits each, batches of {fit_batch}, on networks that
learned from all {train_images} training images: 138 are too few to fit the reconstructions. A plain
ResNet-20 of one seed is the baseline, right on {baseline} % of the test images. {seeds} networks of
each pattern, and {seeds} more plain ones, were trained with other seeds: with the baseline's own
they would start from the same weights. The mean over 3 fits counts as one value; ± is the standard
deviation over the {seeds} trainings, of *the baseline itself* over its fits. *std of fits* is how
far fits of one network differ.

Accuracy of the baseline with reconstructed features, in percent. With features shuffled across
images it is {control} % (the control, chance is 10 %).

{knowledge}

Variance of the baseline's features that the reconstruction leaves unexplained, in percent, over the
training images of the last epoch.

{unexplained}

Differences of two rows over all N, seed by seed, with Student's t test: *yes* is p <= 0.05. With
this many tests one or two would say so by chance.

{apart}

![accuracy with reconstructed features](evaluation/consistency.png)

KNOWLEDGE_TEXT
"""
