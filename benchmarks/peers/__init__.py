"""What is measured: one folder a peer, each with a ``peer.py``; protocol and tasks are what all of them share.

Given: tasks.
Open to: benchmarks.bench, benchmarks.comparison, benchmarks.gpu, benchmarks.measuring, benchmarks.records,
    benchmarks.report.

Goes out:
    protocol: Answer, Case, OWN, Offer, Peer, Run, STAGES, StageTimes, Task, open_peer, peer_module
    tasks: make_tasks, recording_tasks, request_of
"""
