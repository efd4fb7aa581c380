"""Machines as /proc and /sys describe them, and the threads that a session gets there, in Python and in C++."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

V2_MOUNT = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNTS = (
    "25 30 0:22 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "26 30 0:23 {top} /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    "27 30 0:24 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
)
V1_GROUPS = "5:cpuset:/elsewhere\n4:cpu,cpuacct:{group}\n1:name=systemd:/user.slice\n"


@dataclass(frozen=True)
class MachineCase:
    """A tree of files below a root, the processors that may be used, and what follows."""

    usable: frozenset[int]
    count: int
    cores: int
    quota: float | None = None
    files: Mapping[str, str] = field(default_factory=dict)


def _cores(*siblings: str) -> dict[str, str]:
    """For each processor, in order, the list of those on its core."""
    path = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    return {path.format(number): f"{text}\n" for number, text in enumerate(siblings)}


def _v2(group: str, limits: Mapping[str, str], mount: str = V2_MOUNT) -> dict[str, str]:
    """Version 2: the cpu.max of each folder below the mount."""
    files = {f"sys/fs/cgroup{folder}/cpu.max": f"{text}\n" for folder, text in limits.items()}
    return {"proc/self/cgroup": f"0::{group}\n", "proc/self/mountinfo": mount, **files}


def _v1(group: str, quotas: Mapping[str, int], top: str = "/") -> dict[str, str]:
    """Version 1: the quota of each folder below the mount, of periods of 0.1 s."""
    files = {}
    for folder, quota in quotas.items():
        files[f"sys/fs/cgroup/cpu,cpuacct{folder}/cpu.cfs_quota_us"] = f"{quota}\n"
        files[f"sys/fs/cgroup/cpu,cpuacct{folder}/cpu.cfs_period_us"] = "100000\n"
    return {
        "proc/self/cgroup": V1_GROUPS.format(group=group),
        "proc/self/mountinfo": V1_MOUNTS.format(top=top),
        **files,
    }


PLAIN = _cores("0", "1", "2", "3", "4", "5", "6", "7")
TWO_EACH = _cores("0,4", "1,5", "2,6", "3,7", "0,4", "1,5", "2,6", "3,7")
ALL = frozenset(range(8))

MACHINES: Mapping[str, MachineCase] = {
    "no files at all": MachineCase(ALL, 8, 8),
    "a core for each processor": MachineCase(ALL, 8, 8, files=PLAIN),
    "two processors a core": MachineCase(ALL, 4, 4, files=TWO_EACH),
    "one processor of a cpuset": MachineCase(frozenset({3}), 1, 1, files=PLAIN),
    "both processors of one core": MachineCase(frozenset({1, 5}), 1, 1, files=TWO_EACH),
    "one processor each of two cores": MachineCase(frozenset({1, 6}), 2, 2, files=TWO_EACH),
    "no limit of version 2": MachineCase(ALL, 8, 8, files=PLAIN | _v2("/a", {"/a": "max 100000"})),
    "half a processor": MachineCase(ALL, 1, 8, 0.5, PLAIN | _v2("/a", {"/a": "50000 100000"})),
    "one processor and a half": MachineCase(ALL, 2, 8, 1.5, PLAIN | _v2("/a", {"/a": "150000 100000"})),
    "exactly three": MachineCase(ALL, 3, 8, 3.0, PLAIN | _v2("/a", {"/a": "300000 100000"})),
    "more than there are cores": MachineCase(ALL, 4, 4, 6.0, TWO_EACH | _v2("/a", {"/a": "600000 100000"})),
    "fewer usable than the quota": MachineCase(
        frozenset({0, 1}), 2, 2, 3.0, PLAIN | _v2("/a", {"/a": "300000 100000"})
    ),
    "the quota of the one above is smaller": MachineCase(
        ALL,
        2,
        8,
        2.0,
        PLAIN | _v2("/a/b/c", {"/a": "200000 100000", "/a/b": "max 100000", "/a/b/c": "50000 10000"}),
    ),
    "the quota of the one below is smaller": MachineCase(
        ALL, 2, 8, 1.2, PLAIN | _v2("/a/b", {"/a": "500000 100000", "/a/b": "60000 50000"})
    ),
    "a container's own namespace": MachineCase(ALL, 2, 8, 2.0, PLAIN | _v2("/", {"": "200000 100000"})),
    "a path outside the namespace": MachineCase(
        ALL, 2, 8, 2.0, PLAIN | _v2("/../other", {"": "200000 100000", "/../other": "100000 100000"})
    ),
    "a container that sees its folder as the top": MachineCase(
        ALL,
        2,
        8,
        2.0,
        PLAIN | _v2("/docker/7", {"": "200000 100000"}, V2_MOUNT.replace(" / /sys", " /docker/7 /sys")),
    ),
    "no mount": MachineCase(ALL, 8, 8, files=PLAIN | _v2("/a", {"/a": "100000 100000"}, mount="")),
    "a limit that is no number": MachineCase(ALL, 8, 8, files=PLAIN | _v2("/a", {"/a": "many 100000"})),
    "no limit of version 1": MachineCase(ALL, 8, 8, files=PLAIN | _v1("/a", {"/a": -1, "": -1})),
    "a quota of version 1": MachineCase(ALL, 3, 8, 2.5, PLAIN | _v1("/a", {"/a": 250_000, "": -1})),
    "nested quotas of version 1": MachineCase(
        ALL, 1, 8, 0.75, PLAIN | _v1("/a/b", {"/a/b": 300_000, "/a": 75_000, "": -1})
    ),
    "a container of version 1": MachineCase(
        ALL, 2, 8, 2.0, PLAIN | _v1("/docker/7", {"": 200_000}, top="/docker/7")
    ),
    "another folder with the same beginning": MachineCase(
        ALL, 2, 8, 2.0, PLAIN | _v1("/docker/77/x", {"": 200_000, "/7/x": 100_000}, top="/docker/7")
    ),
    "both versions, the quota in version 1": MachineCase(
        ALL,
        2,
        8,
        2.0,
        PLAIN
        | _v1("/a", {"/a": 200_000})
        | {
            "proc/self/cgroup": V1_GROUPS.format(group="/a") + "0::/\n",
            "proc/self/mountinfo": V1_MOUNTS.format(top="/")
            + V2_MOUNT.replace("/sys/fs/cgroup ", "/sys/fs/cgroup/unified "),
        },
    ),
}


def write_tree(case: MachineCase, root: Path) -> None:
    """Write the files of a machine below a root."""
    root.mkdir(parents=True)
    for name, text in case.files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def write_machines(directory: Path) -> None:
    """Write machines.json and the trees."""
    cases = []
    for name, case in MACHINES.items():
        root = directory / "machines" / name
        write_tree(case, root)
        cases.append(
            {
                "name": name, "root": str(root), "usable": sorted(case.usable), "count": case.count,
                "cores": case.cores, "quota": case.quota,
            }
        )  # fmt: skip
    (directory / "machines.json").write_text(json.dumps({"cases": cases}), encoding="utf-8")
