// SPDX-License-Identifier: Apache-2.0
#include "toolstack/migration/line.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace migration {

using base::Errc;
using base::Outcome;
namespace wire = proto::relocation;

namespace {

constexpr size_t piece = 1U << 20U;
/// Fewer zeros are sent as they are: a message costs more.
constexpr uint64_t least_run = 64;

constexpr std::array<std::byte, least_run> some_zeros{};

}  // namespace

Outcome<> ImageSender::send() {
    if (held_.bytes.empty() && held_.zeros == 0) return base::ok;
    sent_ += held_.bytes.size() + wire::head_bytes + sizeof held_.zeros;
    OTRY(line_.say(held_));
    held_.bytes.clear();
    held_.zeros = 0;
    return paced_(sent_);
}

Outcome<> ImageSender::write(std::span<const std::byte> bytes) {
    sum_.length += bytes.size();
    while (!bytes.empty()) {
        if (held_.zeros != 0 || held_.bytes.size() == piece) OTRY(send());
        const auto part = bytes.first(std::min(bytes.size(), piece - held_.bytes.size()));
        const size_t before = held_.bytes.size();
        held_.bytes.insert(held_.bytes.end(), part.begin(), part.end());
        // What is sent: a guest that runs may have written over it by now.
        hash_.add(std::span(held_.bytes).subspan(before));
        bytes = bytes.subspan(part.size());
    }
    return base::ok;
}

Outcome<> ImageSender::zeros(uint64_t count) {
    if (count < least_run && held_.zeros == 0) return write(std::span(some_zeros).first(count));
    hash_.add_zeros(count);
    sum_.length += count;
    held_.zeros += count;
    return base::ok;
}

Outcome<> ImageSender::round(const wire::Round& round) {
    OTRY(send());
    OTRY(line_.say(round));
    return paced_(sent_);
}

Outcome<wire::Sum> ImageSender::finish() {
    OTRY(send());
    sum_.hash = hash_.value();
    return sum_;
}

void ImageReceiver::give_time() {
    due_ = std::chrono::steady_clock::now() + patience_;
    wanted_ = length_ + least_in_time;
}

Outcome<> ImageReceiver::take(wire::Image image) {
    image_ = std::move(image);
    used_ = 0;
    if (image_.zeros > most_ || length_ + image_.bytes.size() + image_.zeros > most_)
        return base::fail(Errc::toobig, "the image is longer than the domain could be");
    hash_.add(image_.bytes);
    hash_.add_zeros(image_.zeros);
    length_ += image_.bytes.size() + image_.zeros;
    if (due_ && length_ < wanted_ && std::chrono::steady_clock::now() >= *due_)
        return base::fail(Errc::timedout, "the image comes too slowly");
    if (!due_ || length_ >= wanted_) give_time();
    return base::ok;
}

Outcome<> ImageReceiver::answer(const wire::Round& round) {
    if (work_) work_();
    return line_.say(wire::Taken{round.number});
}

/// The next piece, a round, or the sum.
Outcome<> ImageReceiver::next() {
    using std::chrono::steady_clock;
    auto left = patience_;
    if (due_) left = std::max(std::chrono::ceil<std::chrono::milliseconds>(*due_ - steady_clock::now()), {});
    wire::Message message = OTRY(line_.hear(left));
    if (auto* image = std::get_if<wire::Image>(&message)) return take(std::move(*image));
    if (const auto* round = std::get_if<wire::Round>(&message); round != nullptr && rounds_ != 0) {
        --rounds_;
        give_time();
        return round->asks != 0 ? answer(*round) : Outcome<>(base::ok);
    }
    if (const auto* sum = std::get_if<wire::Sum>(&message)) {
        sum_ = *sum;
        return base::ok;
    }
    const auto* cancelled = std::get_if<wire::Cancel>(&message);
    if (cancelled != nullptr) return base::fail(Errc::intr, "the other host ended it: " + cancelled->reason);
    return base::fail(Errc::badmsg, std::string("it said ") + wire::name_of(message) + " in the image");
}

Outcome<size_t> ImageReceiver::read(std::span<std::byte> out) {
    const size_t wanted = out.size();
    while (!out.empty()) {
        const size_t left = image_.bytes.size() - used_;
        const size_t some = std::min(out.size(), left);
        if (some != 0) std::memcpy(out.data(), image_.bytes.data() + used_, some);
        used_ += some;
        out = out.subspan(some);
        const auto blank = static_cast<size_t>(std::min<uint64_t>(out.size(), used_ == image_.bytes.size() ? image_.zeros : 0));
        if (blank != 0) std::memset(out.data(), 0, blank);
        image_.zeros -= blank;
        out = out.subspan(blank);
        if (out.empty() || sum_) break;
        OTRY(next());
        if (sum_) break;
    }
    return wanted - out.size();
}

Outcome<proto::saved::Source::Some> ImageReceiver::read_some(std::span<std::byte> out) {
    while (used_ == image_.bytes.size() && image_.zeros == 0 && !sum_) OTRY(next());
    if (used_ != image_.bytes.size())
        return Some{OTRY(read(out.first(std::min(out.size(), image_.bytes.size() - used_)))), false};
    const uint64_t count = std::min<uint64_t>(out.size(), image_.zeros);
    image_.zeros -= count;
    return Some{count, true};
}

Outcome<> ImageReceiver::finish() {
    while (!sum_) OTRY(next());
    if (sum_->length == length_ && sum_->hash == hash_.value()) return base::ok;
    return base::fail(Errc::badmsg, "the image is not what was sent");
}

}  // namespace migration
