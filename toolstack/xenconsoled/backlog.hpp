// SPDX-License-Identifier: Apache-2.0
/// Console output that nobody has read yet: bounded, the oldest goes first.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace xenconsoled {

class Backlog {
public:
    explicit Backlog(size_t limit) : limit_(limit) {}

    void set_limit(size_t limit) {
        limit_ = limit;
        trim();
    }
    void append(std::string_view bytes) {
        bytes_ += bytes;
        trim();
    }
    /// The oldest bytes.
    std::string_view front() const { return std::string_view(bytes_).substr(taken_); }
    void consume(size_t n) {
        taken_ += std::min(n, bytes_.size() - taken_);
        if (taken_ == bytes_.size() || taken_ > compact_from) {
            bytes_.erase(0, taken_);
            taken_ = 0;
        }
    }
    bool empty() const { return taken_ == bytes_.size(); }
    size_t size() const { return bytes_.size() - taken_; }
    /// How many bytes were never read by anybody.
    size_t dropped() const { return dropped_; }

private:
    static constexpr size_t compact_from = 64 * 1024;

    void trim() {
        if (size() <= limit_) return;
        const size_t excess = size() - limit_;
        dropped_ += excess;
        consume(excess);
    }

    size_t limit_;
    std::string bytes_;
    size_t taken_ = 0;
    size_t dropped_ = 0;
};

}  // namespace xenconsoled
