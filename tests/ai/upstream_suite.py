"""Runs openai-python's own API tests, directly and through a gateway, and says which of them only the gateway breaks.

`python tests/ai/upstream_suite.py` takes the tests from the package's source distribution, the mock server that they
want from npm, and the OpenAPI file from the project's repository at the same version (or from `--spec FILE`).
Exit status 0: every test that passes directly passes through the gateway too, but for those of `NOT_OURS`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / folder) for folder in ("blackbox", "")]

from gateway import Gateway, account, clean_environment, connects, eventually, key, table  # noqa: E402
from ports import free_port  # noqa: E402

from fastgw.ai import operations  # noqa: E402

SPEC = "https://raw.githubusercontent.com/openai/openai-python/v{}/api_reference/openapi.transformed.yml"
STEADY = "@stdy/cli@0.22.2"
NEEDED = ("pytest>=9", "pytest-asyncio>=1.4", "pytest-xdist", "inline-snapshot>=0.28", "rich", "trio", "botocore")
ARRAYS = [f"--validator-{place}-{kind}-format=brackets" for place in ("query", "form") for kind in ("array", "object")]
KEY = "sk-upstream-suite-0001"
# What a gateway for models does not carry: what is administered, and resources that are neither calls nor passed on.
NOT_OURS: tuple[str, ...] = ("admin/", "beta/", "realtime/", "skills/", "test_skills", "test_videos")
# What it refuses on purpose where the mock server does not, in the words of the refusal.
MEANT = (
    "Say which model is to answer",  # the model is what has a price
    "must be between 1 and",  # no call is for no tokens
    "This gateway has no price for",
    "No route takes this method",  # DELETE of a model, which is the configuration's; /responses/compact
)


def run(*command: str, cwd: Path | None = None) -> None:
    """Run a command to its end, silently; raises what it printed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )


