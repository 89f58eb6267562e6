// SPDX-License-Identifier: Apache-2.0
#pragma once

// What has happened, for those who listen: server-sent events.

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "toolstack/xend/api.hpp"
#include "toolstack/xend/rest/json_text.hpp"

namespace xend::rest {

/// The last events, and those who read them, each at their own pace: who is too slow for the ring is let go. Thread-safe.
class Events {
public:
    struct Limits {
        size_t events = 2000;
        size_t bytes = 1U << 20U;
        size_t readers = 48;  // less than HttpServer lets strangers in over TCP
        size_t part = 64U << 10U;
    };
    /// `life`: another one each time this program starts; ids of other lives mean nothing. `news`: is called behind each event.
    Events(std::string life, std::function<void()> news) : Events(std::move(life), std::move(news), Limits{}) {}
    Events(std::string life, std::function<void()> news, Limits limits)
        : ring_(std::make_shared<Ring>(std::move(life), limits)), news_(std::move(news)) {}

    /// `type`: one word with dots.
    void push(std::string_view type, const Json& data);
    /// From behind the event `last` on; empty: from now on. Who asks for what is not there any more gets the event `reset` first: things
    /// may have happened that nobody tells him. Null: there are too many readers.
    std::shared_ptr<Feed> subscribe(const std::string& last);
    size_t readers() const { return ring_->readers; }
    /// Forgets what was: something may have happened that it does not know of.
    void restart();

private:
    struct Ring {
        Ring(std::string l, Limits m) : life(std::move(l)), limits(m) {}
        const std::string life;
        const Limits limits;
        std::atomic<size_t> readers = 0;
        std::mutex mutex;
        std::deque<std::string> texts;  // as they are sent
        size_t bytes = 0;
        uint64_t first = 1;  // number of the ring's front
        uint64_t next() const { return first + texts.size(); }
    };
    class Reader;

    std::shared_ptr<Ring> ring_;
    std::function<void()> news_;
};

}  // namespace xend::rest
