"""Builds the compiled core; everything else about the package is said in pyproject.toml.

FASTGW_DEBUG=1 keeps assertions and line numbers (for gdb and perf).
"""
import os
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("FASTGW_DEBUG") == "1"
FLAGS = ["-O0", "-g"] if DEBUG else ["-O3", "-g1", "-fno-semantic-interposition"]


def extension(source: str) -> Extension:
    name = os.path.splitext(os.path.relpath(source, "src"))[0].replace(os.sep, ".")
    return Extension(name, [source], extra_compile_args=FLAGS)


# A file of the data plane is compiled when a .pxd of the same name lies beside it.
SOURCES = sorted(glob("src/fastgw/_*.pyx")) + sorted(
    source for source in glob("src/fastgw/dataplane/*.py") if os.path.exists(source[:-3] + ".pxd")
)

setup(
    ext_modules=cythonize(
        [extension(source) for source in SOURCES],
        include_path=["src"],
        nthreads=os.cpu_count() or 1,
        compiler_directives={"language_level": 3, "binding": False, "annotation_typing": False},
    )
)
