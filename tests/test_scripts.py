"""The scripts for real machines: the data they prepare, and the lines they would start."""
import io
import os
import signal
import subprocess
import sys
import tarfile
import time

import pytest
from conftest import ROOT
from conftest import files as contents
from PIL import Image

from hdfm.cli import evaluate_parser, train_parser
from hdfm.data import photographs
from hdfm.listing import list_images

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs bash")
SCRIPTS = ROOT / "scripts"
STUB = """#!/usr/bin/env bash
echo "$(basename "$0") ${RANK:-} ${LOCAL_RANK:-} ${WORLD_SIZE:-} ${MASTER_ADDR:-}"
printf '%s\\n' "$@"
"""


def pictures(n):
    """`n` small JPEG files cut from a photograph."""
    scene = Image.fromarray(photographs()["china"])
    files = []
    for i in range(n):
        file = io.BytesIO()
        scene.crop((8 * i, 0, 8 * i + 48, 40)).save(file, "JPEG")
        files.append(file.getvalue())
    return files


def add(tar, name, data):
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


@pytest.fixture
def imagenet(tmp_path):
    """A tar of three tars, as that of ImageNet is, and what should come of it."""
    whole = tmp_path / "train.tar"
    found = {}
    files = iter(pictures(9))
    with tarfile.open(whole, "w") as big:
        for name in ("n00000001", "n00000002", "n00000003"):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as small:
                for i in range(3):
                    found[f"{name}/{name}_{i}.JPEG"] = data = next(files)
                    add(small, f"{name}_{i}.JPEG", data)
            add(big, f"{name}.tar", inner.getvalue())
    return whole, found


@pytest.fixture
def stubs(tmp_path):
    """A folder for the front of PATH, with the named commands that only print their words."""
    folder = tmp_path / "stubs"
    folder.mkdir()

    def make(text, *names):
        for name in names:
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        return dict(PATH=f"{folder}{os.pathsep}{os.environ['PATH']}")

    return make


def run(script, *args, env=(), status=0):
    command = ["bash", SCRIPTS / script, *map(str, args)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=os.environ | dict(env)
    )
    assert done.returncode == status, done.stderr
    return done


@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.iterdir()))
def test_each_script_is_bash_and_says_how_to_call_it(script):
    text = (SCRIPTS / script).read_text()
    subprocess.run(["bash", "-n", SCRIPTS / script], check=True)
    assert os.access(SCRIPTS / script, os.X_OK) and text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text and f"scripts/{script}" in text


def test_imagenet_is_unpacked(imagenet, tmp_path):
    tar, found = imagenet
    done = run("prepare_imagenet.sh", tar, tmp_path / "out", env=dict(CHECK="0"))
    assert contents(tmp_path / "out") == found
    assert "3 classes, 9 pictures" in done.stdout and "1281167" in done.stderr
    assert len(list_images(tmp_path / "out").names) == 9


def test_imagenet_killed_in_the_middle_of_a_class_and_called_again(imagenet, stubs, tmp_path):
    tar, found = imagenet
    out = tmp_path / "out"
    here = tmp_path / "here"
    asked = subprocess.run(["bash", "-c", "command -v tar"], capture_output=True, text=True)
    real = asked.stdout.strip()
    slow = stubs(f"""#!/usr/bin/env bash
case "$*" in
    *-C*.n00000002*) {real} "$@" && rm -f {out}/.n00000002.*/*_2.JPEG && touch {here} && sleep 60;;
    *) exec {real} "$@";;
esac
""", "tar")
    process = subprocess.Popen(
        ["bash", SCRIPTS / "prepare_imagenet.sh", tar, out],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | slow | dict(CHECK="0", JOBS="1"),
    )
    end = time.monotonic() + 30
    while not here.exists() and time.monotonic() < end:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert here.exists() and [path.name for path in out.glob("n*")] == ["n00000001"]
    assert len(list(out.glob(".n00000002.partial.*/*"))) == 2
    assert len(list_images(out).names) == 3  # what is half done is not taken for a class

    def changed():
        return {path: path.stat().st_ctime_ns for path in (out / "n00000001").iterdir()}

    before = changed()
    run("prepare_imagenet.sh", tar, out, env=dict(CHECK="0"))
    assert contents(out) == found and before == changed()


def test_imagenet_of_another_sum_or_damaged_is_refused(imagenet, tmp_path):
    tar, _ = imagenet
    assert "MD5" in run("prepare_imagenet.sh", tar, tmp_path / "a", status=1).stderr
    assert not contents(tmp_path / "a")
    (tmp_path / "cut.tar").write_bytes(tar.read_bytes()[:-12_000])
    command = ["bash", SCRIPTS / "prepare_imagenet.sh", tmp_path / "cut.tar", tmp_path / "b"]
    unchecked = dict(CHECK="0")
    done = subprocess.run(command, capture_output=True, env=os.environ | unchecked)
    assert done.returncode and not (tmp_path / "b" / "n00000003").exists()
    with tarfile.open(tmp_path / "other.tar", "w") as other:
        add(other, "readme.txt", b"x")
    words = tmp_path / "other.tar", tmp_path / "c"
    assert "no tars" in run("prepare_imagenet.sh", *words, env=unchecked, status=1).stderr
    assert "prepare_imagenet.sh ILSVRC" in run("prepare_imagenet.sh", status=2).stderr


