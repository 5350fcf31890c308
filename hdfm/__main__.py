"""The door of the command `hdfm`: help and version at once, the rest from hdfm.cli.

Written by hand and shown in nbs/33_cli.ipynb: nbdev writes one module for each notebook.
"""
import importlib
import os
import signal
import sys
import threading
from contextlib import contextmanager

from . import __version__

USAGE = """usage: hdfm {check,train,sample,evaluate,export,import,doctor} ...

  hdfm check FOLDER                  read every image of a folder; name those that cannot be read
  hdfm train PRESET [options]        train a generator into a run folder
  hdfm sample NETWORK --out F.png    draw images with a trained network
  hdfm evaluate NETWORK              compare what it draws with real images
  hdfm evaluate stats DATA --out F   statistics of real images, to compare many runs with
  hdfm evaluate images A B           compare two sets of images
  hdfm export RUN --out FOLDER       turn a run into a folder to share, or a network into a file
  hdfm import jit FILE --out FOLDER  turn a checkpoint of LTH14/JiT into such a folder
  hdfm doctor [RUN]                  whether this machine can train, or whether a run is well
  hdfm --version

NETWORK: a run folder, an exported folder, the name of a network that comes with hdfm (digits), or
owner/name on the Hub.
Each has --help. The book: https://hdfm.github.io/hdfm"""


def say(text):
    """Print a text; a reader who has left is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def leave(number, frame):
    """End at once: nothing has begun yet."""
    os.write(2, b"hdfm: interrupted\n")
    os._exit(130)


@contextmanager
def nothing_to_save():
    """While PyTorch is loaded, Ctrl-C ends the program without a traceback."""
    is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ours = is_usual and threading.current_thread() is threading.main_thread()
    if ours:
        signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def main(argv=None):
    """The command `hdfm`."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("--help", "-h"):
        say(USAGE)
        return 0
    if argv[0] in ("--version", "-V"):
        say(f"hdfm {__version__}")
        return 0
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # before PyTorch is loaded
    try:
        with nothing_to_save():
            cli = importlib.import_module("hdfm.cli")
        return cli.main(argv)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
