/// How many threads a session gets that is told no number: what this process may use, and not what the machine has.
///
/// s2t_runtime/default_threads.py counts the same, and says why.
#pragma once

#include <optional>
#include <set>
#include <string>

namespace s2t {

/// A number of threads, and what it follows from.
struct DefaultThreads {
    int count = 1;                ///< the cores, or the quota rounded up where that is less; at least 1
    int cores = 1;                ///< physical cores among the usable processors
    int usable = 1;               ///< logical processors that this thread may run on
    std::optional<double> quota;  ///< processors' worth of time that the cgroups leave; none: no limit
};

/// Numbers of the processors that this thread may run on.
std::set<int> usable_processors();

/// `root`: where proc and sys lie.
DefaultThreads default_threads(const std::string& root = "/", const std::set<int>& usable = usable_processors());

}  // namespace s2t
