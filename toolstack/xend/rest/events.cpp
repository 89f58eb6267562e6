// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/rest/events.hpp"

#include "lib/base/number.hpp"

namespace xend::rest {

class Events::Reader final : public Feed {
    std::shared_ptr<Ring> ring_;
    uint64_t next_;
    std::string greeting_;

public:
    Reader(std::shared_ptr<Ring> state, uint64_t next, std::string greeting)
        : ring_(std::move(state)), next_(next), greeting_(std::move(greeting)) {}
    ~Reader() override { --ring_->readers; }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    State next(std::string& out) override {
        out += std::exchange(greeting_, {});
        const std::lock_guard guard(ring_->mutex);
        if (next_ < ring_->first) return State::over;
        for (; next_ < ring_->next() && out.size() < ring_->limits.part; ++next_) out += ring_->texts[next_ - ring_->first];
        return State::open;
    }
};

void Events::push(std::string_view type, const Json& data) {
    {
        const std::lock_guard guard(ring_->mutex);
        Ring& s = *ring_;
        std::string text = "id: " + s.life + "-" + std::to_string(s.next()) + "\nevent: ";
        text.append(type).append("\ndata: ").append(print_json(data)).append("\n\n");
        s.bytes += text.size();
        s.texts.push_back(std::move(text));
        while (s.texts.size() > s.limits.events || (s.bytes > s.limits.bytes && s.texts.size() > 1)) {
            s.bytes -= s.texts.front().size();
            s.texts.pop_front();
            ++s.first;
        }
    }
    news_();
}

void Events::restart() {
    const std::lock_guard guard(ring_->mutex);
    ring_->first = ring_->next() + 1;
    ring_->texts.clear();
    ring_->bytes = 0;
}

std::shared_ptr<Feed> Events::subscribe(const std::string& last) {
    if (++ring_->readers > ring_->limits.readers) {
        --ring_->readers;
        return nullptr;
    }
    const std::lock_guard guard(ring_->mutex);
    Ring& s = *ring_;
    uint64_t from = s.next();
    std::string greeting = ": xend\n\n";
    if (!last.empty()) {
        const bool ours = last.starts_with(s.life + "-");
        const auto number = ours ? base::parse_number<uint64_t>(last.substr(s.life.size() + 1)) : std::nullopt;
        if (number && *number < s.next() && *number + 1 >= s.first) from = *number + 1;
        else greeting += "id: " + s.life + "-" + std::to_string(s.next() - 1) + "\nevent: reset\ndata: {}\n\n";
    }
    return std::make_shared<Reader>(ring_, from, std::move(greeting));
}

}  // namespace xend::rest
