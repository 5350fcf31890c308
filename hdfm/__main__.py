"""The door of the command `hdfm`: help and version at once, the rest from hdfm.cli.

Written by hand and shown in nbs/23_cli.ipynb: nbdev writes one module for each notebook.
"""
import importlib
import os
import sys

from . import __version__

USAGE = """usage: hdfm {check,train,sample,evaluate,export} ...

  hdfm check FOLDER                  read every image of a folder; name those that cannot be read
  hdfm train PRESET [options]        train a generator into a run folder
  hdfm sample NETWORK --out F.png    draw images with a trained network
  hdfm evaluate NETWORK              compare what it draws with real images
  hdfm evaluate stats DATA --out F   statistics of real images, to compare many runs with
  hdfm evaluate images A B           compare two sets of images
  hdfm export RUN --out FOLDER       turn a run into a folder to share
  hdfm --version

NETWORK: a run folder, an exported folder, the name of a network that comes with hdfm (digits), or
owner/name on the Hub.
Each has --help. The book: https://hdfm.github.io/hdfm"""


def main(argv=None):
    """The command `hdfm`."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("--help", "-h"):
        print(USAGE)
        return 0
    if argv[0] in ("--version", "-V"):
        print(f"hdfm {__version__}")
        return 0
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # before PyTorch is loaded
    return importlib.import_module("hdfm.cli").main(argv)


if __name__ == "__main__":
    sys.exit(main())
