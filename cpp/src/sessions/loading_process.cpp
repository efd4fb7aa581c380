#include "sessions/loading_process.h"

#include <string>
#include <utility>
#include <vector>

#include "messages/sentences.h"
#include "s2t/errors.h"

namespace s2t {

void LoadingProcess::check() const {
    if (left()) {
        throw SessionError(
            say("session.forked", {{"loaded", std::to_string(id_)}, {"here", std::to_string(current())}}));
    }
}

void keep_for_good(std::shared_ptr<const void> kept) {
    static auto* const all = new std::vector<std::shared_ptr<const void>>;  // itself never destroyed
    all->push_back(std::move(kept));
}

}  // namespace s2t
