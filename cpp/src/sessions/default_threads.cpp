#include "sessions/default_threads.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace s2t {

namespace {

/// The text of a file without white space at its ends; empty where it cannot be read.
std::string text_of(const std::string& path) {
    std::ifstream file(path);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    const std::size_t first = text.find_first_not_of(" \n");
    return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \n") - first + 1);
}

std::vector<std::string> parts_of(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, separator);) {
        parts.push_back(part);
    }
    return parts;
}

bool holds(const std::vector<std::string>& parts, const std::string& wanted) {
    return std::find(parts.begin(), parts.end(), wanted) != parts.end();
}

/// Which folder of a hierarchy is mounted, and where.
struct Mount {
    std::string top;
    std::string point;
};

/// A hierarchy of cgroups: version 2 has one, version 1 one for each controller.
struct Hierarchy {
    std::string kind;
    std::string controller;  // empty: version 2
};

std::optional<Mount> mount_of(const std::string& root, const Hierarchy& hierarchy) {
    for (const std::string& line : parts_of(text_of(root + "/proc/self/mountinfo"), '\n')) {
        const std::size_t middle = line.find(" - ");
        const std::vector<std::string> fields = parts_of(line.substr(0, middle), ' ');
        const std::vector<std::string> behind =
            middle == std::string::npos ? std::vector<std::string>{} : parts_of(line.substr(middle + 3), ' ');
        if (fields.size() < 5 || behind.size() < 3 || behind[0] != hierarchy.kind) {
            continue;
        }
        if (hierarchy.controller.empty() || holds(parts_of(behind[2], ','), hierarchy.controller)) {
            return Mount{fields[3], fields[4]};
        }
    }
    return std::nullopt;
}

std::optional<std::string> group_of(const std::string& root, const Hierarchy& hierarchy) {
    for (const std::string& line : parts_of(text_of(root + "/proc/self/cgroup"), '\n')) {
        const std::size_t first = line.find(':');
        const std::size_t second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) {
            continue;
        }
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const bool own = hierarchy.controller.empty() ? controllers.empty()
                                                      : holds(parts_of(controllers, ','), hierarchy.controller);
        if (own) {
            return line.substr(second + 1);
        }
    }
    return std::nullopt;
}

/// The folder of this process's cgroup and all above it, as far as they are mounted: each may set a limit.
std::vector<std::string> folders_of(const std::string& root, const Hierarchy& hierarchy) {
    const std::optional<std::string> group = group_of(root, hierarchy);
    const std::optional<Mount> mount = mount_of(root, hierarchy);
    if (!group || !mount) {
        return {};
    }
    // What is mounted may begin further down than the path does, and a path may lie outside its namespace ("/../x").
    const std::string above = mount->top == "/" ? "/" : mount->top + "/";
    std::string own = group->compare(0, above.size(), above) == 0 ? group->substr(above.size()) : "";
    if (holds(parts_of(own, '/'), "..")) {
        own.clear();
    }
    std::vector<std::string> folders{root + mount->point + "/" + own};
    while (!own.empty()) {
        const std::size_t end = own.rfind('/');
        own.resize(end == std::string::npos ? 0 : end);
        folders.push_back(root + mount->point + "/" + own);
    }
    return folders;
}

/// A number of microseconds; none for "max", -1 and files that are not there.
std::optional<std::int64_t> microseconds(const std::string& text) {
    const bool digits = std::all_of(text.begin(), text.end(), [](char one) { return one >= '0' && one <= '9'; });
    return text.empty() || text.size() > 18 || !digits ? std::nullopt : std::optional(std::stoll(text));
}

/// Keep the smallest of the quotas in `found`, and the threads that it leaves.
void take_quota(DefaultThreads& found, const std::string& quota, const std::string& period) {
    const std::optional<std::int64_t> time = microseconds(quota);
    const std::optional<std::int64_t> of = microseconds(period);
    if (!time || !of || *of == 0) {
        return;
    }
    const double share = static_cast<double>(*time) / static_cast<double>(*of);
    const std::int64_t rounded = *time / *of + (*time % *of == 0 ? 0 : 1);
    found.quota = std::min(found.quota.value_or(share), share);
    found.count = static_cast<int>(std::clamp<std::int64_t>(rounded, 1, found.count));
}

}  // namespace

std::set<int> usable_processors() {
    std::set<int> usable;
#ifdef __linux__
    for (int most = CPU_SETSIZE; usable.empty() && most <= (1 << 20); most *= 2) {  // until the kernel's set fits
        std::vector<cpu_set_t> sets(static_cast<std::size_t>(most / CPU_SETSIZE));
        const std::size_t size = sets.size() * sizeof(cpu_set_t);
        if (sched_getaffinity(0, size, sets.data()) == 0) {
            for (int number = 0; number < most; ++number) {
                if (CPU_ISSET_S(static_cast<std::size_t>(number), size, sets.data())) {
                    usable.insert(number);
                }
            }
        }
    }
#endif
    if (usable.empty()) {  // another system: all that there are
        for (int number = 0; number < std::max(1, static_cast<int>(std::thread::hardware_concurrency())); ++number) {
            usable.insert(number);
        }
    }
    return usable;
}

DefaultThreads default_threads(const std::string& root, const std::set<int>& usable) {
    std::set<std::string> cores;
    for (const int number : usable) {
        const std::string processor = std::to_string(number);
        const std::string siblings =
            text_of(root + "/sys/devices/system/cpu/cpu" + processor + "/topology/thread_siblings_list");
        cores.insert(siblings.empty() ? processor : siblings);
    }
    DefaultThreads found;
    found.usable = static_cast<int>(usable.size());
    found.cores = static_cast<int>(cores.size());
    found.count = std::max(1, found.cores);
    for (const std::string& folder : folders_of(root, {"cgroup2", ""})) {
        const std::vector<std::string> limit = parts_of(text_of(folder + "/cpu.max"), ' ');
        take_quota(found, limit.empty() ? "" : limit.front(), limit.size() < 2 ? "" : limit[1]);
    }
    for (const std::string& folder : folders_of(root, {"cgroup", "cpu"})) {
        take_quota(found, text_of(folder + "/cpu.cfs_quota_us"), text_of(folder + "/cpu.cfs_period_us"));
    }
    return found;
}

}  // namespace s2t
