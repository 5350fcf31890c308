"""Processes of the command, forked from one that has imported PyTorch: to start is a matter of
milliseconds, and not of seven seconds of computing.

Each is a process of its own, with its own environment, folder and output, and a signal ends it as
it ends any other. A fresh one differs in this: it has to import everything, it hashes with a seed
of its own, it runs what is to be run at exit, and what is given up at an `exec` is given up. So a
part of the tests starts fresh ones: the run that others are compared with, the trainings behind
PyTorch's launcher, the first seconds of a command, the installed wheel.
"""

import functools
import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path

LOADED = (
    "torch.distributed.checkpoint.state_dict torch.utils.flop_counter torch._dynamo "
    "sklearn.datasets matplotlib.pyplot hdfm.cli"
).split()


@functools.cache
def forks():
    """A context of processes that begin with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    return context


def enter(words, outputs, env, folder):
    """What a forked process does: `python WORDS`, in that environment and that folder."""
    from tqdm import tqdm

    for number, name in zip((1, 2), outputs):
        os.dup2(os.open(name, os.O_WRONLY), number)
    tqdm.set_lock(threading.RLock())  # its own would outlive a process that is killed
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    warnings.filterwarnings("ignore", "'hdfm.* found in sys.modules", RuntimeWarning)
    is_module = words[0] == "-m"
    sys.argv = words[is_module:]
    if not is_module:
        sys.path.insert(0, str(Path(words[0]).parent))
    run = runpy.run_module if is_module else runpy.run_path
    more = dict(alter_sys=True) if is_module else {}
    run(sys.argv[0], run_name="__main__", **more)


class Forked:
    """`python WORDS` as a forked process: "-m", a module and its words, or a script and its words.
    What it has in common with `subprocess.Popen` is named as there."""

    def __init__(self, *words, env=None, cwd=None):
        self.args = [str(word) for word in words]
        self.files = [tempfile.NamedTemporaryFile() for _ in range(2)]
        outputs = [file.name for file in self.files]
        place = str(Path(cwd or os.curdir).absolute())
        there = dict(os.environ if env is None else env)
        given = (self.args, outputs, there, place)
        self.process = forks().Process(target=enter, args=given)
        self.process.start()
        self.pid = self.process.pid

    returncode = property(lambda self: self.process.exitcode)

    def poll(self):
        return self.returncode

    def wait(self, timeout=None):
        self.process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def communicate(self, timeout=None):
        """What it has said, on stdout and on stderr, once it has ended."""
        self.wait(timeout)
        return tuple(file.read().decode() for file in self.files)

    def send_signal(self, number):
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self):
        self.process.terminate()

    def kill(self):
        self.process.kill()


def finished(*words, timeout=300, **more):
    """The `subprocess.CompletedProcess` of a forked process."""
    process = Forked(*words, **more)
    try:
        said = process.communicate(timeout)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, *said)


def start(*words, size=1):
    """Start `python WORDS` once for each rank, as torchrun would."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    group = os.environ | dict(WORLD_SIZE=str(size), MASTER_ADDR="localhost", MASTER_PORT=str(port))
    return [
        Forked(*words, env=group | dict(RANK=str(rank), LOCAL_RANK=str(rank)))
        for rank in range(size)
    ]


def finish(processes):
    """(exit status, what it said on stderr) of each process, once it has ended."""
    said = [process.communicate(timeout=300)[1] for process in processes]
    return [(p.returncode, text) for p, text in zip(processes, said, strict=True)]


def codes(processes):
    return [code for code, _ in finish(processes)]
