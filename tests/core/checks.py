"""Delete a check: a module's source is read, one refusal is taken out, and a corpus is judged again."""

from __future__ import annotations

import ast
import copy
import inspect
import types
from collections.abc import Callable, Iterator

from tests.core.cases import Case
from tests.core.jose import NOW, PROJECT, REVOKED_ON_THIS_NODE, RING

from chatgateway.core.keyring import KeyRing
from chatgateway.core.token import Verified, verify
from chatgateway.errors import KeyRevoked, TokenExpired, TokenRejected

Verify = Callable[..., Verified]


def outcome(case: Case, judge: Verify = verify, ring: KeyRing = RING) -> str:
    """Return "" when the token passes, else the precise reason of the refusal."""
    try:
        judge(case.token, PROJECT, ring, case.profile, NOW, revoked=REVOKED_ON_THIS_NODE)
    except TokenRejected as error:
        return error.detail
    except (TokenExpired, KeyRevoked) as error:
        return error.code
    return ""


def _operands_of(condition: ast.expr) -> Iterator[ast.expr]:
    """Yield what is left of a condition when one of its grounds for refusal is taken out."""
    if isinstance(condition, ast.BoolOp) and isinstance(condition.op, ast.Or):
        for dropped in condition.values:
            yield ast.BoolOp(ast.Or(), [value for value in condition.values if value is not dropped])
    else:
        yield ast.Constant(False)


def mutants(module: types.ModuleType) -> Iterator[tuple[str, ast.Module]]:
    tree = ast.parse(inspect.getsource(module))
    for number, node in enumerate(ast.walk(tree)):
        if not (isinstance(node, ast.If) and len(node.body) == 1 and isinstance(node.body[0], ast.Raise)):
            continue
        for operand, condition in enumerate(_operands_of(node.test)):
            mutant = copy.deepcopy(tree)
            twin = next(twin for index, twin in enumerate(ast.walk(mutant)) if index == number)
            assert isinstance(twin, ast.If)
            twin.test = (
                condition if not isinstance(condition, ast.BoolOp) or len(condition.values) > 1 else condition.values[0]
            )
            yield f"{ast.unparse(node.test)} #{operand}", ast.fix_missing_locations(mutant)


def run(module: types.ModuleType, code: ast.Module | str) -> types.ModuleType:
    twin = types.ModuleType(module.__name__)
    exec(compile(code, f"<mutant of {module.__name__}>", "exec"), twin.__dict__)
    return twin
