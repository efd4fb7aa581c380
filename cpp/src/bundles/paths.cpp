#include "bundles/paths.h"

#include <algorithm>
#include <cctype>

#include "messages/python_text.h"
#include "messages/sentences.h"
#include "s2t/errors.h"

namespace s2t {

namespace {

std::string bad_path_reason(const std::string& relative) {
    const bool drive =
        relative.size() > 1 && relative[1] == ':' && std::isalpha(static_cast<unsigned char>(relative[0])) != 0;
    if (relative.find('\\') != std::string::npos || drive) {
        return say("bundle.bad_path.backslash");
    }
    if (std::any_of(relative.begin(), relative.end(),
                    [](char byte) { return static_cast<unsigned char>(byte) < 32; })) {
        return say("bundle.bad_path.control");
    }
    if (!relative.empty() && relative.front() == '/') {
        return say("bundle.bad_path.absolute");
    }
    for (std::size_t start = 0; start <= relative.size();) {
        const std::size_t end = std::min(relative.find('/', start), relative.size());
        const std::string part = relative.substr(start, end - start);
        if (part.empty() || part == "." || part == "..") {
            return say("bundle.bad_path.part");
        }
        start = end + 1;
    }
    return "";
}

}  // namespace

std::string below(const std::string& root, const std::string& name) {
    if (root == ".") {
        return name;
    }
    return root == "/" ? root + name : root + "/" + name;
}

void check_path(const std::string& root, const std::string& relative) {
    const std::string reason = bad_path_reason(relative);
    if (!reason.empty()) {
        throw BundleError(say("bundle.bad_path", {{"manifest", below(root, manifest_name)},
                                                  {"path", python_repr(std::string_view(relative))},
                                                  {"reason", reason}}));
    }
}

}  // namespace s2t
