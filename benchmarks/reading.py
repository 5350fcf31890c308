"""How many pictures one core reads in a second: sources, decoders, and where the time goes.

    python benchmarks/reading.py                   # or: make benchmark-reading (three minutes)
    python benchmarks/reading.py --simd FOLDER     # a folder with another Pillow, such as
                                                   # pip install --target FOLDER pillow-simd

Pictures of 500x375, as large as ImageNet's and with as many bytes, are cut out of the bundled
photographs and written as a folder, as Parquet and as tar shards. One process of one thread reads
them, each way in turn, and what is reported is the median over turns of the ratio to the first
way. Times are those of a core, its own and the system's, so that it does not matter who else uses
the machine; the files are in memory by then, and no disk is measured. Decoders other than Pillow
are measured where they are installed: torchvision, simplejpeg, opencv-python-headless.

Results: benchmarks/results/DATE-reading.json, with the machine named.
"""

import argparse
import datetime
import io
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
SIZE = 256
WIDE = {"500x375": (500, 375), "2000x1500": (2000, 1500)}
CROPS = (("500x375", 256), ("500x375", 128), ("2000x1500", 256))
QUALITY = 98
LOADER = "folder, by a worker process"
MORE = 4  # times as many pictures in a turn of the loader, whose time is told less finely


def write_pictures(folder, count, shape):
    """`count` JPEGs cut out of the bundled photographs, in four classes."""
    import numpy as np
    from PIL import Image

    from hdfm.data import photographs

    draw = np.random.default_rng(0)
    photos = [Image.fromarray(pixels) for pixels in photographs().values()]
    for i in range(count):
        photo = photos[i % len(photos)]
        wide = min(photo.width, photo.height * 4 / 3) * draw.uniform(0.7, 1)
        high = wide * 3 / 4
        left = draw.uniform(0, photo.width - wide)
        top = draw.uniform(0, photo.height - high)
        box = (left, top, left + wide, top + high)
        picture = photo.resize(shape, Image.Resampling.BICUBIC, box)
        place = Path(folder) / f"class {i % 4}"
        place.mkdir(parents=True, exist_ok=True)
        picture.save(place / f"{i:06d}.jpg", quality=QUALITY)


def write_sources(root, count):
    """The same pictures as a folder, as Parquet and as shards, and a few large ones."""
    import datasets

    from hdfm.folders import FolderImages
    from hdfm.shards import write_shards

    datasets.disable_progress_bars()
    for name, shape in WIDE.items():
        write_pictures(root / name, count if name == "500x375" else count // 8, shape)
    folder = FolderImages(root / "500x375", SIZE)
    write_shards(folder, root / "shards", each=64)
    cells = [dict(bytes=Path(folder.file(i)).read_bytes(), path=None) for i in range(count)]
    kinds = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(4))
    columns = dict(image=cells, label=folder.labels.tolist())
    (root / "parquet").mkdir()
    table = datasets.Dataset.from_dict(columns, features=kinds)
    table.to_parquet(root / "parquet" / "train.parquet")


# What a worker does, each with the bytes of a file and a size, to a square of bytes


def pillow(data, size):
    from hdfm.pictures import center_crop, open_image

    return center_crop(open_image(data), size)


def opened(data, draft=None):
    """Pillow alone, without our checks."""
    from PIL import Image

    image = Image.open(io.BytesIO(data))
    if draft:
        image.draft("RGB", draft)
    return image.convert("RGB")


def draft(data, size):
    """Decoded at a half, a quarter or an eighth, as long as the shorter side keeps `size`."""
    from hdfm.pictures import center_crop

    return center_crop(opened(data, draft=(size, size)), size)


def reducing_gap(data, size):
    """The whole shrunk by Pillow's two steps, then cut."""
    import numpy as np
    import torch
    from PIL import Image

    image = opened(data)
    scale = size / min(image.size)
    whole = [round(side * scale) for side in image.size]
    small = image.resize(whole, Image.Resampling.BICUBIC, reducing_gap=2.0)
    left, top = ((side - size) // 2 for side in whole)
    square = small.crop((left, top, left + size, top + size))
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()


def torchvision(data, size):
    import numpy as np
    import torch
    from PIL import Image
    from torchvision.io import ImageReadMode, decode_jpeg

    from hdfm.pictures import center_crop

    raw = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    pixels = decode_jpeg(raw, mode=ImageReadMode.RGB).permute(1, 2, 0).contiguous()
    return center_crop(Image.fromarray(np.asarray(pixels)), size)


def simplejpeg(data, size):
    import simplejpeg
    from PIL import Image

    from hdfm.pictures import center_crop

    return center_crop(Image.fromarray(simplejpeg.decode_jpeg(data)), size)


def opencv(data, size):
    import cv2
    import numpy as np
    from PIL import Image

    from hdfm.pictures import center_crop

    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return center_crop(Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)), size)


