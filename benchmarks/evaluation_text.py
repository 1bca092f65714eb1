"""The words of docs/results/evaluation.md; what is said of numbers, of the run that is there."""

CAPTIONS = {
    "confidence": (
        "Fig. 4: how sure each exit is",
        """Three quarters and more of the right answers have a softmax value above 0.95, at every
exit; wrong answers are spread from 0.3 to 1. The final exit tells them apart best: of its 15 to 29
wrong answers one is surer than 0.9, of the branches' 19 to 31 it is 2 to 9. The paper compares with
naive branches, which are not among these.""",
    ),
    "patterns": (
        "Fig. 5: the patterns at one accuracy",
        """All three let more than nine in ten images leave at exit1, as the paper's do with most,
and cost within 4 % of each other. 2+2 is the cheapest, then 1+3, then 3+1: the paper has the
decreasing pattern first. The second exit of 1+3 is off.""",
    ),
    "front": (
        "Figs. 6 to 8: accuracy against average cost",
        """All fronts lie at 4.3 to 6.1 million MACs, the backbones at 10.1. 3+1 begins lowest and
ends highest, above its own backbone. Lines go up and down because thresholds come from val. The
backbones alone, the hollow points, differ by four points between networks: more than their fronts
do, so what is seen is one training each rather than a pattern.""",
    ),
    "classes": (
        "Fig. 9: class by class",
        """8 and 9 are the classes that leave least at exit1, 89 % of their images, and the least
accurate ones. 8 loses most to early exit: 4 of its 35 images. 0, 2, 3 and 7 leave at exit1 to the
last image. Shown of 3+1, and so are the next two.""",
    ),
    "groups": (
        "Fig. 10: easy classes and hard ones",
        """Left: the more of a class leaves at exit1, the more accurate it is, as in the paper;
at the upper end four classes leave altogether and cannot be ordered. Right: sending everyone out
at exit1 loses 4.5 points, leaving by threshold half of that, for 5 % more MACs.""",
    ),
    "examples": (
        "Fig. 11: who leaves where",
        """What leaves late looks cut off or ambiguous to the eye too. Of the six that left at
exit2 the first exit would have been wrong on four; of the five that went all the way the backbone
is right on three, and exit1 would have been on one, 38 % sure.""",
    ),
}
"""By figure: its heading, and what is seen in it."""

