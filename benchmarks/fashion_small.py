"""Make the sample of Fashion-MNIST that comes with the package: the first 200 training and the
first 40 test images of each class, in their own order.

    python benchmarks/fashion_small.py                # into hdfm/samples/fashion-small

What the files hold is the same everywhere, and `hdfm.fashion` checks it by its SHA-256. How they
are packed may differ in a byte or two with the version of zlib.
"""

import gzip
import hashlib
import sys
from pathlib import Path

from hdfm.fashion import FASHION, SHA256, fashion_arrays, first_of_each, idx_bytes

FOLDER = Path(__file__).resolve().parents[1] / "hdfm" / "samples" / "fashion-small"
PER_CLASS = {"fashion": 200, "fashion-test": 40}


def sample_files():
    """{name: contents} of the four files."""
    found = {}
    for name, n in PER_CLASS.items():
        images, labels = fashion_arrays(name)
        which = first_of_each(labels, n)
        names = FASHION[name.replace("fashion", "fashion-small")]
        found |= zip(names, (idx_bytes(images[which]), idx_bytes(labels[which])))
    return found


def main(folder=FOLDER):
    """Write the files, and say whether they hold what the library expects."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    same = True
    for name, contents in sample_files().items():
        path = folder / f"{name}.gz"
        path.write_bytes(gzip.compress(contents, 9, mtime=0))
        digest = hashlib.sha256(contents).hexdigest()
        same = same and digest == SHA256.get(name)
        print(f"{digest}  {name}, {path.stat().st_size:,} bytes packed")
    print("as the library expects" if same else "NOT what SHA256 in nbs/09_fashion.ipynb says")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
