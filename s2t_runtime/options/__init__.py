"""What a caller may ask of the search: options, their values, and the plan that comes of them.

Given: a call's options and a bundle's. Nothing is computed here.
Open to: benchmarks, exporter, s2t_runtime, s2t_runtime.commands, s2t_runtime.search.

Goes out:
    call: DecodingOptions
    generation: GenerationOptions
    ids: token_ids
    lengths: longest_sequence
    memory: Memory
    plan: SearchPlan, plan_search
    refusals: REASONS
    sampling: Sampling
    values: PrefixFunction
"""
