// SPDX-License-Identifier: Apache-2.0
// The line between two xends while a domain moves, and the image of a domain over it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "lib/base/checksum.hpp"
#include "lib/proto/relocation/message.hpp"
#include "lib/proto/saved/stream.hpp"

namespace migration {

/// What a guest that stands still has time for.
struct Haste {
    std::chrono::milliseconds pause;            // without a byte that goes, or that comes of a message which has begun
    std::chrono::steady_clock::time_point end;  // of all that is waited for
};

/// One connection. Errors: of the system; timedout; badmsg: the other side does not keep to the protocol. After any the line is of no
/// use any more.
class Line {
public:
    virtual ~Line() = default;
    /// Waits until all of it is on its way.
    virtual base::Outcome<> say(const proto::relocation::Message& message) = 0;
    /// Waits so long for the next message to come, as a whole.
    virtual base::Outcome<proto::relocation::Message> hear(std::chrono::milliseconds patience) = 0;
    /// Waits so long for something to come; false: nothing did. What fails, hear() says.
    virtual base::Outcome<bool> comes_within(std::chrono::milliseconds patience) = 0;
    /// Whoever is slower than that is timedout, from now on; nothing: there is time again.
    virtual void hurry(const std::optional<Haste>& haste) = 0;
    /// Who is at the other end: its address.
    virtual std::string peer() const = 0;
};

/// Connects to other xends. Thread-safe.
class Lines {
public:
    virtual ~Lines() = default;
    /// Errors: of the system; opnotsupp: not without encryption; perm: somebody is there, with whom there is none.
    virtual base::Outcome<std::unique_ptr<Line>> connect(const std::string& host, uint16_t port) = 0;
};

/// Sends what is written to it. `paced` is called between messages with how much was sent so far: it may wait, or end it.
class ImageSender final : public proto::saved::Sink {
public:
    using Paced = std::function<base::Outcome<>(uint64_t bytes)>;
    ImageSender(Line& line, Paced paced) : line_(line), paced_(std::move(paced)) {}

    base::Outcome<> write(std::span<const std::byte> bytes) override;
    base::Outcome<> zeros(uint64_t count) override;
    /// What follows replaces part of what was sent.
    base::Outcome<> round(const proto::relocation::Round& round);
    /// What is still held back; nothing may follow. What there was of all.
    base::Outcome<proto::relocation::Sum> finish();

private:
    base::Outcome<> send();

    Line& line_;
    Paced paced_;
    proto::relocation::Image held_;
    proto::relocation::Sum sum_;
    base::Checksum hash_;
    uint64_t sent_ = 0;
};

/// Reads an image as it comes. More than `most` bytes or `rounds` rounds end it, and when from its first piece on `patience` passes
/// without `least_in_time` of it, or a round: who lets it drip must not hold what waits for it.
class ImageReceiver final : public proto::saved::Source {
public:
    static constexpr uint64_t least_in_time = 4U << 20U;

    ImageReceiver(Line& line, std::chrono::milliseconds patience, uint64_t most, uint32_t rounds = 0)
        : line_(line), patience_(patience), most_(most), rounds_(rounds) {}

    base::Outcome<size_t> read(std::span<std::byte> out) override;
    base::Outcome<Some> read_some(std::span<std::byte> out) override;
    /// When it is asked whether it has taken what came: the guest runs until it says so.
    void while_nobody_waits(std::function<void()> work) override { work_ = std::move(work); }
    /// Behind what was read: the rest, and the sum. Errors: badmsg: the image is not what was sent.
    base::Outcome<> finish();

private:
    base::Outcome<> next();
    base::Outcome<> answer(const proto::relocation::Round& round);
    base::Outcome<> take(proto::relocation::Image image);
    void give_time();

    Line& line_;
    const std::chrono::milliseconds patience_;
    const uint64_t most_;
    uint32_t rounds_;  // that may come yet
    std::function<void()> work_;
    proto::relocation::Image image_;
    size_t used_ = 0;  // of its bytes
    std::optional<proto::relocation::Sum> sum_;
    base::Checksum hash_;
    uint64_t length_ = 0;
    std::optional<std::chrono::steady_clock::time_point> due_;  // when it must be `wanted_` long
    uint64_t wanted_ = 0;
};

}  // namespace migration