DECODERS = dict(
    pillow=pillow,
    draft=draft,
    reducing_gap=reducing_gap,
    torchvision=torchvision,
    simplejpeg=simplejpeg,
    opencv=opencv,
)
PACKAGES = dict(
    pillow="pillow",
    torchvision="torchvision",
    simplejpeg="simplejpeg",
    opencv="opencv-python-headless",
)


def installed(name):
    try:
        return version(PACKAGES.get(name, "pillow"))
    except PackageNotFoundError:
        return None


def make_tasks(root, each):
    """{name: a function that reads `each` pictures} of a process."""
    import torch

    from hdfm.data import batches
    from hdfm.folders import open_images

    torch.set_num_threads(1)
    tasks = {}
    places = dict(folder="500x375", parquet="hf:parquet", shards="shards:shards")
    for name, place in places.items():
        head, colon, tail = place.rpartition(":")
        data = open_images(head + colon + str(root / tail), SIZE)
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0)).tolist()
        tasks[name] = partial(data.read, order[:each])
        tasks[f"{name}: file"] = partial(fetch, data, order[:each])
        if name == "folder":
            lists = [order[i : i + 16] for i in range(0, len(data), 16)] * 10_000
            loader = iter(batches(data, lists, 1))
            tasks[LOADER] = partial(loaded, loader, MORE * each // 16)
    for wide, size in CROPS:
        files = sorted((root / wide).rglob("*.jpg"))[: each if wide == "500x375" else each // 8]
        bytes_of = [file.read_bytes() for file in files]
        for name, decode in DECODERS.items():
            if installed(name):
                tasks[f"{wide} to {size}: {name}"] = partial(decoded, decode, bytes_of, size)
    return tasks


def loaded(loader, count):
    """Batches of a loader with one worker, and as many read ahead as there were before."""
    for _ in range(count):
        next(loader)
    time.sleep(1)


def core_seconds():
    """What this process and those that it has started have used of a core."""
    use = resource.getrusage(resource.RUSAGE_SELF)
    used = use.ru_utime + use.ru_stime
    for child in multiprocessing.active_children():  # as Linux has it, in hundredths
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        used += sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
    return used


def fetch(data, indices):
    """The files of pictures, undecoded."""
    for i in indices:
        file = data.file(i)
        if not isinstance(file, bytes):
            Path(file).read_bytes()


def decoded(decode, files, size):
    return [decode(data, size) for data in files]


def parts(root, each, rounds=5):
    """Milliseconds for one picture in each part of what our reader does: medians."""
    import numpy as np
    import torch
    from PIL import Image

    from hdfm.pictures import center_crop, to_rgb

    took = dict(read=[], decode=[], checks=[], crop=[], tensor=[])
    for file in sorted((root / "500x375").rglob("*.jpg"))[:each] * rounds:
        marks = [time.process_time()]
        data = file.read_bytes()
        marks.append(time.process_time())
        image = Image.open(io.BytesIO(data))
        image.load()
        marks.append(time.process_time())
        to_rgb(image)
        image.getexif()
        marks.append(time.process_time())
        center_crop(image, SIZE)
        marks.append(time.process_time())
        square = Image.new("RGB", (SIZE, SIZE))
        marks.append(time.process_time())
        torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()
        marks.append(time.process_time())
        spans = [b - a for a, b in zip(marks, marks[1:])]
        for name, seconds in zip(took, spans[:4] + spans[5:]):
            took[name].append(seconds)
    found = {name: statistics.median(times) * 1e3 for name, times in took.items()}
    found["crop"] -= found["tensor"]  # with which center_crop ends
    return {name: round(ms, 3) for name, ms in found.items()}


def differences(root, count=32):
    """How far other ways are from ours, in levels of 255: {case: [mean, largest]}. The first
    process to be asked leaves its pictures for the second."""
    import torch

    found = {}
    for number, (wide, size) in enumerate(CROPS):
        files = [file.read_bytes() for file in sorted((root / wide).rglob("*.jpg"))[:count]]

        def squares(decode):
            return torch.stack([decode(data, size) for data in files]).int()

        kept = root / f"{number}.pt"
        first = not kept.exists()
        if first:
            torch.save(squares(pillow), kept)
        ours = torch.load(kept, weights_only=True)
        others = [name for name in DECODERS if installed(name)] if first else ["pillow"]
        for name in others:
            gap = (squares(DECODERS[name]) - ours).abs()
            name = f"{wide} to {size}: {name}" + "-simd" * (not first)
            found[name] = [round(gap.float().mean().item(), 3), gap.max().item()]
    return found


def worker(root, each):
    """Answer each line of standard input, the name of a task, with the seconds that it took."""
    from PIL import features

    tasks = make_tasks(root, each)
    for task in tasks.values():
        task()
    turbo = features.version_feature("libjpeg_turbo")
    print(json.dumps(dict(names=list(tasks), turbo=turbo)), flush=True)
    for line in sys.stdin:
        line = line.rstrip("\n")
        if line == "parts":
            print(json.dumps(parts(root, each)), flush=True)
        elif line == "differences":
            print(json.dumps(differences(root)), flush=True)
        else:
            began = core_seconds()
            tasks[line]()
            print(core_seconds() - began, flush=True)


def started(root, each, simd=None):
    """A worker process, and what it said when it was ready."""
    command = [sys.executable, __file__, "--worker", str(root), "--each", str(each)]
    folders = filter(None, [simd, str(HERE), os.environ.get("PYTHONPATH")])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(folders)}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    )
    return process, json.loads(process.stdout.readline())


