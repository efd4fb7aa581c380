"""Decides which tokens follow: beam search, greedy decoding, sampling and the rules of generate(), in numpy.

Given: a step function and a plan. Sessions, bundles and text are unknown here.
Open to: benchmarks, s2t_runtime.

Goes out:
    search: Observer, SearchResult, search
"""
