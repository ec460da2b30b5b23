"""What Python calls the operations of the C ABI."""

from __future__ import annotations

import ast
import inspect

from pyctd._calls import operations


def test_an_operation_is_called_as_its_export() -> None:
    """So that a search for the one finds the other."""
    functions = {
        f"pyctd_{node.name}": {
            call.args[0].value
            for call in ast.walk(node)
            if isinstance(call, ast.Call)
            and ast.unparse(call.func) == "Operation"
            and isinstance(call.args[0], ast.Constant)
        }
        for node in ast.parse(inspect.getsource(operations)).body
        if isinstance(node, ast.FunctionDef) and node.returns and ast.unparse(node.returns).startswith("Operation[")
    }
    assert functions
    assert {name: exports for name, exports in functions.items() if exports != {name}} == {}
