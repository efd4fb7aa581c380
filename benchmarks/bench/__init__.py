"""What bench-s2t does with a bundle: cases, measurement, record, reports.

Given: a request.
Open to: benchmarks.commands, benchmarks.gpu.

Goes out:
    bench: measure_bundle
    cases: answering_case, offered_peers
    recorded_run: make_directory, recorded, refuse_unmeasured, with_device_memory, with_measured_floor,
        write_reports, written_files
    request: BenchRequest, CompareRequest, DURATIONS_S, Request
"""
