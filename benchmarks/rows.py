"""Rows of the queues of networks, read by condition; and the rule by which two are compared."""

import json
import math
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results"


def newest(name):
    """The newest committed result of that name, if there is one."""
    files = sorted(RESULTS.glob(f"*-{name}.json"))
    return json.loads(files[-1].read_text()) if files else None


def verdict(a, b):
    """Is `a` nearer than `b`? Both are {seed: number}; 'open' below three common seeds.

    A difference counts if it has one sign on all seeds, and its mean is more than two standard
    errors.
    """
    gaps = [math.log(a[s] / b[s]) for s in a if s in b]
    if len(gaps) < 3:
        return "open"
    error = np.std(gaps, ddof=1) / math.sqrt(len(gaps))
    one_sign = len({gap > 0 for gap in gaps}) == 1
    if not one_sign or abs(np.mean(gaps)) <= 2 * error:
        return "undecided"
    return "nearer" if np.mean(gaps) < 0 else "farther"


def ratio(a, b):
    """How many times as large `a` is as `b`, in the mean over the seeds that both have."""
    return math.exp(np.mean([math.log(a[s] / b[s]) for s in a if s in b]))


def against(a, b):
    """That as text: in brackets if undecided, with a question mark below three common seeds."""
    if not a.keys() & b.keys():
        return "–"
    found = f"{ratio(a, b):.2f}"
    return {"undecided": f"({found})", "open": f"{found} ?"}.get(verdict(a, b), found)


def percent(shares):
    """{seed: share} as {seed: per cent}."""
    return {seed: 100 * share for seed, share in shares.items()}


def spread(values, digits=2):
    """Mean and standard deviation over seeds; how many they are, if not three."""
    v = [*values.values()]
    if not v:
        return "–"
    if len(v) == 1:
        return f"{v[0]:.{digits}f} (1 seed)"
    more = "" if len(v) == 3 else f" ({len(v)} seeds)"
    return f"{np.mean(v):.{digits}f} ± {np.std(v, ddof=1):.{digits}f}{more}"


class Rows:
    """What a queue has measured, by condition, which is all that a row is known by but its seed.

    Each measure is {seed: number}.
    """

    def __init__(self, name, keys):
        self.result = newest(name)
        self.rows = {tuple(row[k] for k in (*keys, "seed")): row for row in self.result["rows"]}

    def of(self, *condition):
        """{seed: row}"""
        return {key[-1]: row for key, row in sorted(self.rows.items()) if key[:-1] == condition}

    def best(self, *condition, by="frechet"):
        """{seed: scores} with the sampler that suits a condition best: of the two last times that
        all were tried with, that of the smaller mean distance."""
        tried = {seed: row["scores"] for seed, row in self.of(*condition).items()}
        common = set.intersection(*map(set, tried.values())) if tried else ()
        ways = [{s: scores[name] for s, scores in tried.items()} for name in sorted(common)]
        return min(ways, key=lambda way: sum(one[by] for one in way.values()), default={})

    def distances(self, *condition, by="frechet"):
        """The distance in features, or by another measure, at the sampler that is best by it."""
        return {seed: one[by] for seed, one in self.best(*condition, by=by).items()}

    def pixels(self, *condition):
        """`distances` in pixels; of digits they are the same."""
        return self.distances(*condition, by="pixel_frechet")

    def also(self, name, *condition):
        """Another measure (recall, seams, …) of the images with the best distance."""
        return {seed: one[name] for seed, one in self.best(*condition).items()}

    def reads(self, *condition):
        """The share of images that a classifier reads as the class asked for."""
        rows = self.of(*condition).items()
        return {s: max(one["accuracy"] for one in row["scores"].values()) for s, row in rows}

    def bits(self, *condition):
        """Bits per dimension, where a path has a likelihood."""
        rows = self.of(*condition).items()
        return {s: np.mean(row["likelihood"]["bits"]) for s, row in rows if row.get("likelihood")}


class Laboratory(Rows):
    """What the laboratory has measured. A condition: data, way, times of training, patch.

    The usual times if none are named; patch 0: the network's usual one.
    """

    def __init__(self):
        super().__init__("laboratory", ("data", "way", "times", "patch"))

    def of(self, data, way, times=None, patch=0):
        return super().of(data, way, times or self.result["usual"][data], patch)

    def best_times(self, data, way, fewest=3):
        """(times, {seed: distance}) of the times of training that suit a path best: of those that
        at least so many seeds were tried with, by the mean over the seeds that all have."""
        tried = {t: self.distances(data, way, t) for t in self.result["times"]}
        tried = {t: d for t, d in tried.items() if len(d) >= fewest}
        if not tried:
            return "–", {}
        common = set.intersection(*map(set, tried.values()))
        best = min(tried, key=lambda t: sum(tried[t][seed] for seed in common))
        return best, tried[best]

    def pictures(self, data, ways):
        """{way: ten images, bytes `[10, C, H, W]`} of those ways that have pictures."""
        with np.load(sorted(RESULTS.glob("*-laboratory.npz"))[-1]) as kept:
            return {way: kept[f"{data}, {way}"] for way in ways if f"{data}, {way}" in kept}


class Multiscale(Rows):
    """What the flows of several scales have shown. A condition: data, way, budget."""

    def __init__(self):
        super().__init__("multiscale", ("data", "way", "budget"))

    def of(self, data, way, budget="flops"):
        own = "flops" if way == self.result["reference"]["way"] else budget  # both are its own
        return super().of(data, way, own)

    def gflop(self, *condition):
        """Operations of a sample."""
        return {seed: one["cost"]["gflop"] for seed, one in self.best(*condition).items()}

    def seconds(self, *condition):
        """Seconds of a sample, of those that the reference takes."""
        rows = self.of(*condition).items()
        both = {seed: row["draw_seconds"].values() for seed, row in rows}
        return {seed: min(one["own"] / one["reference"] for one in v) for seed, v in both.items()}
