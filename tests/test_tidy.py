"""The style of the code is a test: what imports what, how long things are, how they open, and what is never used."""

import ast
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastgw.refusals import DIALECTS, TABLE, Refusal
from fastgw.states import ANSWER_CLASS, AccountStatus, CredentialState, KeyStatus, WorkerState

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "fastgw"
KERNELS = sorted((PACKAGE / "kernels").glob("*.pxd"))
PYTHON = sorted(path for path in PACKAGE.rglob("*.py"))
COMPILED = sorted([*PACKAGE.rglob("*.pyx"), *PACKAGE.rglob("*.pxd")])
TESTS = sorted(path for path in (ROOT / "tests").rglob("*.py"))

LINES_MAX = 500
LINES_OF: dict[str, int] = {}  # may shrink, and must not grow: what is longer than the rule
FUNCTION_LINES_MAX = 70
FUNCTION_LINES_OF = {"chunked.pxd:chunked_feed": 118}  # likewise

# Who may import whom: a group itself and what its arrow leads to, nothing else. Every module has a group.
COMMAND, SUPERVISOR, PROBE, WORKER, DATAPLANE, KEEPER, DISCOVERY, CONTROL, LEDGER, CALLLOG = (
    "command", "supervisor", "probe", "worker", "dataplane", "keeper", "discovery", "control", "ledger", "calllog",
)  # fmt: skip
AI, READING, VALUES, BASE = "ai", "reading", "values", "base"
GROUPS = {
    COMMAND: {"__main__", "cli", "commands", "demo"},
    SUPERVISOR: {"supervisor", "supervision"},
    PROBE: {"probe"},
    WORKER: {"worker"},
    DATAPLANE: {"dataplane"},
    KEEPER: {"draining", "dry_run", "keeper", "loading", "reloading", "wishing"},
    DISCOVERY: {"discovery"},
    CONTROL: {"control"},
    LEDGER: {"ledger"},
    CALLLOG: {"calllog"},
    AI: {"ai"},
    READING: {"config"},
    VALUES: {"descriptors", "model", "price_list", "published", "roster", "rows", "upstream_tls"},
    BASE: {
        "__init__", "_answers", "_call", "_core", "_credentials", "_drain", "_flight", "_frames", "_http",
        "_idempotency", "_json", "_lines", "_mapping", "_routes", "_segment", "_sse", "_tables", "_targets", "_usage",
        "_wire", "kernels", "limits", "memory", "refusals", "settings", "states", "units", "addresses", "instance",
        "room", "secret", "channel", "identities", "pem", "scopes",
    },
}  # fmt: skip
ARROWS = {
    COMMAND: {SUPERVISOR, AI, READING, VALUES, BASE},
    SUPERVISOR: {WORKER, KEEPER, VALUES, BASE},
    PROBE: {SUPERVISOR, READING, VALUES, BASE},
    WORKER: {DATAPLANE, VALUES, BASE},
    DATAPLANE: {AI, VALUES, BASE},
    AI: {VALUES, BASE},
    KEEPER: {AI, CONTROL, DISCOVERY, LEDGER, CALLLOG, READING, VALUES, BASE},
    DISCOVERY: {READING, VALUES, BASE},
    CONTROL: {AI, DISCOVERY, LEDGER, CALLLOG, VALUES, BASE},
    LEDGER: {VALUES, BASE},
    CALLLOG: {VALUES, BASE},
    READING: {AI, VALUES, BASE},
    VALUES: {BASE},
    BASE: set(),
}
# Types for checkers and docstrings alone: no import at run time, and none in the compiled code.
TYPES_ONLY = {("_core", "rows"), ("_routes", "rows")}

FLOAT_FREE = re.compile(r"nanos|price|balance|credit|granted|committed|captured|reserved|released|cost|held|money")
BANNED_IN_KERNELS = re.compile(
    r"^\s*(import|from\s+\S+\s+import)\b|\bwith\s+gil\b|\bexcept\s*[+*]|\bcpython\b|\bobject\b"
)
BANNED_IN_CORE = {"logging", "json", "asyncio", "threading", "decimal", "time", "datetime"}


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def module_of(path: Path) -> str:
    """The part of the package that a file belongs to: a module, or a sub-package."""
    return path.relative_to(PACKAGE).parts[0].partition(".")[0]


def group_of(module: str) -> str:
    return next(group for group, modules in GROUPS.items() if module in modules)


