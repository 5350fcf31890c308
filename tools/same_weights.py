"""Does this checkout train the same weights as another? `python tools/same_weights.py OTHER`.

OTHER is a checkout of an earlier commit (`git worktree add ../before COMMIT`). Both train the same
tiny networks on this machine, with this Python and one thread: digits with and without blur, blur
alone, every rival, and digits on two ranks. What must be equal is equal to the last bit: the
weights of the network, of their average, and the optimiser's moments. Ten minutes on one core.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from safetensors.torch import load_file

HERE = Path(__file__).resolve().parents[1]
COMMON = "--steps 200 --warmup 20 --save-every 200 --sample-every 200 --proxy-every 0".split()
OLD_CHAIN = "--prediction v --solver ancestral --last-time 1 --time-sampling uniform"
OLD_BLURRING = "--prediction eps --loss eps --time-sampling uniform --solver ancestral"
OLD_BLURRING += " --last-time 1"
CASES = {  # name -> (ranks, options, options of a checkout that does not know what a path needs)
    "r = 1": (1, "", ""),
    "r = 0": (1, "--blur-strength 0", ""),
    "blur alone": (1, "--path blur", ""),
    "IHDM": (1, "--path ihdm --levels 10", f"{OLD_CHAIN} --sample-steps 10"),
    "blurring diffusion": (1, "--path blurring", OLD_BLURRING),
    "LapFlow": (1, "--path lapflow", "--time-sampling uniform"),
    "r = 1 on two ranks": (2, "", ""),
}


def train(checkout, out, ranks, options):
    """Train digits with the code of a checkout; returns the tensors of its last checkpoint."""
    launch = ["-m", "hdfm.train"]
    if ranks > 1:
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
        launch = [*torchrun, *launch]
    command = [sys.executable, *launch, "digits", "--out", str(out), *COMMON, *options.split()]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, env=environment, cwd=checkout, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{checkout}: {done.stderr[-2000:]}")
    return load_file(out / "checkpoints" / "step-0000200" / "state.safetensors")


def main():
    other = Path(sys.argv[1]).resolve()
    before_configs = not (other / "hdfm" / "config.py").exists()
    failed = 0
    print("| digits, 200 steps | tensors | different |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, (ranks, options, old) in CASES.items():
            theirs = f"{options} {old}" if before_configs else options
            a = train(other, Path(folder) / f"{name}, there", ranks, theirs)
            b = train(HERE, Path(folder) / f"{name}, here", ranks, options)
            different = sum(key not in a or not a[key].equal(b[key]) for key in b)
            different += len(a.keys() - b.keys())
            failed += bool(different)
            print(f"| {name} | {len(b)} | {different} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