REPORT = """# Thresholds, figures and knowledge consistency on the digits

Written by `make results` (`benchmarks/evaluation_results.py`), which runs `edgeexit tune`,
`export`, `figures` and `consistency` as a user would; the tables are in
[evaluation.json](evaluation.json) as well, the numbers of the pictures as CSV in
`evaluation/`. Tables follow from the runs; what is said of them and of the pictures was
written about the run shown here.

ResNet-20 with two exits on scikit-learn's handwritten digits at 16x16 pixels. The paper's networks
are of ImageNet and CIFAR-100: what a small network makes of an easy data set neither confirms nor
refutes what was found there.

For thresholds and figures the networks are those of seed 0 in [training.md](training.md), which
learned from 138 images to make the task harder. Thresholds are chosen on {validation} other images
(val) and judged on {samples} further ones (test), where one image is {step} points and brackets are
95 % bootstrap intervals. Patterns differ by one training each here; over five,
[training.md](training.md) could not tell 3+1 from the others.

## The front

`edgeexit tune --front --plot`, exact over all combinations of the grid. {accuracy} % is the highest
accuracy on val that all three reach, less 0.2 points and rounded down.

{front}

Every pattern is as accurate on val as its own backbone for less than half of the MACs, and 2+2 and
3+1 get a point above the plain backbone there for 53 and 60 % of its MACs. At {accuracy} % on
val the three cost nearly
the same. 3+1 reaches the highest accuracy, on val and on test, but it is the dearest of the three
at the common one, where the paper has the decreasing pattern ahead. With 359 test images the
intervals are five points wide and overlap everywhere: no pattern is shown to be better. What is
chosen on val need not hold: the settings of 1+3 that are the most accurate on val are its least
accurate ones on test.

{tuned_pictures}

## What switching exits off does

An exit with a threshold of *off* lets nobody leave, and its branch is not run. The table has the
choice for {accuracy} % on val; the lowest cost if the branch of an exit that is off were run all
the same (a file of costs without `branches`); and the choice where no image may pay for the whole
network with both branches (`--max-path-cost`). Costs on val, where they are chosen.

{switching}

Ten of the 104 settings on the fronts have exit2 off, none exit1. It is 1+3 that gains, whose second
branch is the dear one: so few images are left for it that it costs more than it saves, about 1 %
of the average. The others keep both exits at this accuracy and lose nothing. A limit on the
worst path costs 1 % where it changes anything: a threshold of 0 at exit2 lets all that is left
leave there.

## Temperatures

`edgeexit tune --calibrate` fits a temperature per exit on half of the val images and chooses on the
other half, of which the expected calibration error is. The second table is what thresholds without
a loss against the network's own backbone give on test: chosen on all of val, and after calibration.

{calibration}

{calibrated}

Branches are too sure of themselves (temperatures of 1.4 to 1.7), the final exits are not (about 1).
The error falls at six of nine exits, and rises a little at two final ones and by 1.3 points at
exit2 of 3+1: with 650 images to fit on and as many to judge on it is a noisy figure itself.
Thresholds are no better for it: cost and accuracy on test stay within the intervals. Each exit
has a threshold of its own, which makes up for confidences that are too high, and calibration leaves
half of val to choose on.

## Thresholds by MACs and by milliseconds

The networks as FP32 bundles on ONNX Runtime, {cpu}, one thread per graph, batch 1, while other work
went on. `edgeexit tune --engine-dir ... --objective latency` measured each path three times:
medians, over the plain backbone of the same measurement.

{paths}

Both choices for {accuracy} % on val, on test, at the times of all measurements. The last column
counts the settings on the front by milliseconds that are not on the one by MACs.

{objectives}

For a network this small Eq. 5 is too optimistic. An image that leaves at exit1 takes about 0.6 of
the backbone's time rather than 0.44, and the more blocks the first branch has, the more: they have
few MACs, but many small operators. One that leaves at exit2 takes longer than the plain backbone,
one that goes all the way half as long again. What early exit saves on average is 30 to 40 % of the
time rather than 53 to 55 % of the MACs, and by time 1+3 is the cheapest pattern, 3+1 the dearest.
Still the choice at this accuracy is the same by both measures, in every measurement: nearly
everyone leaves at exit1 either way. Elsewhere on the fronts a few settings differ.

{figures}

## Knowledge consistency (Section V-G, Figs. 12 and 13)

`edgeexit consistency` with N = 0 to 3 and 3 fits each, batches of {fit_batch}, on networks that
learned from all {train_images} training images: 138 are too few to fit the reconstructions. A plain
ResNet-20 of one seed is the baseline, right on {baseline} % of the test images. {seeds} networks of
each pattern, and {seeds} more plain ones, were trained with other seeds: with the baseline's own
they would start from the baseline's weights. The mean over 3 fits counts as one value; ± is the
standard deviation over the {seeds} trainings, but of *the baseline itself* over its fits. *std of
fits* is how far fits of one network differ.

Accuracy of the baseline with reconstructed features, in percent. With its own features shuffled
across images, the control, it is {control} %, where chance is 10 %.

{knowledge}

![accuracy with reconstructed features](evaluation/consistency.png)

Variance of the baseline's features that the reconstruction leaves unexplained, in percent, over the
training images of the last epoch.

{unexplained}

Differences of two rows over all N, seed by seed, with Student's t test: *yes* is p <= 0.05.

{apart}

**The patterns cannot be told apart.** After stage1 all are within a point of the baseline, plain
networks of other seeds included. After stage2 plain networks lie above those with branches by half
a point, most at N = 1, as they would if branches disrupted something; but three trainings differ by
as much. That the decreasing pattern is the most consistent one in the early stages, as the paper
finds, is not seen: 3+1 is ahead by 0.1 to 0.2 points after stage1 and behind by as much after
stage2. Of these 24 tests one says *yes*, by 0.3 points of variance, and one in twenty does so by
chance.

In the paper N = 0 is the lowest; here it is the highest after stage2, and N = 1 the lowest, even of
the baseline itself. Part of that are the fits, which have 670 steps: with non-linear layers they
do not get back to the features that they started from (3.5 % unexplained at N = 0, 10.5 % at N = 3
after stage1; 7 % and 24 % after stage2). Other networks' features are reconstructed better with
more layers, and come near that floor. On digits accuracy hardly follows: a quarter of the variance
may be missing and the baseline is still right on 96 %. A harder data set would be needed to see
more.
"""
