/// A view of contiguous values that somebody else owns: std::span of C++20, as far as this library needs it.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

namespace s2t {

template <typename T>
class Span {
  public:
    constexpr Span() noexcept = default;
    constexpr Span(T* data, std::size_t size) noexcept : data_(data), size_(size) {}

    /// Of anything with data() and size(): a vector, an array, a std::span.
    template <typename Container, typename = std::enable_if_t<
                                      !std::is_same_v<std::remove_cv_t<std::remove_reference_t<Container>>, Span> &&
                                      std::is_convertible_v<decltype(std::declval<Container&>().data()), T*> &&
                                      std::is_convertible_v<decltype(std::declval<Container&>().size()), std::size_t>>>
    constexpr Span(Container&& container) noexcept : data_(container.data()), size_(container.size()) {}

    constexpr T* data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr T* begin() const noexcept { return data_; }
    constexpr T* end() const noexcept { return data_ + size_; }
    constexpr T& operator[](std::size_t index) const noexcept { return data_[index]; }
    constexpr Span subspan(std::size_t first, std::size_t count) const noexcept { return {data_ + first, count}; }

  private:
    T* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace s2t
