"""Validation accuracy of every exit and of the teacher."""

from __future__ import annotations

from torch import nn
from torch.utils.data import Subset

from edgeexit.data.dataset import ImageDataset
from edgeexit.evaluation.predictions import predict
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.training.distributed import World
from edgeexit.training.teaching.teachers import TEACHER, TaughtNet, Teacher


def exit_accuracies(
    net: MultiExitNet, teacher: Teacher | None, images: ImageDataset, world: World, workers: int
) -> dict[str, float]:
    """Return each exit's accuracy and, under :data:`TEACHER`, the teacher's if there is one.

    Every process evaluates its share of the images, so all of them must call this.

    Args:
        net: in any mode, which is restored.
        teacher: evaluated on the same images; None without.
        images: labelled images.
        world: the training processes.
        workers: image loading processes per training process.
    """
    judged: nn.Module = net
    names = list(net.spec.exit_names)
    if teacher is not None:
        judged, names = TaughtNet(net, teacher), [*names, TEACHER]
    share = range(world.rank, len(images), world.size)
    correct = [0.0] * len(names)
    if share:
        subset = Subset(images, share)
        predictions = predict(judged, subset, device=world.device, workers=workers)
        correct = predictions.correct.sum(axis=1).tolist()
    counts = zip(names, world.sum(correct), strict=True)
    return {name: count / len(images) for name, count in counts}
