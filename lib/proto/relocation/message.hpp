// SPDX-License-Identifier: Apache-2.0
/// What two xends say to each other while a domain moves: messages of a type, a length and a body, little-endian. The image travels
/// as the bytes that a saved domain's file would have, so there is one writer of it and one reader; runs of zeros are only counted.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "lib/base/outcome.hpp"

namespace proto::relocation {

/// 2: the image's hash is base::Checksum (1: XXH64). 3: a round may ask for an answer.
inline constexpr uint32_t protocol_version = 3;
inline constexpr uint32_t body_limit = 8U << 20U;
/// Of a reason: it is shown to people.
inline constexpr size_t text_limit = 1000;
/// Of a configuration in one of its forms.
inline constexpr size_t config_limit = 1U << 20U;

/// Of a transfer, or of a host: random.
using Id = std::array<uint8_t, 16>;

// From the source, unless it is said otherwise.

/// Both ways, first of all.
struct Hello {
    uint32_t version = protocol_version;
    uint32_t features = 0;  ///< none yet; unknown ones are ignored
    Id host{};              ///< who says it, wherever it is reached: the id that its journal of transfers has
    bool operator==(const Hello&) const = default;
};
struct Offer {
    Id transfer{};
    uint8_t live = 0;
    uint64_t memory_kib = 0;
    uint32_t vcpus = 0;
    std::string config;  ///< the domain's, as an s-expression
    bool operator==(const Offer&) const = default;
};
/// The other side's answers to an offer.
struct Accept {
    bool operator==(const Accept&) const = default;
};
struct Refuse {
    std::string reason;
    bool operator==(const Refuse&) const = default;
};
/// The next bytes of the image, and so many zeros behind them.
struct Image {
    uint64_t zeros = 0;
    std::vector<std::byte> bytes;
    bool operator==(const Image&) const = default;
};
/// The image so far was written while the guest ran; what follows replaces part of it.
struct Round {
    uint32_t number = 0;
    uint64_t dirty_pages = 0;
    uint8_t asks = 0;  ///< 1: the other side says when it has taken what came before
    bool operator==(const Round&) const = default;
};
/// The other side's answer to a round that asks: nothing of the image is under way.
struct Taken {
    uint32_t number = 0;  ///< the round's
    bool operator==(const Taken&) const = default;
};
/// The image is whole, and nothing of the guest's is under way to its disks any more.
struct Sum {
    uint64_t length = 0;
    uint64_t hash = 0;  ///< base::Checksum of the image
    bool operator==(const Sum&) const = default;
};
/// The other side's: the domain is there, paused.
struct Ready {
    bool operator==(const Ready&) const = default;
};
/// The right to run is the other side's from here on.
struct Go {
    bool operator==(const Go&) const = default;
};
/// The other side's: it runs there.
struct Running {
    bool operator==(const Running&) const = default;
};
/// The other side's: it does not run there and never will.
struct Failed {
    std::string reason;
    bool operator==(const Failed&) const = default;
};
/// What became of a transfer whose Go may or may not have arrived.
struct Ask {
    Id transfer{};
    bool operator==(const Ask&) const = default;
};
/// The other side's answer.
struct Outcome {
    enum class What : uint32_t { running, discarded, not_known_yet };
    What what = What::discarded;
    bool operator==(const Outcome&) const = default;
};
/// Before Go: the domain stays where it is.
struct Cancel {
    std::string reason;
    bool operator==(const Cancel&) const = default;
};
/// The source's copy is no more.
struct Done {
    bool operator==(const Done&) const = default;
};

/// The number on the wire is the place here, counted from 1.
using Message =
    std::variant<Hello, Offer, Accept, Refuse, Image, Round, Sum, Ready, Go, Running, Failed, Ask, Outcome, Cancel, Done, Taken>;

/// "OFFER"
const char* name_of(const Message& message);

inline constexpr size_t head_bytes = 8;
struct Head {
    uint32_t type = 0;
    uint32_t length = 0;  ///< of the body
};

/// Errors: badmsg: there is no such type, or none of it is so long or so short. Only then memory for a body is worth taking.
base::Outcome<Head> decode_head(std::span<const std::byte, head_bytes> bytes);
/// `body` is as long as `head`, which decode_head() gave, says. What it accepts, encode() makes the same bytes of. Errors: badmsg.
base::Outcome<Message> decode(const Head& head, std::span<const std::byte> body);
/// Head and body. Texts are cut and cleaned so that they can be decoded. An image is at most body_limit - 8 bytes.
std::vector<std::byte> encode(const Message& message);

/// What stands in front of an image's bytes, which are the rest of its body as they are: who has much of it need not copy that.
inline constexpr size_t image_head_bytes = head_bytes + sizeof(Image::zeros);
std::array<std::byte, image_head_bytes> encode_image_head(const Image& image);
/// Of a head whose type is this one. The rest of the body, behind these bytes of it, goes into Image::bytes.
bool is_image(const Head& head);
Image decode_image_start(std::span<const std::byte, sizeof(Image::zeros)> start);

}  // namespace proto::relocation
