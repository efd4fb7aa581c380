"""Takes the times: cases in turns, each in a process of its own, with memory, floor and load beside them.

Given: cases and tasks.
Open to: benchmarks.bench, benchmarks.gpu, benchmarks.records.

Goes out:
    agreement: Agreement, agreement
    bandwidth_floor: Bandwidth, floor_s
    busy: Load, busy_notes, current_load
    choice: Choice
    gpu_device: GpuDevice, first_gpu
    interleaved: Measured, Measurement, Repetitions, measure
    peer_process: PeerProcess, has_preparation, prepared
    processor_time: others_between, processor_time
    summary: summarise
    word_errors: rates, read_references, word_errors
"""
