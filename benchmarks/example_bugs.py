"""Bugs to plant in the correct examples: each is one text in the example's source, and the wrong text that takes its place.

Every bug is in the backward pass. The tests demand that compare.py finds each; the benchmark counts how many causes it names.
"""

from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

EXAMPLES = Path(__file__).parent.parent / "examples"


class ExampleBug(NamedTuple):
    """`tensors` are those whose gradient is wrong. `cause` is the kind of bug, of those in `WORDS`, that the numbers of at
    least one of them show, or None, where a check without knowledge of the example could not name it."""

    name: str
    example: str
    right: str
    wrong: str
    tensors: frozenset[str]
    cause: str | None

    @property
    def source(self) -> str:
        """The source of the example with the bug in it. Raises ValueError unless the right text is there exactly once."""
        text = (EXAMPLES / f"{self.example}.py").read_text()
        if text.count(self.right) != 1:
            raise ValueError(f"{self.name}: {self.right!r} stands {text.count(self.right)} times in {self.example}.py")
        return text.replace(self.right, self.wrong)

    def gradients(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """The wrong gradients, by name."""
        return load(self.source, self.name).gradients(parameters)


def load(source: str, name: str) -> ModuleType:
    """The module that `source` is."""
    module = ModuleType(name)
    exec(compile(source, f"{name}.py", "exec"), vars(module))
    return module


# The words by which a diagnosis names each cause.
WORDS = {
    "constant factor": r"multiplied by (?!-1\b)|the factor of `.*` \(line .*\) is (left out|taken twice)",
    "sign": r"multiplied by -1\b|sign is wrong",
    "swapped tensors": r"it is the gradient of",
    "transposed": r"transposed",
    "single entry": r"the single entry \[",
    "row/column": r"(row|column) \d+ alone",
    "mean path": r"the path through a mean",
    "variance path": r"the path through a variance",
    "missing path": r"the path through `",
    "wrong derivative": r"the derivative of `|the factor 1 - s of",
    "guard": r"the cost has a guard that the gradient leaves out",
    "repeated indices": r"the repeated indices of `",
    "smoothed labels": r"smooths the labels in `",
    "shifted": r"it is shifted by",
    "penalty": r"claimed - reference is -?[\d.e-]+ \* ",
    "factor and penalty": r"it is [\d.]+ \* the right gradient [-+] [\d.]+ \* ",
}


def bugs(example: str, *rows: tuple[str, str, str, str, str | None]) -> list[ExampleBug]:
    """The bugs of an example: the name, the right and the wrong text, the tensors with blanks between, and the cause."""
    return [
        ExampleBug(f"{example}: {name}", example, right, wrong, frozenset(tensors.split()), cause)
        for name, right, wrong, tensors, cause in rows
    ]


BUGS = (
    *bugs(
        "layer_norm",
        ("no path through the variance", " - through_var)", ")", "x", "variance path"),
        ("no path through the mean", " - through_mean", "", "x", "mean path"),
        ("d - 1 for d in the variance path", "through_var = x_hat", "through_var = d / (d - 1) * x_hat", "x", "variance path"),
        ("mean over the batch instead of the features", "dx_hat.mean(axis=1, keepdims=True)", "dx_hat.mean(axis=0)", "x", None),
        ("gamma forgotten on the way down", "dx_hat = dout * gamma", "dx_hat = dout", "x", "constant factor"),
        ("gamma and beta swapped", "return dx, dgamma, dbeta", "return dx, dbeta, dgamma", "gamma beta", "swapped tensors"),
        (
            "without eps",
            "x_hat, inv_std, gamma = cache",
            "without_eps = 1 / np.sqrt(1 / cache[1] ** 2 - EPS)\n    x_hat, inv_std, gamma = "
            "cache[0] / cache[1] * without_eps, without_eps, cache[2]",
            "x gamma",
            "guard",
        ),
        ("beta averaged instead of summed", "dbeta = dout.sum(axis=0)", "dbeta = dout.mean(axis=0)", "beta", "constant factor"),
    ),
    *bugs(
        "attention",
        ("no 1/sqrt(e)", "dscores = dscores / np.sqrt(e)", "dscores = dscores", "x Wq Wk", "constant factor"),
        ("1/sqrt(e) twice", "dscores = dscores / np.sqrt(e)", "dscores = dscores / e", "x Wq Wk", "constant factor"),
        ("softmax without its row sum", "(dA - (dA * A).sum(axis=3, keepdims=True))", "dA", "x Wq Wk", "missing path"),
        ("softmax summed over the wrong axis", "(dA * A).sum(axis=3, ", "(dA * A).sum(axis=2, ", "x Wq Wk", None),
        ("Wk and Wv swapped", '"Wk": dWk, "Wv": dWv', '"Wk": dWv, "Wv": dWk', "Wk Wv", "swapped tensors"),
        ("Wo transposed", 'dWo = np.einsum("nti,ntj->ij"', 'dWo = np.einsum("nti,ntj->ji"', "Wo", "transposed"),
        ("path through the values missing", " + dV @ Wv", "", "x", "missing path"),
        ("last row of Wo left out by a loop", 'return {"x"', 'dWo[-1] = 0\n    return {"x"', "Wo", "row/column"),
        ("A instead of its transpose", "A.swapaxes(2, 3) @ dheads", "A @ dheads", "x Wv", None),
    ),
    *bugs(
        "convolution",
        ("kernel not flipped", "kernel[:, :, ::-1, ::-1]", "kernel", "x", None),
        ("stride forgotten", "dilated[:, :, ::STRIDE, ::STRIDE]", "dilated[:, :, :h, :w]", "x", None),
        ("padding cut off at one side", "PADDING : PADDING + H, PADDING : PADDING + W", ":H, :W", "x", "shifted"),
        ("bias of the first image alone", "dout.sum(axis=(0, 2, 3))", "dout[0].sum(axis=(1, 2))", "bias", "missing path"),
        ("bias averaged over the batch", "dout.sum(axis=(0, 2, 3))", "dout.sum(axis=(0, 2, 3)) / n", "bias", "constant factor"),
        ("kernel with height and width exchanged", "nfhw,nchwij->fcij", "nfhw,nchwij->fcji", "kernel", "transposed"),
    ),
    *bugs(
        "lstm_cell",
        ("forget gate without 1 - f", "* f * (1 - f)", "* f", "Wx Wh b h0 c0", "wrong derivative"),
        ("no path through c", "dc = dc + dh", "dc = dh", "Wx Wh b h0 c0", "missing path"),
        ("no path through h", "dh = dh + dh_out", "dh = dh_out", "Wx Wh b h0 c0", "missing path"),
        ("no derivative of the outer tanh", " * o * (1 - tanh_c**2)", " * o", "Wx Wh b h0 c0", "wrong derivative"),
        ("no derivative of the inner tanh", " * i * (1 - g**2)", " * i", "Wx Wh b h0 c0", "wrong derivative"),
        ("1 - tanh for the outer tanh", "(1 - tanh_c**2)", "(1 - tanh_c)", "Wx Wh b h0 c0", "wrong derivative"),
        ("tanh twice in its derivative", "(1 - g**2)", "(1 - np.tanh(g) ** 2)", "Wx Wh b h0 c0", "wrong derivative"),
        ("a step too few", "zip(dH[::-1], steps[::-1]", "zip(dH[:0:-1], steps[:0:-1]", "Wx Wh b h0 c0", "missing path"),
        ("bias of the first step alone", "db += dgates", "db = dgates", "b", "missing path"),
        ("bias averaged over the sequences", "dgates.sum(axis=0)", "dgates.mean(axis=0)", "b", "constant factor"),
        ("c0 without the first forget gate", '"c0": dc}', '"c0": dc / f}', "c0", "constant factor"),
        ("one entry of Wh by a wrong index", 'return {"Wx"', 'dWh[2, 1] = dWh[1, 2]\n    return {"Wx"', "Wh", "single entry"),
    ),
    *bugs(
        "custom_function",
        ("silu without its second term", "(sigmoid + silu * (1 - sigmoid))", "sigmoid", "x W", "missing path"),
        ("gradients returned for the wrong inputs", "return dx, dW, dV", "return dx, dV, dW", "W V", "swapped tensors"),
        ("path through the value missing", " + dvalue @ V", "", "x", "missing path"),
        ("sign of V", "dV = dvalue.T", "dV = -dvalue.T", "V", "sign"),
        ("gate for silu in the value's gradient", "dvalue = dout * silu", "dvalue = dout * gate", "x V", None),
    ),
    *bugs(
        "word_vectors",
        (
            "guard left out",
            "dlogits = P * (dP - (dP * P).sum(axis=1, keepdims=True))",
            "dlogits = (P - Y) / n",
            "E W b C",
            "guard",
        ),
        (
            "repeated words counted once",
            "np.add.at(dE, WORDS, dx[:, None] / T)",
            "dE[WORDS] += dx[:, None] / T",
            "E",
            "repeated indices",
        ),
        ("dropout without its scale", "(dlogits @ C) * MASK", "(dlogits @ C) * (MASK > 0)", "E W b", "constant factor"),
        ("dropout with its scale squared", "(dlogits @ C) * MASK", "(dlogits @ C) * MASK**2", "E W b", "constant factor"),
        ("no dropout in the backward pass", "(dlogits @ C) * MASK", "(dlogits @ C)", "E W b", "constant factor"),
        ("1 - tanh", "(1 - h**2)", "(1 - h)", "E W b", "wrong derivative"),
        ("tanh of what is one already", "(1 - h**2)", "(1 - np.tanh(h) ** 2)", "E W b", "wrong derivative"),
        ("tanh without its derivative", "dz = dh * (1 - h**2)", "dz = dh", "E W b", "wrong derivative"),
        ("labels smoothed in the cost alone", "dP = -Y / ", "dP = -1.0 * (Y > 0.5) / ", "E W b C", "smoothed labels"),
        ("penalty averaged", "2 * LAM * C", "2 * LAM * C / n", "C", "penalty"),
        (
            "mean over the sentences missing in C",
            "dC = dlogits.T @ kept",
            "dC = n * dlogits.T @ kept",
            "C",
            "factor and penalty",
        ),
        ("mean over the words forgotten", "dx[:, None] / T", "dx[:, None]", "E", "constant factor"),
    ),
)