class Suite:
    """The tests of one version of the package, in a directory with all that they need."""

    def __init__(self, directory: Path, version: str) -> None:
        self.directory = directory
        self.version = version
        self.source = directory / f"openai-{version}"
        self.python = str(directory / "venv" / "bin" / "python")
        self.spec = directory / "openapi.yml"

    def prepare(self, spec: Path | None) -> None:
        """Fetch what is not here yet."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if not self.source.exists():
            said = f"openai=={self.version}"
            where = str(self.directory)
            run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "openai", said, "-d", where)
            with tarfile.open(self.directory / f"openai-{self.version}.tar.gz") as archive:
                archive.extractall(self.directory, filter="data")
            conftest = self.source / "tests" / "conftest.py"
            conftest.write_text(re.sub(r'(api_key = )"[^"]*"', rf'\1"{KEY}"', conftest.read_text()))
        if not Path(self.python).exists():
            run(sys.executable, "-m", "venv", str(self.directory / "venv"))
            run(self.python, "-m", "pip", "install", "-q", f"openai[aiohttp]=={self.version}", *NEEDED)
        if not (self.directory / "node_modules").exists():
            run("npm", "install", "--silent", "--prefix", str(self.directory), STEADY)
        if spec is not None:
            self.spec = spec
        elif not self.spec.exists():
            with urllib.request.urlopen(SPEC.format(self.version)) as answer:
                self.spec.write_bytes(answer.read())

    @contextmanager
    def server(self) -> Iterator[str]:
        """The mock server of the OpenAPI file; its address."""
        port = free_port()
        program = str(self.directory / "node_modules" / ".bin" / "steady")
        with open(self.directory / "steady.log", "wb") as log:
            process = subprocess.Popen(
                [program, "--host", "127.0.0.1", "-p", str(port), *ARRAYS, str(self.spec)],
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            eventually(lambda: connects(port), 60, "the mock server did not start")
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def models(self) -> list[str]:
        """The names of models in the tests."""
        texts = [path.read_text() for path in (self.source / "tests" / "api_resources").rglob("*.py")]
        return sorted({name for text in texts for name in re.findall(r'\bmodel="([^"]+)"', text)})

    def outcomes(self, url: str, name: str, only: list[str], processes: int) -> dict[str, str]:
        """How the tests end against a server, as `outcomes_of` has it."""
        report = self.directory / f"{name}.xml"
        report.unlink(missing_ok=True)
        self.run_tests(url, report, only, processes)
        return outcomes_of(report)

    def run_tests(self, url: str, report: Path, only: list[str], processes: int) -> None:
        log = report.with_suffix(".log")
        where = [f"tests/api_resources/{part}" for part in only] or ["tests/api_resources"]
        subprocess.run(
            [self.python, "-m", "pytest", "-q", "-o", "addopts=", "-n", str(processes), "--tb=line",
             "-p", "no:cacheprovider", f"--junitxml={report}", *where],
            cwd=self.source, env={**clean_environment(), "TEST_API_BASE_URL": url}, check=False,
            stdout=log.open("wb"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        if not report.exists():
            raise SystemExit(log.read_text()[-3000:])


def outcomes_of(report: Path) -> dict[str, str]:
    """{test: "passed", "skipped", "failed", or "meant"}, of a report that pytest has written."""
    found = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        file = case.attrib["classname"].removeprefix("tests.api_resources.").replace(".", "/")
        states = {child.tag for child in case}
        said = "".join(child.attrib.get("message", "") for child in case)
        failed = "meant" if any(words in said for words in MEANT) else "failed"
        state = failed if states & {"failure", "error"} else "skipped" if "skipped" in states else "passed"
        found[f"{file}::{case.attrib['name']}"] = state
    return found


def through(directory: Path, mock: str, models: list[str]) -> Gateway:
    """A gateway whose provider is the mock server, and all of whose models cost the same."""
    gateway = Gateway(directory, mock)
    gateway.file.write_text(configuration(mock, models))
    return gateway


BUILT_IN = {"chat", "model", "models"}  # what every provider has without saying so
OPERATIONS = sorted(
    one.name for one in operations.TABLE.values() if one.dialect == "openai" and one.name not in BUILT_IN
)


def configuration(mock: str, models: list[str]) -> str:
    price = '\nprice = { input = "1", output = "2" }\n'
    return (
        "[server]\n"
        + table(
            "providers", name="mock", type="openai", url=mock, keys=["sk-mock"], models=models, operations=OPERATIONS
        ).rstrip()
        + price
        + table("routes", name="ai", path="/v1/", models=["*"], price="0")
        + account("suite", "1000000")
        + key(KEY, "suite")
    )


def difference(direct: dict[str, str], through: dict[str, str]) -> list[str]:
    """The tests that pass directly and not through the gateway."""
    return sorted(test for test, state in direct.items() if state == "passed" and through.get(test) != "passed")


def file_of(test: str) -> str:
    return test.partition("::")[0].rpartition("/")[0]


def report(direct: dict[str, str], through: dict[str, str]) -> list[str]:
    """Print what came of it; the tests that are the gateway's fault."""
    for name, outcomes in (("directly", direct), ("through fastgw", through)):
        print(f"{name}: {dict(sorted(Counter(outcomes.values()).items()))}")
    broken = difference(direct, through)
    ours = [test for test in broken if not test.startswith(NOT_OURS) and through.get(test) != "meant"]
    totals = Counter(file_of(test) for test, state in direct.items() if state == "passed")
    meant = Counter(file_of(test) for test in broken if through.get(test) == "meant")
    for file, count in sorted(Counter(map(file_of, broken)).items()):
        why = "not carried" if file.startswith(NOT_OURS) else f"{meant[file]} refused on purpose"
        print(f"  {file}: {count} of {totals[file]} pass only directly ({why})")
    gained = difference(through, direct)
    print(f"{len(broken)} pass only directly, {len(ours)} of them ours; {len(gained)} pass only through fastgw")
    return ours


def names(only: list[str]) -> list[str]:
    """How the tests of these files and folders begin."""
    return [part.removesuffix(".py") + "/" for part in only]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--version", default=importlib.metadata.version("openai"), help="of openai (default: installed)"
    )
    parser.add_argument("--spec", type=Path, help="the OpenAPI file (default: of that version, from GitHub)")
    parser.add_argument("--directory", type=Path, help="keep everything here, and find it again")
    parser.add_argument("--only", default="", help="files or folders of tests/api_resources, comma-separated")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--known", action="store_true", help="how they end directly is in --directory, of a run before")
    parser.add_argument("--direct-only", action="store_true", help="look at the tests themselves")
    arguments = parser.parse_args()
    only = [part for part in arguments.only.split(",") if part]
    with tempfile.TemporaryDirectory(prefix="fastgw-suite-") as temporary:
        suite = Suite((arguments.directory or Path(temporary)).resolve(), arguments.version)
        suite.prepare(arguments.spec and arguments.spec.resolve())
        with suite.server() as mock:
            known = suite.directory / "direct.xml"
            again = arguments.known and known.exists()
            direct = outcomes_of(known) if again else suite.outcomes(mock, "direct", only, arguments.processes)
            if arguments.direct_only:
                print(dict(Counter(direct.values())))
                return 0
            place = Path(temporary) / "gateway"
            place.mkdir()
            with through(place, mock, suite.models()) as gateway:
                gateway.start()
                direct = {
                    test: state for test, state in direct.items() if not only or test.startswith(tuple(names(only)))
                }
                passed = suite.outcomes(f"{gateway.url}/v1", "through", only, arguments.processes)
                gateway.stop()
    return 1 if report(direct, passed) else 0


if __name__ == "__main__":
    sys.exit(main())