def imports(path: Path) -> Iterator[str]:
    """The parts of the package that a file imports, in whatever way."""
    text = path.read_text()
    if path.suffix in {".pyx", ".pxd", ".pyi"}:
        for match in re.finditer(r"^\s*from fastgw\.(\w+)[\w.]* c?import\b|^\s*c?import fastgw\.(\w+)", text, re.M):
            yield match[1] or match[2]
        return
    depth = len(path.relative_to(PACKAGE).parts) - 1
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("fastgw."))
        elif isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").partition(".")[0] == "fastgw"):
            names = (node.module or "").split(".") if node.module else []
            if node.level == 0:
                names = names[1:]
            elif node.level <= depth:
                continue  # within its own sub-package
            yield from names[:1] or (alias.name if _is_module(alias.name) else "__init__" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = re.findall(r"^fastgw\.(\w+)$", node.value)  # import_module("fastgw.supervisor")
            yield from filter(_is_module, names)


def _is_module(name: str) -> bool:
    return any((PACKAGE / f"{name}{suffix}").exists() for suffix in (".py", ".pyx", ""))


def everything() -> list[Path]:
    return sorted({*PYTHON, *COMPILED})


@pytest.mark.parametrize("path", everything(), ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    module = module_of(path)
    assert sum(module in modules for modules in GROUPS.values()) == 1, f"{module} has no place among GROUPS"
    group = group_of(module)
    for other in imports(path):
        assert other == module or group_of(other) in ARROWS[group] | {group}, f"{module} imports {other}"


def test_the_walls_see_an_import_however_it_is_written() -> None:
    assert {"supervisor", "demo", "config"} <= set(imports(PACKAGE / "cli.py"))
    assert {"__init__", "published", "supervision"} <= set(imports(PACKAGE / "supervisor.py"))
    assert {"_segment", "model", "refusals", "rows"} <= set(imports(PACKAGE / "dataplane" / "admission.py"))
    assert {"kernels", "_segment", "_http", "refusals"} <= set(imports(PACKAGE / "_core.pyx"))
    assert "dataplane" not in ARROWS[KEEPER] | ARROWS[CONTROL] | ARROWS[BASE]
    assert not {KEEPER, CONTROL, DISCOVERY, LEDGER, SUPERVISOR} & (ARROWS[DATAPLANE] | ARROWS[WORKER])


def test_no_group_can_reach_itself_by_way_of_others() -> None:
    def reach(group: str) -> set[str]:
        return ARROWS[group].union(*(reach(other) for other in ARROWS[group]))

    for group in GROUPS:
        assert group not in reach(group)


@pytest.mark.parametrize("path", [*everything(), *sorted(PACKAGE.glob("*.pyi")), *TESTS], ids=lambda p: p.name)
def test_a_file_opens_with_a_sentence_that_says_what_it_is_for(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("# cython:")]
    if path.name == "__init__.py" and not lines:
        pytest.skip("an empty package")
    if path.suffix == ".pxd" and path.parent.name != "kernels":
        return  # the types of the file of the same name, which opens with it
    first = lines[0]
    assert first.startswith("# " if path.suffix == ".pxd" else '"""'), first
    sentence = first.lstrip('"# ')
    assert sentence[0].isupper() or sentence.startswith("`")
    assert len(sentence.split()) >= 4


@pytest.mark.parametrize("path", [*everything(), *TESTS], ids=lambda p: p.name)
def test_a_file_is_one_thing(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= LINES_OF.get(path.name, LINES_MAX)


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """(name, lines) of every function of a file, C or Python."""
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1
        return
    name, indent, start, last = "", 0, 0, 0
    for number, line in enumerate([*path.read_text().splitlines(), "end"], 1):
        if not line.strip():
            continue
        here = len(line) - len(line.lstrip())
        if name and here <= indent and not line.lstrip().startswith((")", "#")):
            yield name, last - start + 1
            name = ""
        match = re.match(r"\s*(?:def|cdef inline|cdef|cpdef)\b.*?(\w+)\(.*", line)
        if not name and match and "(" in line and not line.lstrip().startswith(("cdef extern", "cdef class")):
            name, indent, start = match[1], here, number
        last = number


@pytest.mark.parametrize("path", everything(), ids=name_of)
def test_a_function_fits_on_a_screen(path: Path) -> None:
    for name, lines in functions(path):
        assert lines <= FUNCTION_LINES_OF.get(f"{path.name}:{name}", FUNCTION_LINES_MAX), name


def test_no_exception_to_a_length_is_wider_than_it_needs_to_be() -> None:
    for path in everything():
        if path.name in LINES_OF:
            assert LINES_MAX < len(path.read_text().splitlines()) > LINES_OF[path.name] - 20
    lengths = {f"{path.name}:{name}": lines for path in everything() for name, lines in functions(path)}
    for name, lines in FUNCTION_LINES_OF.items():
        assert lengths[name] > lines - 5


# Money is integers


# What a line of JSON may hold; a float there is refused with advice.
FLOATS_READ = {"balance: str | int | float = 0", "credit: str | int | float = 0"}


def is_float(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, float)


def float_uses(tree: ast.AST) -> Iterator[str]:
    """Where something becomes a float: a division, a float literal, a conversion, an annotation."""
    for node in ast.walk(tree):
        match node:
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield ast.unparse(node)
            case ast.BinOp(left=left, right=right) if is_float(left) or is_float(right):
                yield ast.unparse(node)
            case ast.Call(func=ast.Name(id="float" | "round")):
                yield ast.unparse(node)
            case ast.AnnAssign(annotation=kind) | ast.arg(annotation=kind) if kind and "float" in ast.unparse(kind):
                yield ast.unparse(node)


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_no_float_comes_near_money(path: Path) -> None:
    for use in float_uses(ast.parse(path.read_text())):
        assert use in FLOATS_READ or not FLOAT_FREE.search(use), use


def test_no_float_is_in_the_kernels() -> None:
    for path in KERNELS:
        assert not re.search(r"\b(double|float)\b", path.read_text()), path.name
    core = (PACKAGE / "_core.pyx").read_text()
    assert not re.search(r"\b(double|float)\b", core)


# The kernels and the core


@pytest.mark.parametrize("path", KERNELS, ids=name_of)
def test_a_kernel_never_needs_the_interpreter(path: Path) -> None:
    text = path.read_text()
    for line in text.splitlines():
        code = line.partition("#")[0]
        assert not BANNED_IN_KERNELS.search(code), line
    for match in re.finditer(r"^cdef inline [^\n]*\((?:[^()]|\n)*\)([^\n]*):$", text, re.M):
        assert "nogil" in match[1], match[0]
        assert "noexcept" in match[1], match[0]
    for module in re.findall(r"^from (\S+) cimport", text, re.M):
        assert module.startswith(("libc.", "fastgw.kernels.")), module


@pytest.mark.parametrize("name", ["_core.pyx", "_http.pyx"])
def test_the_core_does_no_input_or_output(name: str) -> None:
    text = (PACKAGE / name).read_text()
    imported = set(re.findall(r"^(?:import|from) (\w+)", text, re.M))
    assert not imported & BANNED_IN_CORE
    assert not re.search(r"\bprint\(|\bopen\(|\bsocket\.socket\b|\bcreate_connection\b", text)


# Refusals

SENT_TO_NOBODY = {Refusal.ADMITTED, Refusal.CLIENT_GONE, Refusal.WORKER_DIED}


def test_every_refusal_has_a_row_and_a_number_of_its_own() -> None:
    assert set(TABLE) == set(Refusal) - SENT_TO_NOBODY
    assert [int(refusal) for refusal in Refusal] == list(range(len(Refusal)))
    layout = (PACKAGE / "kernels" / "layout.pxd").read_text()
    first_class = re.search(r"CODE_CLASS = (\d+)", layout)
    assert first_class
    assert len(Refusal) <= int(first_class[1]) == ANSWER_CLASS


def test_states_have_the_numbers_of_the_layout() -> None:
    layout = (PACKAGE / "kernels" / "layout.pxd").read_text()
    for prefix, states in (("WORKER", WorkerState), ("KEY", KeyStatus), ("ACCOUNT", AccountStatus)):
        for state in states:
            assert re.search(rf"\b{prefix}_{state.name} = {state.value}\b", layout)
    credentials = (PACKAGE / "kernels" / "credentials.pxd").read_text()
    for why in CredentialState:
        assert re.search(rf"\bWHY_{why.name} = {why.value}\b", credentials)


@pytest.mark.parametrize("refusal", [row for row in Refusal if row is not Refusal.ADMITTED], ids=lambda row: row.name)
def test_every_refusal_is_tried_by_a_test(refusal: Refusal) -> None:
    """By its name, its code, or its status where no other refusal has the same."""
    known = [refusal.name, refusal.name.lower()]
    if refusal in TABLE and sum(row.status == TABLE[refusal].status for row in TABLE.values()) == 1:
        known.append(rf"status[^\n]*\b{TABLE[refusal].status}")
    words = re.compile(rf"\b({'|'.join(known)})\b")
    assert any(words.search(path.read_text()) for path in TESTS if path != Path(__file__))


def test_a_refusal_is_known_to_the_core_by_the_tables_number() -> None:
    core = (PACKAGE / "_core.pyx").read_text()
    for name in re.findall(r"^cdef int ([A-Z_]+) = Refusal\.", core, re.M):
        assert f"cdef int {name} = Refusal.{name}\n" in core
    assert DIALECTS == ("problem", "openai", "anthropic")


def test_each_dependency_is_imported_by_the_package() -> None:
    declared = [text for text in importlib.metadata.requires("fastgw") or [] if "extra" not in text]
    wanted = {re.split(r"[^\w-]", text)[0].replace("-", "_") for text in declared}
    assert wanted > {"tzdata"}, "the data of zoneinfo, which imports it by itself"
    wanted -= {"tzdata"}
    assert wanted
    text = "\n".join(path.read_text() for path in PYTHON)
    for name in wanted:
        module = {"dnspython": "dns"}.get(name, name)
        assert re.search(rf"^\s*(?:import|from) {module}\b", text, re.M), name
