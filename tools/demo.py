"""What `make demo` needs to know and to say.

`python tools/demo.py RUN PICTURE ...` says in five lines what was trained, how good it is, and
where the pictures are. `python tools/demo.py --data PRESET` prints `--data fashion` for a preset of
clothes if all of them are on this machine, and nothing otherwise: the demo downloads nothing.
"""

import sys
from pathlib import Path

from hdfm.fashion import FASHION, found_elsewhere
from hdfm.markup import duration
from hdfm.page import evaluation, measures
from hdfm.run import RunFolder
from hdfm.show import said

DISTANCES = ("features · frechet", "mode frechet", "pixel frechet")


def data_option(preset):
    """The option that lets a preset of clothes learn from all of them, if they are at hand."""
    whole = any(found_elsewhere(FASHION["fashion"][0]))
    return "--data fashion" if preset.startswith("fashion") and whole else ""


def trained(run):
    """What was trained, on what, for how long."""
    _, config, about = run.record()
    last = run.metrics()[-1]
    return (
        f"Trained:  {config.model}, {last['step']:,} steps of {config.batch_size} images in "
        f"{duration(last['seconds'])}, on {about['images']:,} images of {config.data}"
    )


def scores(run):
    """{name: (generated, real)} of the measures of the run's evaluation."""
    return {name: (made, real) for name, made, real in measures(evaluation(run))}


def distance(found):
    """How far the images are from real ones."""
    name = next((name for name in DISTANCES if name in found), None)
    if name is None:
        return "Distance: not measured"
    made, real = found[name]
    return f"Distance: {said(made)} ({name.split(' · ')[-1]}); real images score {said(real)}"


def read(found):
    """How many are read as the class that was asked for."""
    made, real = found.get("accuracy", (None, None))
    if made is None:
        return "Read as the class asked for: not measured"
    floor = "" if real is None else f"; of real images {real:.0%}"
    return f"Read as the class asked for: {made:.0%}{floor}"


def main():
    if sys.argv[1] == "--data":
        print(data_option(sys.argv[2]))
        return
    run = RunFolder(sys.argv[1])
    found = scores(run)
    print(trained(run))
    print(distance(found))
    print(read(found))
    print("Pictures:", " ".join(name for name in sys.argv[2:] if Path(name).exists()))
    print(f"All of it on a page: {run.page_file}   numbers: {run.evaluation_file}")


if __name__ == "__main__":
    main()
