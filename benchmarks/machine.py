"""What a benchmark ran on, for the record.

A copy of the files without their history is told its commit by the variable COMMIT."""

import os
import platform
import subprocess
from pathlib import Path

import numpy
import scipy
import torch


def machine():
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    cpu = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )
    commit = os.environ.get("COMMIT")
    if not commit:
        command = ["git", "rev-parse", "--short", "HEAD"]
        here = Path(__file__).parent
        commit = subprocess.run(command, capture_output=True, text=True, cwd=here).stdout.strip()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return dict(
        cpu=cpu,
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        gpu=gpu,
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=numpy.__version__,
        scipy=scipy.__version__,
        commit=commit or None,
    )
