"""What sampling does to scores before it draws: transformers' logits warpers, in transformers' order.

Each function takes scores float32 [..., n], n tokens in the order of their ids, and returns the same with
-inf for what may not be drawn; the comparisons are transformers' own, in single precision. Where equal
scores stand on both sides of a limit, torch leaves open which of them stay: here the lower ids do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2t_runtime.options.sampling import Sampling
from s2t_runtime.search.probabilities import entropy, log_softmax, normalized, running_sum, softmax
from s2t_runtime.sessions.protocol import Float32, Int64

Mask = NDArray[np.bool_]

TOP_H_CANDIDATES = 100  # ``TopHLogitsWarper.top_n``
_NONE = np.float32(-np.inf)


# A row without any token that can follow stays as it is: what is computed of it is not a number.
@np.errstate(divide="ignore", over="ignore", invalid="ignore")
def bounding_warpers(scores: Float32, sampling: Sampling) -> Float32:
    """Temperature, top-h and top-k: after the latter few tokens are left."""
    if sampling.temperature != 1.0:
        scores = scores / sampling.temperature
    if sampling.top_h > 0:
        scores = top_h(scores, sampling.top_h)
    if sampling.top_k:
        scores = top_k(scores, max(sampling.top_k, sampling.min_tokens_to_keep))
    return scores


@np.errstate(divide="ignore", over="ignore", invalid="ignore")
def further_warpers(scores: Float32, sampling: Sampling) -> Float32:
    """The warpers after top-k; tokens at -inf make no difference to them, so they may be left out."""
    keep = sampling.min_tokens_to_keep
    if sampling.top_p < 1.0:
        scores = top_p(scores, sampling.top_p, keep)
    if sampling.min_p > 0:
        scores = min_p(scores, sampling.min_p, keep)
    if sampling.typical_p < 1.0:
        scores = typical_p(scores, sampling.typical_p, keep)
    if sampling.epsilon_cutoff > 0:
        scores = epsilon_cutoff(scores, sampling.epsilon_cutoff, keep)
    if sampling.eta_cutoff > 0:
        scores = eta_cutoff(scores, sampling.eta_cutoff, keep)
    return scores


def top_k(scores: Float32, count: int) -> Float32:
    """``TopKLogitsWarper``: the ``count`` best, and all that equal the last of them."""
    return np.where(scores < _nth_best(scores, count), _NONE, scores)


def top_p(scores: Float32, share: float, keep: int) -> Float32:
    """``TopPLogitsWarper``: the likeliest tokens whose probabilities add up to ``share``, ``keep`` at least."""
    order = _descending(scores)[..., ::-1]
    removed = running_sum(softmax(np.take_along_axis(scores, order, axis=-1))) <= 1 - share
    removed[..., -keep:] = False
    return _without(scores, order, removed)


def min_p(scores: Float32, share: float, keep: int) -> Float32:
    """``MinPLogitsWarper``: tokens at least ``share`` times as likely as the likeliest, ``keep`` at least."""
    probs = softmax(scores)
    removed = probs < share * probs.max(axis=-1, keepdims=True)
    # By scores: of tokens whose probability is rounded to 0, torch keeps any.
    np.put_along_axis(removed, _descending(scores)[..., :keep], values=False, axis=-1)
    return np.where(removed, _NONE, scores)


def typical_p(scores: Float32, mass: float, keep: int) -> Float32:
    """``TypicalLogitsWarper``: tokens whose surprise is nearest to the entropy, up to a mass, ``keep`` at least."""
    log_probs = log_softmax(scores)
    distances = np.abs(-log_probs - entropy(log_probs, np.exp(log_probs)))
    order = np.argsort(distances, axis=-1, kind="stable")
    nearest = np.take_along_axis(distances, order, axis=-1)
    mass_so_far = running_sum(softmax(np.take_along_axis(scores, order, axis=-1)))
    last = (mass_so_far < mass).sum(axis=-1, keepdims=True).clip(max=scores.shape[-1] - 1)
    removed = nearest > np.take_along_axis(nearest, last, axis=-1)
    removed[..., :keep] = False
    return _without(scores, order, removed)


def top_h(scores: Float32, share: float) -> Float32:
    """``TopHLogitsWarper``: of the 100 best as many as hold a share of their entropy, one at least.

    The terms of a token that cannot follow are not numbers, so that it and all behind it are removed.
    """
    order = _descending(scores)[..., :TOP_H_CANDIDATES]
    best = np.take_along_axis(scores, order, axis=-1)
    log_probs = normalized(best)
    probs = softmax(log_probs)
    limit = entropy(log_probs, probs) * np.float32(share)
    kept = running_sum(-probs * np.log(probs)) <= limit
    kept[..., 0] = True
    result = np.full_like(scores, _NONE)
    np.put_along_axis(result, order, np.where(kept, best, _NONE), axis=-1)
    return result


def epsilon_cutoff(scores: Float32, limit: float, keep: int) -> Float32:
    """``EpsilonLogitsWarper``: tokens of a probability of at least ``limit``, ``keep`` at least."""
    removed = (softmax(scores) < limit) & (scores < _nth_best(scores, keep))
    return np.where(removed, _NONE, scores)


def eta_cutoff(scores: Float32, limit: float, keep: int) -> Float32:
    """``EtaLogitsWarper``: as epsilon_cutoff, with a limit that falls with the entropy."""
    probs, log_probs, epsilon = softmax(scores), normalized(scores), np.float32(limit)
    eta = np.minimum(epsilon, np.sqrt(epsilon) * np.exp(-entropy(log_probs, softmax(log_probs))))
    return np.where((probs < eta) & (scores < _nth_best(scores, keep)), _NONE, scores)


def _nth_best(scores: Float32, count: int) -> Float32:
    place = scores.shape[-1] - min(count, scores.shape[-1])
    return np.partition(scores, place, axis=-1)[..., place : place + 1]


def _descending(values: Float32) -> Int64:
    """Places from the greatest value to the least, lower places first among equals."""
    return np.argsort(-values, axis=-1, kind="stable")


def _without(scores: Float32, order: Int64, removed: Mask) -> Float32:
    """Scores with -inf where ``removed`` says so of the token at each place of ``order``."""
    mask = np.empty_like(removed)
    np.put_along_axis(mask, order, removed, axis=-1)
    return np.where(mask, _NONE, scores)
