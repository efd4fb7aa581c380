/// The process that a model was loaded in, and what a forked child does with it: nothing, and that harmlessly.
///
/// Threads do not survive a fork, and ONNX Runtime's destructors wait for theirs: destroyed in a child, a session hangs
/// or crashes there.
#pragma once

#include <memory>
#include <utility>

#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

namespace s2t {

/// The process in which this was made.
class LoadingProcess {
  public:
    /// Whether this is a fork of it.
    bool left() const { return id_ != current(); }

    /// Throws SessionError in a fork of it.
    void check() const;

  private:
    static long current() {
#if __has_include(<unistd.h>)
        return static_cast<long>(getpid());
#else
        return 0;  // where there is no fork
#endif
    }

    long id_ = current();
};

/// Let what cannot be destroyed in a fork lie there for good, where leak checkers find it.
void keep_for_good(std::shared_ptr<const void> kept);

/// A value that is destroyed with its owner, and in a fork of the process that made it never.
template <typename Value>
class UnlessForked {
  public:
    explicit UnlessForked(std::shared_ptr<Value> value) : value_(std::move(value)) {}
    UnlessForked(UnlessForked&&) noexcept = default;
    UnlessForked& operator=(UnlessForked&&) = delete;
    UnlessForked(const UnlessForked&) = delete;
    UnlessForked& operator=(const UnlessForked&) = delete;
    ~UnlessForked() {
        if (process_.left()) {
            keep_for_good(std::move(value_));
        }
    }

    Value& operator*() const { return *value_; }
    Value* operator->() const { return value_.get(); }

  private:
    LoadingProcess process_;
    std::shared_ptr<Value> value_;
};

}  // namespace s2t
