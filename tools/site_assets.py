"""What the site serves itself and others would fetch from a CDN: `python tools/site_assets.py
FOLDER` unpacks it below FOLDER (`make docs` does).

A package of npm is fetched once, by an address with its version and a hash, into the cache of the
user. `NPM_REGISTRY` names a mirror: it has the same packages, and the hashes are checked as ever.
"""

import fnmatch
import os
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pooch

REGISTRY = "https://registry.npmjs.org"


@dataclass(frozen=True)
class Asset:
    "A package of npm, and the files of it that the site serves."

    package: str
    version: str
    sha256: str  # of the .tgz
    strip: str  # what the names of all wanted files begin with, and lose
    files: tuple  # patterns of what follows
    target: str  # folder below the site's; "" for what only the checks of the site use

    @property
    def url(self):
        base = os.environ.get("NPM_REGISTRY", REGISTRY).rstrip("/")
        return f"{base}/{self.package}/-/{self.package.split('/')[-1]}-{self.version}.tgz"


ASSETS = (
    Asset(
        package="mathjax",
        version="3.2.2",
        sha256="1b9c0a1c44df864e915690558e72adb9cc5203360daefd385084ced3b6c64c09",
        strip="package/es5/",
        files=(
            "tex-chtml-full.js",
            "output/chtml/fonts/woff-v2/*.woff",
            "a11y/*.js",
            "sre/mathmaps/base.json",
            "sre/mathmaps/en.json",
        ),
        target="vendor/mathjax",
    ),
    Asset(
        package="axe-core",
        version="4.10.3",
        sha256="0f2b4d7dcdf7d1219df8d1959ad68e565f51d14c3f0d88bb71cd59abeb956292",
        strip="package/",
        files=("axe.min.js",),
        target="",
    ),
    Asset(
        package="onnxruntime-web",  # 1.22.0 is one MB smaller than 1.23 and three than 1.30
        version="1.22.0",
        sha256="e293551f9d36d003e293d0f2937fee7b3dfdcef76d71d1449b55e2d4157c7aea",
        strip="package/dist/",
        files=(
            "ort.wasm.min.mjs",
            "ort-wasm-simd-threaded.mjs",
            "ort-wasm-simd-threaded.wasm",
        ),
        target="vendor/onnxruntime-web",
    ),
)


def archive(asset):
    """The path of the package's .tgz, fetched when it is not yet in the cache."""
    return pooch.retrieve(
        asset.url,
        known_hash=f"sha256:{asset.sha256}",
        fname=f"{asset.package.replace('/', '-')}-{asset.version}.tgz",
        path=pooch.os_cache("hdfm") / "npm",
    )


def unpack(asset, folder):
    """Write the wanted files of a package into `folder`; the paths written."""
    written = []
    with tarfile.open(archive(asset)) as tar:
        for member in tar:
            name = member.name.removeprefix(asset.strip)
            is_wanted = any(fnmatch.fnmatchcase(name, pattern) for pattern in asset.files)
            if not (member.isfile() and member.name.startswith(asset.strip) and is_wanted):
                continue
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(tar.extractfile(member).read())
            written.append(path)
    if not written:
        raise ValueError(f"{asset.package} {asset.version} has none of {asset.files}")
    return written


def content(package, name):
    """A text file of a package, such as axe-core's axe.min.js."""
    asset = next(asset for asset in ASSETS if asset.package == package)
    with tarfile.open(archive(asset)) as tar:
        return tar.extractfile(asset.strip + name).read().decode("utf-8")


def main():
    folder = Path(sys.argv[1])
    for asset in ASSETS:
        if asset.target:
            paths = unpack(asset, folder / asset.target)
            size = sum(path.stat().st_size for path in paths) / 1e6
            print(f"{asset.package} {asset.version}: {len(paths)} files, {size:.1f} MB")


if __name__ == "__main__":
    main()