def test_places_is_unpacked_without_its_other_parts(tmp_path):
    tar = tmp_path / "places.tar"
    out = tmp_path / "places"
    data = pictures(4)
    names = "train/airfield/1", "train/airfield/2", "train/zen_garden/1", "val/airfield/3"
    with tarfile.open(tar, "w") as big:
        for picture, name in zip(data, names):
            add(big, f"places365_standard/{name}.jpg", picture)
        add(big, "places365_standard/train.txt", b"train/airfield/1.jpg\n")
    # left by a call that was killed
    (tmp_path / "places.partial" / "airfield").mkdir(parents=True)
    (tmp_path / "places.partial" / "airfield" / "1.jpg").write_bytes(data[0][:100])
    done = run("prepare_places365.sh", tar, out)
    assert contents(out) == {
        "airfield/1.jpg": data[0],
        "airfield/2.jpg": data[1],
        "zen_garden/1.jpg": data[2],
    }
    assert "2 classes, 3 pictures" in done.stdout and "1803460" in done.stderr
    assert not (tmp_path / "places.partial").exists()
    assert "2 classes, 3 pictures" in run("prepare_places365.sh", tar, out).stdout
    run("prepare_places365.sh", status=2)


TRAIN = ["imagenet256", "--data", "/pictures", "--out", "runs/it", "--resume", "auto"]
WHERE = dict(DATA="/pictures", OUT="runs/it")


NODES = (
    "--nnodes 4 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint m0:29500 "
    "--rdzv-id hdfm -m hdfm.train"
)


@pytest.mark.parametrize(
    "script, start, more",
    [
        ("train_1gpu.sh", "train", "--micro-batch 128"),
        ("train_8gpus.sh", "--standalone --nproc-per-node 8 -m hdfm.train", "--micro-batch 128"),
        ("train_nodes.sh", NODES, ""),
    ],
)
def test_the_line_that_starts_a_training(script, start, more, stubs):
    start = start.split()
    parsed = train_parser().parse_args
    env = stubs(STUB, "hdfm", "torchrun") | WHERE | dict(NODES="4", HEAD="m0")
    command, *words = run(script, "--lr", "1e-4", "--model", "a b", env=env).stdout.splitlines()
    assert command.split() == ["hdfm" if script == "train_1gpu.sh" else "torchrun"]
    assert words == [*start, *TRAIN, *more.split(), "--lr", "1e-4", "--model", "a b"]
    options = parsed(words[len(start):])
    assert options.lr == 1e-4 and options.data == "/pictures" and not options.dry_run
    dry = run(script, env=env | dict(DRY="1", PRESET="places365")).stdout.splitlines()[1:]
    assert parsed(dry[len(start):]).dry_run and dry[len(start)] == "places365"
    env.pop("DATA")
    assert "DATA=FOLDER" in run(script, env=env, status=1).stderr


def test_slurm_starts_every_rank_with_its_number(stubs):
    srun = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do shift; done
for rank in 0 1 2 3; do
    SLURM_PROCID=$rank SLURM_LOCALID=$((rank % 2)) SLURM_NTASKS=4 "$@"
done
"""
    stubs(STUB, "python")
    stubs("#!/usr/bin/env bash\necho first\necho second\n", "scontrol")
    job = dict(SLURM_JOB_NODELIST="some", SLURM_JOB_ID="7", SLURM_CPUS_PER_TASK="14")
    env = stubs(srun, "srun") | WHERE | job
    lines = run("train_slurm.sbatch", "--lr", "1e-4", env=env).stdout.splitlines()
    asked = ["-m", "hdfm.train", *TRAIN, "--lr", "1e-4"]
    size = 1 + len(asked)
    assert len(lines) == 4 * size
    for rank in range(4):
        assert lines[rank * size:(rank + 1) * size] == [f"python {rank} {rank % 2} 4 first", *asked]
    assert "--dry-run" in run("train_slurm.sbatch", env=env | dict(DRY="1")).stdout
    script = (SCRIPTS / "train_slurm.sbatch").read_text()
    head = [line for line in script.splitlines() if not line.startswith("#")]
    assert "#SBATCH --signal=USR1@300" in script and head[0] == "set -euo pipefail"


def test_the_line_that_starts_an_evaluation(stubs):
    env = stubs(STUB, "hdfm", "torchrun")
    words = "runs/it --protocol 50k --features inception --reference ref.safetensors".split()
    asked = "evaluate_50k.sh", "runs/it", "ref.safetensors"
    one = run(*asked, "--batch", "64", env=env).stdout.splitlines()
    assert one[1:] == ["evaluate", *words, "--batch", "64"]
    many = run(*asked, env=env | dict(GPUS="4")).stdout.splitlines()
    assert many[1:] == ["--standalone", "--nproc-per-node", "4", "-m", "hdfm.evaluate", *words]
    assert evaluate_parser().parse_args(words).protocol == "50k"
    run("evaluate_50k.sh", "runs/it", env=env, status=2)
