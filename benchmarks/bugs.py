"""Bugs planted in the hand-written backward passes of the seven networks: the mistakes that people make.

Each is a function in the place of one of `manual/layers.py`, `manual/losses.py` or `manual/passes.py`; its first argument is
the original, the others have the types of the original. Or it spoils the finished gradient of one tensor (`@spoiled`). Where
the cause is left out, the error has no form that would say what the bug is.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.planting import Bug, down_from, planter
from gradcheck.arrays import Array
from manual.passes import Caches

BUGS: dict[str, Bug] = {}
bug = planter(BUGS)


def spoiled(network: str, tensor: str, cause: str | None = None) -> Callable[[Callable[[Array], Array]], Callable[..., Any]]:
    """A decorator for a function of one finished gradient, an array that it may write into; it returns the wrong one."""

    def plant(change: Callable[[Array], Array]) -> Callable[..., Any]:
        @functools.wraps(change)
        def wrong(original: Callable[..., dict[str, Array]], *arguments: Any) -> dict[str, Array]:
            gradients = original(*arguments)
            return gradients | {tensor: change(gradients[tensor])}

        return bug(network, "backward", tensor, cause)(wrong)

    return plant


def with_activation(caches: Caches, layer: int, cache: Any) -> Caches:
    """The caches of a forward pass with another cache of the activation of `layer`."""
    return caches._replace(activation=caches.activation | {layer: cache})


# one-layer


@spoiled("one-layer", "W1", "the single entry [")
def largest_entry_zero(dW):
    dW[np.unravel_index(np.abs(dW).argmax(), dW.shape)] = 0
    return dW


@spoiled("one-layer", "W1", "column 1234 alone is ")
def one_feature_column_zero(dW):
    dW[:, 1234] = 0
    return dW


@spoiled("one-layer", "W1", "its rows are permuted: 2, 7")
def two_rows_swapped(dW):
    dW[[2, 7]] = dW[[7, 2]]
    return dW


@spoiled("one-layer", "W1", "it is multiplied by 1.01")
def one_percent_too_large(dW):
    return dW * 1.01


@spoiled("one-layer", "W1", "the single entry [4, 321] is wrong, (1 +1.0e-03) times")
def one_entry_off_by_one_part_in_a_thousand(dW):
    dW[4, 321] *= 1 + 1e-3
    return dW


@bug("one-layer", "penalty", "W1", "its penalty 2*lambda*W1 is multiplied by 2")
def penalty_doubled(original, W, lam_l):
    return original(W, 2 * lam_l)


@bug("one-layer", "softmax", "W1 b1", "the labels are not subtracted")
def labels_not_subtracted(original, cache):
    exp, Z, _ = cache
    return exp / Z[:, None] / len(exp)


@bug("one-layer", "softmax", "W1 b1", "image 7 of the batch is counted twice")
def image_counted_twice(original, cache):
    dlogits = original(cache)
    dlogits[7] *= 2
    return dlogits


@bug("one-layer", "softmax", "W1 b1", "multiplied by 20/19: n - 1 stands for n")
def mean_with_n_minus_1(original, cache):
    return original(cache) * 20 / 19


@bug("one-layer", "linear", "b1", "multiplied by 20: the mean over the 20 images is missing")
def bias_summed_instead_of_averaged(original, dS, cache):
    dW, db = original(dS, cache)
    return dW, db * len(dS)


@bug("one-layer", "softmax", "W1 b1", "the labels are smoothed by 0.1 there, and not in the cost")
def labels_smoothed_in_the_gradient_alone(original, cache):
    exp, _, y = cache
    n, K = exp.shape
    return original(cache) + 0.1 * (np.eye(K)[y] - 1 / K) / n


@bug("one-layer", "softmax", "W1 b1", "each row subtracts the labels of all rows")
def labels_subtracted_in_every_row(original, cache):
    exp, Z, y = cache
    dlogits = exp / Z[:, None]
    dlogits[:, y] -= 1
    return dlogits / len(y)


@bug("one-layer", "softmax", "W1 b1", "it has a guard, log(p + 1e-08), that the cost leaves out")
def guard_in_the_softmax(original, cache):
    exp, Z, y = cache
    p = (exp / Z[:, None])[np.arange(len(y)), y][:, None]
    return original(cache) * p / (p + 1e-8)


# one-layer-sigmoid


@bug("one-layer-sigmoid", "sigmoid", "W1 b1", "it has a guard, log(p + 1e-07), that the cost leaves out")
def guard_in_the_sigmoid(original, cache):
    exp, positive, y = cache
    p = np.where(positive, 1, exp) / (1 + exp)
    Y = np.eye(p.shape[1])[y]
    return original(cache) * np.where(Y, p / (p + 1e-7), (1 - p) / (1 - p + 1e-7))


@bug("one-layer-sigmoid", "sigmoid", "W1 b1", "multiplied by 10: the mean over the 10 classes is missing")
def sigmoid_without_1_over_K(original, cache):
    return original(cache) * 10


@bug("one-layer-sigmoid", "sigmoid", "W1 b1", "multiplied by 1/10: it is averaged over the 10 classes too often")
def sigmoid_averaged_over_K_twice(original, cache):
    return original(cache) / 10


@bug("one-layer-sigmoid", "sigmoid", "W1 b1", "all that comes from the loss is multiplied by 1/2")
def loss_halved(original, cache):
    return original(cache) / 2


@bug("one-layer-sigmoid", "sigmoid", "W1 b1", "all that comes from the loss is multiplied by -1: the sign is wrong")
def loss_with_its_sign_flipped(original, cache):
    return -original(cache)


@bug("one-layer-sigmoid", "sigmoid", "W1 b1", "a squared error")
def squared_error_behind_the_sigmoid(original, cache):
    exp, positive, _ = cache
    p = np.where(positive, 1, exp) / (1 + exp)
    return original(cache) * p * (1 - p)


# The bias gets a sum over the images, which is the same in any order.
@bug("one-layer-sigmoid", "sigmoid", "W1", "the labels are those of the image before")
def labels_of_the_image_before(original, cache):
    exp, positive, y = cache
    return original((exp, positive, np.roll(y, 1)))


@bug("one-layer-sigmoid", "penalty", "W1", "its penalty 2*lambda*W1 is multiplied by -1: the sign is wrong")
def penalty_subtracted(original, W, lam_l):
    return -original(W, lam_l)


@bug("one-layer-sigmoid", "penalty", "W1", "its penalty 2*lambda*W1 is multiplied by 1/20")
def penalty_averaged_over_the_batch(original, W, lam_l):
    return original(W, lam_l) / 20


@spoiled("one-layer-sigmoid", "W1", "it is clipped")
def gradient_clipped(dW):
    bound = np.quantile(np.abs(dW), 0.99)
    return dW.clip(-bound, bound)


# two-layer


@bug("two-layer", "penalty", "W1", "it has lambda*W1 where the cost's derivative is 2*lambda*W1", layer=1)
def penalty_halved_on_layer_1(original, W, lam_l):
    return original(W, lam_l) / 2


@bug("two-layer", "penalty", "W1", "the penalty's 2*lambda*W1 is missing", layer=1)
def penalty_missing(original, W, lam_l):
    return original(W, lam_l) * 0


@spoiled("two-layer", "W1", "it is multiplied by 1.05")
def five_percent_too_large(dW):
    return dW * 1.05


@spoiled("two-layer", "W1", "row 3 alone is wrong")
def one_row_scaled(dW):
    dW[3] *= 1.1
    return dW


@spoiled("two-layer", "W2", "its columns are permuted: 2, 3")
def two_columns_swapped(dW):
    dW[:, [2, 3]] = dW[:, [3, 2]]
    return dW


@bug("two-layer", "linear", "W1", "the single entry [2, 1234] is wrong, (1 +1.0e-06) times", layer=1)
def one_entry_off_by_one_part_in_a_million(original, dS, cache):
    dW, db = original(dS, cache)
    dW[2, 1234] *= 1 + 1e-6
    return dW, db


@spoiled("two-layer", "W1", "the single entry [1, 234] is wrong")
def one_entry_off_by_one_part_in_a_billion(dW):
    dW[1, 234] *= 1 + 1e-9
    return dW


@spoiled("two-layer", "W1", "its numbers are float32")
def gradient_rounded_to_float32(dW):
    return dW.astype(np.float32).astype(np.float64)


@spoiled("two-layer", "W2", "is added to each entry")
def constant_added(dW):
    return dW + 1e-4


@bug("two-layer", "relu", "W1 b1", "the mask of the ReLU is missing")
def relu_mask_missing(original, dA, active):
    return dA


@bug("two-layer", "relu", "W1 b1", "the mask of the ReLU is inverted")
def relu_mask_inverted(original, dA, active):
    return original(dA, ~active)


@bug("two-layer", "relu", "W1 b1", "the mask of the ReLU leaks: 0.01")
def relu_leaks_backwards(original, dA, active):
    return dA * np.where(active, 1, 0.01)


@bug("two-layer", "input", "W1 b1")
def weights_taken_after_their_update(original, dS, cache):
    X, W = cache
    return dS @ (W - 0.1 * dS.T @ X)


@bug("two-layer", "backward", "W2", "stands for what its ReLU hands on")
def input_of_the_relu_for_its_output(original, network, parameters, caches, loss_cache, lam):
    X, W1 = caches.linear[1]
    _, W2 = caches.linear[2]
    S = X @ W1.T + parameters["b1"]
    wrong = original(network, parameters, caches._replace(linear=caches.linear | {2: (S, W2)}), loss_cache, lam)
    return original(network, parameters, caches, loss_cache, lam) | {"W2": wrong["W2"]}


@bug("two-layer", "linear", "b1", "it is summed over the units too", layer=1)
def bias_summed_over_the_units_too(original, dS, cache):
    dW, db = original(dS, cache)
    return dW, np.full_like(db, db.sum())


@bug("two-layer", "linear", "b1 b2", "image 0 of the batch stands for all of them")
def bias_of_the_first_image_alone(original, dS, cache):
    dW, _ = original(dS, cache)
    return dW, dS[0]


MEAN_ON_THE_PENALTY = "is multiplied by 20: the mean over the 20 images is missing, and its penalty by 1/2"


@bug("two-layer", "backward", "W1", MEAN_ON_THE_PENALTY)
def mean_missing_and_penalty_halved(original, network, parameters, caches, loss_cache, lam):
    gradients, penalty = original(network, parameters, caches, loss_cache, lam), 2 * lam[0] * parameters["W1"]
    return gradients | {"W1": 20 * (gradients["W1"] - penalty) + penalty / 2}


# three-layer


@bug("three-layer", "relu", "W1 b1 W2 b2", "what comes from above is multiplied by 1.3", layer=2)
def upstream_a_third_too_large(original, dA, active):
    return 1.3 * original(dA, active)


@bug("three-layer", "penalty", "W1", "the penalty's 2*lambda*W1 is missing", layer=1)
def penalty_missing_on_layer_1(original, W, lam_l):
    return original(W, lam_l) * 0


@bug("three-layer", "penalty", "W2", "it has lambda*W2 where the cost's derivative is 2*lambda*W2", layer=2)
def penalty_halved_on_layer_2(original, W, lam_l):
    return original(W, lam_l) / 2


@bug("three-layer", "backward", "W2 W3", "its penalty takes the lambda of layer 1")
def lambda_of_the_first_layer_everywhere(original, network, parameters, caches, loss_cache, lam):
    return original(network, parameters, caches, loss_cache, (lam[0],) * len(lam))


@bug("three-layer", "softmax", "W1 b1 W2 b2 W3 b3", "multiplied by 20: the mean over the 20 images is missing")
def mean_over_the_batch_missing(original, cache):
    return original(cache) * 20


# At both ReLUs: below the second, the two signs cancel.
@bug("three-layer", "relu", "W2 b2", "the sign is wrong at the ReLU")
def sign_flipped_at_the_relu(original, dA, active):
    return -original(dA, active)


@bug("three-layer", "relu", "W1 b1 W2 b2", "the mask of the ReLU is taken from the gradient")
def relu_mask_from_the_upstream_gradient(original, dA, active):
    return dA * (dA > 0)


@bug("three-layer", "backward", "W1 b1", "the mask of the ReLU is that of layer 2")
def relu_mask_of_the_layer_above(original, network, parameters, caches, loss_cache, lam):
    return original(network, parameters, with_activation(caches, 1, caches.activation[2]), loss_cache, lam)


@bug("three-layer", "input", "W1 b1", "W2 is transposed in the product", layer=2)
def product_transposed(original, dS, cache):
    _, W = cache
    return dS @ W.T


@bug("three-layer", "relu", "W1 b1 W2 b2", "what comes from above is multiplied by 2", layer=2)
def upstream_doubled(original, dA, active):
    return 2 * original(dA, active)


@spoiled("three-layer", "W2", "it is transposed")
def gradient_transposed(dW):
    return dW.T.copy()


@bug("three-layer", "linear", "W2", "its data term (all but the penalty) is multiplied by 0: it is missing", layer=2)
def gradient_missing(original, dS, cache):
    dW, db = original(dS, cache)
    return 0 * dW, db


@bug("three-layer", "linear", "W2", "row 1 alone is zero", layer=2)
def one_row_zero(original, dS, cache):
    dW, db = original(dS, cache)
    dW[1] = 0
    return dW, db


@bug("three-layer", "linear", "W1 W2 W3", "image 19 of the batch is left out")
def last_image_left_out_of_the_weights(original, dS, cache):
    _, db = original(dS, cache)
    return dS[:-1].T @ cache[0][:-1], db


@bug("three-layer", "linear", "b1 b2 b3", "image 19 of the batch is left out")
def last_image_left_out_of_the_biases(original, dS, cache):
    dW, _ = original(dS, cache)
    return dW, dS[:-1].sum(axis=0)


@bug("three-layer", "linear", "b1 b2 b3", "multiplied by 1/20: it is averaged over the 20 images twice")
def bias_gradient_averaged_twice(original, dS, cache):
    dW, db = original(dS, cache)
    return dW, db / len(dS)


@bug("three-layer", "linear", "b3", "it is not finite everywhere", layer=3)
def one_bias_not_a_number(original, dS, cache):
    dW, db = original(dS, cache)
    db[3] = np.nan
    return dW, db


# three-layer-bn

BELOW_NORMS = "W1 gamma1 beta1 W2"


@bug("three-layer-bn", "norm", BELOW_NORMS, "the path through the batch's variance is missing")
def variance_path_missing(original, dout, cache):
    _, dgamma, dbeta = original(dout, cache)
    _, inv_std, gamma = cache
    dS_hat = dout * gamma
    return inv_std * (dS_hat - dS_hat.mean(axis=0)), dgamma, dbeta


@bug("three-layer-bn", "norm", f"{BELOW_NORMS} b1 b2", "the path through the batch's mean is missing")
def mean_path_missing(original, dout, cache):
    _, dgamma, dbeta = original(dout, cache)
    S_hat, inv_std, gamma = cache
    dS_hat = dout * gamma
    return inv_std * (dS_hat - S_hat * (dS_hat * S_hat).mean(axis=0)), dgamma, dbeta


@bug("three-layer-bn", "norm", f"{BELOW_NORMS} b1 b2", "the paths through the batch's mean and variance are missing")
def statistics_taken_for_constants(original, dout, cache):
    _, dgamma, dbeta = original(dout, cache)
    _, inv_std, gamma = cache
    return dout * gamma * inv_std, dgamma, dbeta


@bug("three-layer-bn", "norm", f"{BELOW_NORMS} b1 b2", "n - 1 stands for n, in the backward pass of batch norm")
def batch_norm_with_n_minus_1(original, dout, cache):
    _, dgamma, dbeta = original(dout, cache)
    S_hat, inv_std, gamma = cache
    dS_hat, n = dout * gamma, len(dout)
    return inv_std * (dS_hat - (dS_hat.sum(axis=0) + S_hat * (dS_hat * S_hat).sum(axis=0)) / (n - 1)), dgamma, dbeta


@bug("three-layer-bn", "norm", BELOW_NORMS, "gamma is missing, in the backward pass of batch norm")
def gamma_missing(original, dout, cache):
    S_hat, inv_std, gamma = cache
    dS, _, _ = original(dout, (S_hat, inv_std, np.ones_like(gamma)))
    _, dgamma, dbeta = original(dout, cache)
    return dS, dgamma, dbeta


@bug("three-layer-bn", "norm", BELOW_NORMS, "the division by the standard deviation is missing")
def inv_std_missing(original, dout, cache):
    S_hat, inv_std, gamma = cache
    return original(dout, (S_hat, np.ones_like(inv_std), gamma))


SWAPPED = {f"gamma{layer}": f"it is the gradient of beta{layer}" for layer in (1, 2)} | {
    f"beta{layer}": f"it is the gradient of gamma{layer}" for layer in (1, 2)
}


@bug("three-layer-bn", "norm", "gamma1 beta1 gamma2 beta2", SWAPPED)
def gamma_and_beta_swapped(original, dout, cache):
    dS, dgamma, dbeta = original(dout, cache)
    return dS, dbeta, dgamma


@bug("three-layer-bn", "norm", "gamma1 gamma2", "multiplied by 1/20: it is averaged over the 20 images twice")
def gamma_averaged_over_the_batch(original, dout, cache):
    dS, dgamma, dbeta = original(dout, cache)
    return dS, dgamma / len(dout), dbeta


@bug("three-layer-bn", "norm", "gamma1 gamma2", "gamma is a factor too much")
def gamma_from_the_scaled_output(original, dout, cache):
    S_hat, _, gamma = cache
    dS, _, dbeta = original(dout, cache)
    return dS, (dout * S_hat * gamma).sum(axis=0), dbeta


@bug("three-layer-bn", "norm", BELOW_NORMS)
def other_eps_in_the_backward_pass(original, dout, cache):
    S_hat, inv_std, gamma = cache
    return original(dout, (S_hat, 1 / np.sqrt(1 / inv_std**2 + 1e-3), gamma))


@bug("three-layer-bn", "backward", f"{BELOW_NORMS} gamma2 b1 b2")
def running_statistics_in_the_backward_pass(original, network, parameters, caches, loss_cache, lam):
    """Those before training: mean 0 and variance 1."""
    wrong = caches
    for layer in (1, 2):
        A, W = caches.linear[layer]
        (_, inv_std, gamma), active = caches.activation[layer]
        S = A @ W.T + parameters[f"b{layer}"]
        norm_cache = S, np.full_like(inv_std, 1 / np.sqrt(1 + network.eps)), gamma
        wrong = with_activation(wrong, layer, (norm_cache, active))
    return original(network, parameters, wrong, loss_cache, lam)


@spoiled("three-layer-bn", "b3", "the single entry [3] is wrong")
def one_bias_zero(db):
    db[3] = 0
    return db


@bug("three-layer-bn", "backward", "W1", "0.001 * sign(W1), as of an absolute value, is added")
def penalty_of_the_absolute_value(original, network, parameters, caches, loss_cache, lam):
    gradients = original(network, parameters, caches, loss_cache, lam)
    return gradients | {"W1": gradients["W1"] + 1e-3 * np.sign(parameters["W1"])}


# nine-layer

ALL_WEIGHTS = " ".join(f"W{layer}" for layer in range(1, 10))


@bug("nine-layer", "backward", "W7", "it is the gradient of W8")
def weights_of_the_layer_above(original, *arguments):
    gradients = original(*arguments)
    return gradients | {"W7": gradients["W8"]}


@bug("nine-layer", "backward", "b6 b7", {"b6": "it is the gradient of b7", "b7": "it is the gradient of b6"})
def two_biases_swapped(original, *arguments):
    gradients = original(*arguments)
    return gradients | {"b6": gradients["b7"], "b7": gradients["b6"]}


@bug("nine-layer", "backward", "W7", "its penalty takes the weights W8")
def penalty_of_the_weights_above(original, network, parameters, caches, loss_cache, lam):
    gradients = original(network, parameters, caches, loss_cache, lam)
    return gradients | {"W7": gradients["W7"] + 2 * lam[6] * (parameters["W8"] - parameters["W7"])}


@bug("nine-layer", "relu", down_from(6), "multiplied by 1.25, as 1/(1 - p) of a dropout with p = 0.2", layer=6)
def scale_of_a_dropout(original, dA, active):
    return original(dA, active) / 0.8


@bug("nine-layer", "relu", down_from(7), "multiplied by 1.5625, as 1/(1 - p) squared of a dropout with p = 0.2", layer=7)
def scale_of_a_dropout_squared(original, dA, active):
    return original(dA, active) / 0.8**2


@bug("nine-layer", "relu", down_from(5), "what comes from above is multiplied by 0: it is missing", layer=5)
def backward_pass_ends_early(original, dA, active):
    return 0 * dA


@bug("nine-layer", "relu", down_from(6), "multiplied by 1/20: it is averaged over the 20 images twice", layer=6)
def averaged_again_at_layer_6(original, dA, active):
    return original(dA, active) / len(dA)


@bug("nine-layer", "relu", down_from(3), "the mask of the ReLU is missing", layer=3)
def relu_mask_missing_at_layer_3(original, dA, active):
    return dA


@bug("nine-layer", "backward", down_from(6), "the mask of the ReLU is that of layer 7")
def relu_mask_of_layer_7_at_layer_6(original, network, parameters, caches, loss_cache, lam):
    return original(network, parameters, with_activation(caches, 6, caches.activation[7]), loss_cache, lam)


@bug("nine-layer", "input", down_from(6), "W7 is transposed in the product", layer=7)
def product_transposed_at_layer_7(original, dS, cache):
    _, W = cache
    return dS @ W.T


@bug("nine-layer", "relu", down_from(4), "image 7 of the batch is left out", layer=4)
def image_lost_at_layer_4(original, dA, active):
    return original(dA, active) * (np.arange(len(dA)) != 7)[:, None]


@bug("nine-layer", "backward", ALL_WEIGHTS.replace("W5 ", ""), "its penalty takes the lambda of layer ")
def lambdas_in_the_opposite_order(original, network, parameters, caches, loss_cache, lam):
    return original(network, parameters, caches, loss_cache, lam[::-1])


@bug("nine-layer", "penalty", ALL_WEIGHTS, "where the cost's derivative is 2*lambda*W")
def penalty_halved_everywhere(original, W, lam_l):
    return original(W, lam_l) / 2


@bug("nine-layer", "linear", "W5", "column 3 alone is zero", layer=5)
def one_column_zero(original, dS, cache):
    dW, db = original(dS, cache)
    dW[:, 3] = 0
    return dW, db


@bug("nine-layer", "linear", "W9", "image 5 of the batch is counted twice", layer=9)
def image_counted_twice_in_W9(original, dS, cache):
    X, _ = cache
    dW, db = original(dS, cache)
    return dW + np.outer(dS[5], X[5]), db


# nine-layer-bn


@bug("nine-layer-bn", "norm", f"{down_from(3, True)} W4", "the path through the batch's variance is missing", layer=4)
def variance_path_missing_at_layer_4(original, dout, cache):
    return variance_path_missing(original, dout, cache)


@bug("nine-layer-bn", "norm", "W1 b1", "the path through the batch's mean is missing", layer=1)
def mean_path_missing_at_layer_1(original, dout, cache):
    return mean_path_missing(original, dout, cache)


@bug("nine-layer-bn", "norm", f"{down_from(5, True)} W6", "gamma is missing, in the backward pass of batch norm", layer=6)
def gamma_missing_at_layer_6(original, dout, cache):
    return gamma_missing(original, dout, cache)


@bug("nine-layer-bn", "norm", f"{down_from(7, True)} W8", "the division by the standard deviation is missing", layer=8)
def inv_std_missing_at_layer_8(original, dout, cache):
    return inv_std_missing(original, dout, cache)


@bug("nine-layer-bn", "relu", down_from(5, True), "the mask of the ReLU is inverted", layer=5)
def relu_mask_inverted_at_layer_5(original, dA, active):
    return original(dA, ~active)


@bug("nine-layer-bn", "softmax", f"{down_from(8, True)} W9 b9", "image 12 of the batch is left out")
def image_left_out(original, cache):
    dlogits = original(cache)
    dlogits[12] = 0
    return dlogits


@bug("nine-layer-bn", "norm", "beta3", "it is multiplied by 0: it is missing", layer=3)
def beta_missing(original, dout, cache):
    dS, dgamma, dbeta = original(dout, cache)
    return dS, dgamma, 0 * dbeta


@bug("nine-layer-bn", "backward", "gamma2", "* gamma2 is added")
def penalty_on_gamma_too(original, network, parameters, caches, loss_cache, lam):
    gradients = original(network, parameters, caches, loss_cache, lam)
    return gradients | {"gamma2": gradients["gamma2"] + 0.02 * parameters["gamma2"]}


@spoiled("nine-layer-bn", "W9", "it is multiplied by -1: the sign is wrong")
def sign_flipped_in_the_last_layer(dW):
    return -dW


@spoiled("nine-layer-bn", "gamma8", "it is not finite everywhere")
def gamma_infinite(dgamma):
    dgamma[0] = np.inf
    return dgamma
