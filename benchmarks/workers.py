"""Processes that train for another, and stop when it is gone."""

import os
import sys


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
