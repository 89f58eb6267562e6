// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xenstored/connection.hpp"

namespace xenstored {

void Outbox::add_reply(std::string bytes) {
    bytes_ += bytes.size();
    ++replies_;
    frames_.push_back({std::move(bytes), true, {}});
}

bool Outbox::add_event(EventKey key, std::string bytes) {
    if (!waiting_events_.insert(key).second) return false;
    bytes_ += bytes.size();
    frames_.push_back({std::move(bytes), false, std::move(key)});
    return true;
}

std::string_view Outbox::front() const {
    return frames_.empty() ? std::string_view{} : std::string_view(frames_.front().bytes).substr(taken_);
}

void Outbox::consume(size_t n) {
    while (n > 0 && !frames_.empty()) {
        Frame& first = frames_.front();
        // Once a byte of it is out, a new event of this kind is a new event.
        if (!first.reply && taken_ == 0) waiting_events_.erase(first.key);
        const size_t part = std::min(n, first.bytes.size() - taken_);
        taken_ += part;
        bytes_ -= part;
        n -= part;
        if (taken_ < first.bytes.size()) return;
        if (first.reply) --replies_;
        frames_.pop_front();
        taken_ = 0;
    }
}

void Outbox::clear() { *this = Outbox{}; }

std::string Outbox::all() const {
    std::string whole;
    whole.reserve(bytes_);
    for (const Frame& f : frames_) whole += f.bytes;
    return whole.substr(taken_);
}

}  // namespace xenstored
