"""Distances in the features by which `hdfm evaluate` judges a small data set."""

from hdfm.data import as_bytes
from hdfm.features import features_of
from hdfm.metrics import feature_statistics, frechet_of_statistics
from hdfm.parallel import Ranks
from hdfm.report import yardstick


class Judge:
    """The squared Fréchet distance of images to held-out ones, in the features of a data set."""

    def __init__(self, data, held_out):
        self.extract = yardstick(data, held_out.shape[1:], Ranks()).extract
        self.real = self.statistics(held_out)

    def statistics(self, images):
        found = features_of(as_bytes(images), self.extract, progress=None)["features"]
        return feature_statistics(found)

    def distance(self, images):
        distance = frechet_of_statistics(*self.statistics(images), *self.real)
        return float(f"{distance:.5g}")
