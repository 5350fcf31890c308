"""Queues of networks, and the processes that train for them and stop when the queue is gone."""

import argparse
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from tqdm import tqdm


class Alone:
    """True once the process that started this one is gone: then nobody waits for the result, and
    training stops where it can go on."""

    def __init__(self):
        self.parent = os.getppid()

    def __bool__(self):
        return os.getppid() != self.parent


alone = ()  # in a process that was started by another: an `Alone`


def leave_if_alone():
    """End this process if nobody waits for it. (A pool would hand on an exception, and wait.)"""
    if alone:
        os._exit(0)


def quiet():
    """Begin as such a process. One bar is enough: those of the processes are not shown (their
    errors are)."""
    global alone
    alone = Alone()
    sys.stderr = open(os.devnull, "w")


def queue_parser(doc, sizes, filters):
    """The options that all queues have; each of `filters`, {name: choices}, may be given often."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--size", choices=sizes, default="small")
    for name, choices in filters.items():
        parser.add_argument(f"--{name}", action="append", choices=choices)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="processes, one thread each (2)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")
    parser.add_argument("--minutes", type=float, help="begin no network after so many")
    parser.add_argument("--list", action="store_true", help="say what is done, and end")
    return parser


def work_off(todo, work, args, line):
    """`work(entry)` of all entries, by processes of one thread each, none begun after
    `args.minutes`; `line(entry, row)` is said of each."""
    began = time.monotonic()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.jobs, context, initializer=quiet) as pool:
        bar = tqdm(total=len(todo), desc="networks", unit="network")
        waiting = iter(todo)
        running = {}
        while True:
            late = args.minutes and time.monotonic() - began > 60 * args.minutes
            while len(running) < args.jobs and not late and (e := next(waiting, None)):
                running[pool.submit(work, e)] = e
            if not running:
                break
            ended = next(as_completed(running))
            entry = running.pop(ended)
            bar.write(line(entry, ended.result()))
            bar.update()
