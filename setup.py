"""Builds the compiled core; everything else about the package is said in pyproject.toml.

FASTGW_DEBUG=1 builds without optimisation, for gdb.
"""

import os
import shutil
import subprocess
import sysconfig
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

FLAGS = ["-O0", "-g"] if os.environ.get("FASTGW_DEBUG") == "1" else ["-O3", "-g1", "-fno-semantic-interposition"]
HEADERS = "build/python-headers"
NO_HEADERS = """
Python.h is missing: the core is compiled, and needs the headers of this Python.
On Debian and Ubuntu: apt-get install python3-dev    On Fedora: dnf install python3-devel
"""
NO_COMPILER = """
The core is compiled, and there is no C compiler: {compiler}.
On Debian and Ubuntu: apt-get install gcc    On Fedora: dnf install gcc    Another one: CC=clang
"""


def refuse_without_compiler() -> None:
    """Say so before anything else, instead of after a minute."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if not shutil.which(compiler):
        raise SystemExit(NO_COMPILER.format(compiler=compiler))


def header_folders() -> list[str]:
    """Where Python.h is, beyond the compiler's own places: nowhere, if it is installed.

    Debian keeps it in a package that python3-venv does not bring. Where apt knows that package, it is unpacked under
    build/, for this build alone; nothing is installed.
    """
    include = sysconfig.get_path("include")
    if os.path.exists(os.path.join(include, "Python.h")):
        return []
    version = sysconfig.get_python_version()
    root = os.path.join(HEADERS, "root")
    if not os.path.isdir(root):
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            raise SystemExit(NO_HEADERS)
        os.makedirs(HEADERS, exist_ok=True)
        fetch = ["apt-get", "-q", "download", f"libpython{version}-dev"]
        if subprocess.run(fetch, cwd=HEADERS, check=False).returncode:
            raise SystemExit(NO_HEADERS)
        subprocess.run(["dpkg-deb", "-x", *glob(f"{HEADERS}/*.deb"), root], check=True)
    return [f"{root}/usr/include/python{version}", f"{root}/usr/include"]


def extension(source: str) -> Extension:
    name = os.path.splitext(os.path.relpath(source, "src"))[0].replace(os.sep, ".")
    return Extension(name, [source], include_dirs=INCLUDE, extra_compile_args=FLAGS)


refuse_without_compiler()
INCLUDE = header_folders()

# A file of the data plane, or of what it knows of models, is compiled when a .pxd of the same name lies beside it.
SOURCES = sorted(glob("src/fastgw/_*.pyx")) + sorted(
    source
    for source in glob("src/fastgw/ai/*.py") + glob("src/fastgw/dataplane/*.py")
    if os.path.exists(source[:-3] + ".pxd")
)

setup(
    ext_modules=cythonize(
        [extension(source) for source in SOURCES],
        include_path=["src"],
        nthreads=os.cpu_count() or 1,
        compiler_directives={"language_level": 3, "binding": False, "annotation_typing": False},
    )
)
