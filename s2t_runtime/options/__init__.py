"""What a caller may ask of the search: options, their values, and the plan that comes of them.

Comes in: a call's options and a bundle's. Nothing is computed here.

Goes out:
    call: DecodingOptions
    generation: GenerationOptions
    ids: token_ids
    plan: SearchPlan, plan_search
    refusals: REASONS
    sampling: Sampling
    values: PrefixFunction
"""
