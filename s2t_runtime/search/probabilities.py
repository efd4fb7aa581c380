"""Softmax and its relatives in single precision, as torch computes them.

All act on the last axis of float32 arrays, in which -inf stands for a token that cannot follow.
"""

from __future__ import annotations

import numpy as np

from s2t_runtime.sessions.protocol import Float32


def log_softmax(scores: Float32) -> Float32:
    """Log-probabilities float32 [..., n] of scores float32 [..., n], at least one of each row finite."""
    shifted: Float32 = scores - scores.max(axis=-1, keepdims=True)
    total: Float32 = np.exp(shifted).sum(axis=-1, keepdims=True)
    return shifted - np.log(total)


def normalized(scores: Float32) -> Float32:
    """``torch.distributions.Categorical.logits``: log-probabilities as well, but rounded another way."""
    best: Float32 = scores.max(axis=-1, keepdims=True)
    total: Float32 = np.exp(scores - best).sum(axis=-1, keepdims=True)
    return scores - (best + np.log(total))


def softmax(scores: Float32) -> Float32:
    """Probabilities float32 [..., n] of scores float32 [..., n], at least one of each row finite."""
    weights: Float32 = np.exp(scores - scores.max(axis=-1, keepdims=True))
    total: Float32 = weights.sum(axis=-1, keepdims=True)
    return weights / total


def running_sum(values: Float32) -> Float32:
    """``torch.cumsum``, which adds in double precision and rounds each sum."""
    return np.cumsum(values, axis=-1, dtype=np.float64).astype(np.float32)


def entropy(log_probs: Float32, probs: Float32) -> Float32:
    """Entropy in nats, float32 [..., 1]; tokens of probability 0 add nothing."""
    terms: Float32 = np.where(probs > 0, log_probs, np.float32(0)) * probs
    total: Float32 = terms.sum(axis=-1, keepdims=True)
    return -total