def ask(process, line):
    print(line, file=process.stdin, flush=True)
    return json.loads(process.stdout.readline())


def row(times, first, count):
    """Images a second, and the ratio to the first way in the same turns."""
    ratios = [b / a for a, b in zip(times, first)]
    return dict(
        images_per_second=round(count / statistics.median(times), 1),
        ratio=round(statistics.median(ratios), 3),
        quartiles=[round(q, 3) for q in statistics.quantiles(ratios, n=4)[::2]],
    )


def group_of(name):
    """(group, row, the row of that group to which others are compared) of a task."""
    if ": file" in name:
        return "files", name.removesuffix(": file"), "folder"
    case, colon, way = name.partition(": ")
    return (case, way, "pillow") if colon else ("sources", name, "folder")


def report_of(times, each):
    """{group: {way: row}} of {task: list of seconds}."""
    found = {}
    for name, own in times.items():
        group, way, first = group_of(name)
        base = {"files": "folder: file", "sources": "folder"}.get(group, f"{group}: {first}")
        count = each // 8 if group.startswith("2000") else each
        if name == LOADER:
            own = [seconds / MORE for seconds in own]
        found.setdefault(group, {})[way] = row(own, times[base], count)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--each", type=int, default=32, help="pictures read in one turn")
    parser.add_argument("--simd", help="a folder with another Pillow")
    parser.add_argument("--parts", action="store_true", help="only the parts of our reader, anew")
    parser.add_argument("--worker", type=Path)
    args = parser.parse_args()
    if args.worker:
        return worker(args.worker, args.each)
    from machine import machine

    out = HERE / "benchmarks" / "results" / f"{datetime.date.today()}-reading.json"
    if args.parts:
        with tempfile.TemporaryDirectory() as folder:
            write_pictures(Path(folder) / "500x375", args.each, WIDE["500x375"])
            report = json.loads(out.read_text()) | dict(parts_ms=parts(Path(folder), args.each))
        return out.write_text(json.dumps(report, indent=1) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_sources(root, 2 * args.each)
        sizes = [file.stat().st_size for file in (root / "500x375").rglob("*.jpg")]
        plain, said = started(root, args.each)
        workers = {name: (plain, name) for name in said["names"]}
        versions = {name: installed(name) for name in PACKAGES if installed(name)}
        versions["libjpeg-turbo of Pillow"] = said["turbo"]
        if args.simd:
            other, says = started(root, args.each, args.simd)
            for wide, size in CROPS:
                name = f"{wide} to {size}: pillow"
                workers[f"{name}-simd"] = (other, name)
            workers["folder, pillow-simd"] = (other, "folder")
            info = next(Path(args.simd).glob("*illow_*.dist-info"))
            versions["pillow-simd"] = info.stem.split("-")[1]
            versions["libjpeg-turbo of pillow-simd"] = says["turbo"]
        times = {name: [] for name in workers}
        for turn in range(args.turns):
            for name, (process, task) in workers.items():
                times[name].append(ask(process, task))
            print(f"turn {turn + 1} of {args.turns}", flush=True)
        apart = ask(plain, "differences")
        if args.simd:
            apart |= ask(other, "differences")
        report = dict(
            machine=machine(),
            date=str(datetime.date.today()),
            versions=versions,
            turns=args.turns,
            pictures=dict(
                shape="500x375", quality=QUALITY, mean_bytes=round(statistics.mean(sizes))
            ),
            **report_of(times, args.each),
            parts_ms=ask(plain, "parts"),
            differences=apart,
        )
        plain.kill()
        if args.simd:
            other.kill()
    out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
    print(out)


if __name__ == "__main__":
    main()
