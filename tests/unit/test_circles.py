"""The package's imports go in one direction."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pyctd

PACKAGE = Path(pyctd.__file__).parent


def module_name(path: Path) -> str:
    """The name that a file's module is imported by."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path): path for path in PACKAGE.rglob("*.py*") if path.suffix in (".py", ".pyi")
}  # a stub stands for a module that is built


def imports(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The import statements, those inside functions too, but not those for type checkers alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child
        yield from imports(child)


def imported(name: str) -> set[str]:
    """The modules of the package that a module of it imports."""
    path = MODULES[name]
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    found = set()
    for statement in imports(ast.parse(path.read_text())):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
            continue
        parents = package.split(".")[: len(package.split(".")) - statement.level + 1] if statement.level else []
        base = ".".join([*parents, *([statement.module] if statement.module else [])])
        found |= {full if (full := f"{base}.{alias.name}") in MODULES else base for alias in statement.names}
    return found & MODULES.keys() - {name}


def test_no_module_imports_itself_through_others() -> None:
    graph = {name: imported(name) for name in MODULES}
    assert sum(map(len, graph.values())) > 100, "the imports are not found"
    TopologicalSorter(graph).prepare()  # names the modules of a circle


def private(path: Path) -> Iterator[str]:
    """What a module of the command line takes of pyctd's private names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 2:
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            yield from (name for name in names if name.startswith("_"))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id != "self":
            if (
                node.attr.startswith("_") and not node.attr.startswith("__") and node.attr != "_asdict"
            ):  # a named tuple's
                yield f"{node.value.id}.{node.attr}"


def test_the_command_line_stands_on_public_names() -> None:
    found = {(path.stem, name) for path in (PACKAGE / "cli").glob("*.py") for name in private(path)}
    doctor = {("_doctor", name) for name in ("_binaries", "_native", "_programs")}
    assert found == doctor | {("_list", "_programs")}, "of no use outside pyctd"
