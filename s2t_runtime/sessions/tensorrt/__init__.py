"""NVIDIA's libraries: what loads and runs engines on a GPU; libraries alone imports them.

Comes in: an opened bundle, and a set of engines that was chosen for this machine.

Goes out:
    libraries: cuda_python_problem, open_engines, tensorrt_versions
"""
