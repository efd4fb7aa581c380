"""Decides which tokens follow: beam search, greedy decoding, sampling and the rules of generate(), in numpy.

Comes in: a step function and a plan. Sessions, bundles and text are unknown here.

Goes out:
    search: Observer, SearchResult, search
"""
