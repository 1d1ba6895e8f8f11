"""Each private name of PyTorch that gradcheck uses: run this on the oldest and the newest PyTorch that pyproject admits."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import gradcheck
from gradcheck.rounding import torch_private
from gradcheck.rounding.torch_private import IN_PIECES, MODULI, PRODUCTS, SUMS, UNROUNDED, OperatorMode, aten

x = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


class Names(OperatorMode):
    """Notes the operators that run inside it; `inside` notes those of the pieces too."""

    def __init__(self, inside=False):
        super().__init__()
        self.operators, self.inside = [], inside

    def run(self, operator, arguments, keywords):
        self.operators.append(operator)
        if self.inside and operator in IN_PIECES:
            with self:
                return IN_PIECES[operator](*arguments, **keywords)
        return operator(*arguments, **keywords)


def operators_of(compute, inside=False):
    with Names(inside) as seen:
        compute()
    return seen.operators


def test_the_mode_sees_forward_and_backward():
    leaf = x.clone().requires_grad_()
    seen = operators_of(lambda: torch.autograd.grad(torch.relu(leaf).sum(), leaf))
    forward_and_backward = [aten.relu.default, aten.sum.default, aten.threshold_backward.default]
    assert [operator for operator in seen if operator in forward_and_backward] == forward_and_backward


def test_the_mode_does_not_import_the_compiler():
    """Which takes two seconds."""
    code = """if True:
        import sys, torch
        before = set(sys.modules)
        from gradcheck.rounding.torch_holomorphic import HolomorphicMode
        with HolomorphicMode():
            torch.ones(2) * 2
        print(any(name.startswith("torch._dynamo") for name in set(sys.modules) - before))
    """
    root = Path(gradcheck.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


PIECES = {
    "batch norm": lambda x: torch.nn.functional.batch_norm(x, None, None, training=True),
    "log softmax": lambda x: torch.log_softmax(x, dim=1),
    "sigmoid": lambda x: torch.nn.functional.binary_cross_entropy_with_logits(x, torch.ones_like(x)),
    "variance": lambda x: torch.var_mean(x, dim=0)[0],
}


@pytest.mark.parametrize("name", PIECES)
def test_pieces_compute_what_the_whole_does(name):
    leaf = x.clone().requires_grad_()

    def compute():
        out = PIECES[name](leaf)
        return out.detach(), torch.autograd.grad((out * torch.arange(1, out.numel() + 1).view_as(out)).sum(), leaf)[0]

    whole, gradient = compute()
    with Names(inside=True) as seen:
        in_pieces, gradient_in_pieces = compute()
    assert any(operator in IN_PIECES for operator in seen.operators)
    torch.testing.assert_close(in_pieces, whole, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(gradient_in_pieces, gradient, rtol=1e-11, atol=1e-13)


def test_every_operator_that_is_taken_apart_has_pieces():
    packets = {operator.overloadpacket for operator in IN_PIECES}
    names = ("native_batch_norm", "native_batch_norm_backward", "_log_softmax", "_log_softmax_backward_data", "var_mean")
    assert packets >= {getattr(aten, name) for name in names}


def test_sums_and_products_are_what_pytorch_calls():
    A = x.T @ x
    sums = operators_of(lambda: (x.sum(), x.sum(dim=0), x.mean(), x.mean(dim=1)))
    products = operators_of(
        lambda: (A[0] @ A[0], A @ A[0], A @ A, A[None] @ A[None], torch.addmv(A[0], A, A[0]), torch.addmm(A, A, A))
    )
    assert set(sums) >= SUMS
    assert set(PRODUCTS) - set(products) == {aten.baddbmm.default}
    assert aten.baddbmm.default in operators_of(lambda: torch.baddbmm(A[None], A[None], A[None]))


def test_this_version_has_all_the_names():
    assert len(UNROUNDED) == 33
    assert len(MODULI) == 9
    assert len(torch_private.JUMPING) == 8


@pytest.mark.parametrize(
    ("compute", "rounded"),
    [
        (lambda: x * 2, True),
        (lambda: x.exp(), True),
        (lambda: x.T, False),  # a view
        (lambda: x.clone().add_(1), False),  # written in place
        (lambda: x.amax(dim=0), False),
        (lambda: x.float(), False),
        (lambda: torch.relu(x), False),
    ],
)
def test_what_is_rounded(compute, rounded):
    assert torch_private.rounds(operators_of(compute)[-1]) == rounded


@pytest.mark.parametrize(
    ("compute", "name"),
    [
        (lambda z: torch.linalg.svdvals(z), "torch.linalg.svd"),
        (lambda z: torch.angle(z), "torch.angle"),
        (lambda z: torch.linalg.qr(z), "torch.linalg.qr"),
    ],
)
def test_what_has_no_complex_derivative(compute, name):
    seen = operators_of(lambda: compute(x.to(torch.complex128)))
    lost = [torch_private.public_name(operator) for operator in seen if not torch_private.has_complex_derivative(operator)]
    assert name in lost


def test_no_other_module_uses_a_private_name():
    """Nor names an operator: attributes and modules of PyTorch that begin with an underscore stand in one module."""
    for path in Path(gradcheck.__file__).parent.rglob("*.py"):
        if path.name == "torch_private.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom | ast.Import):
                modules = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
                assert not any("torch._" in f"{module}." or "torch.utils._" in module for module in modules), path
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("_schema", "overloadpacket", "is_view", "ops"), path
