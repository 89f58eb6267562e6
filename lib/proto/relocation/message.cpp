// SPDX-License-Identifier: Apache-2.0
#include "lib/proto/relocation/message.hpp"

#include <cstring>

#include "lib/base/plain_text.hpp"

namespace proto::relocation {

using base::Errc;

namespace {

/// How long the bodies of a type may be.
struct Row {
    const char* name;
    uint32_t least, most;
};

constexpr uint32_t text_most = 4 + static_cast<uint32_t>(text_limit);
// clang-format off
constexpr std::array<Row, std::variant_size_v<Message>> rows = {{
    {"HELLO", 24, 24},
    {"OFFER", 33, 33 + static_cast<uint32_t>(config_limit)},
    {"ACCEPT", 0, 0},
    {"REFUSE", 4, text_most},
    {"IMAGE", 8, body_limit},
    {"ROUND", 13, 13},
    {"SUM", 16, 16},
    {"READY", 0, 0},
    {"GO", 0, 0},
    {"RUNNING", 0, 0},
    {"FAILED", 4, text_most},
    {"OUTCOME?", 16, 16},
    {"OUTCOME", 4, 4},
    {"CANCEL", 4, text_most},
    {"DONE", 0, 0},
    {"TAKEN", 4, 4},
}};
// clang-format on

/// An image's number on the wire.
const auto image_type = static_cast<uint32_t>(Message(Image{}).index() + 1);

base::Failure bad(const std::string& why) { return base::fail(Errc::badmsg, why); }

/// Takes fields off the front; failed() when there was too little, or something is left.
class Fields {
public:
    explicit Fields(std::span<const std::byte> body) : rest_(body) {}
    template <class T>
    void take(T& value) {
        if (rest_.size() < sizeof value) return fail();
        std::memcpy(&value, rest_.data(), sizeof value);
        rest_ = rest_.subspan(sizeof value);
    }
    void take(std::string& text, size_t most) {
        uint32_t length = 0;
        take(length);
        if (length > most || length > rest_.size()) return fail();
        text.assign(reinterpret_cast<const char*>(rest_.data()), length);
        rest_ = rest_.subspan(length);
    }
    void take_text(std::string& text) {
        take(text, text_limit);
        if (!base::is_plain_text(text)) fail();
    }
    std::span<const std::byte> take_rest() { return std::exchange(rest_, {}); }
    bool failed() const { return failed_ || !rest_.empty(); }

private:
    void fail() {
        failed_ = true;
        rest_ = {};
    }
    std::span<const std::byte> rest_;
    bool failed_ = false;
};

class Bytes {
public:
    template <class T>
    void put(const T& value) {
        const auto bytes = std::as_bytes(std::span(&value, 1));
        out_.insert(out_.end(), bytes.begin(), bytes.end());
    }
    void put(const std::string& text) {
        put(static_cast<uint32_t>(text.size()));
        put_rest(std::as_bytes(std::span(text)));
    }
    void put_text(const std::string& text) { put(base::plain_text(text.substr(0, text_limit))); }
    void put_rest(std::span<const std::byte> bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
    std::vector<std::byte> take() { return std::move(out_); }

private:
    std::vector<std::byte> out_;
};

// Of each type, both ways. What has no fields has no body.

template <class T>
void take(Fields&, T&) {
    static_assert(std::is_empty_v<T>);
}
void take(Fields& f, Hello& m) {
    f.take(m.version);
    f.take(m.features);
    f.take(m.host);
}
void take(Fields& f, Offer& m) {
    f.take(m.transfer);
    f.take(m.live);
    f.take(m.memory_kib);
    f.take(m.vcpus);
    f.take(m.config, config_limit);
}
void take(Fields& f, Refuse& m) { f.take_text(m.reason); }
void take(Fields& f, Failed& m) { f.take_text(m.reason); }
void take(Fields& f, Cancel& m) { f.take_text(m.reason); }
void take(Fields& f, Image& m) {
    f.take(m.zeros);
    const auto rest = f.take_rest();
    m.bytes.assign(rest.begin(), rest.end());
}
void take(Fields& f, Round& m) {
    f.take(m.number);
    f.take(m.dirty_pages);
    f.take(m.asks);
}
void take(Fields& f, Taken& m) { f.take(m.number); }
void take(Fields& f, Sum& m) {
    f.take(m.length);
    f.take(m.hash);
}
void take(Fields& f, Ask& m) { f.take(m.transfer); }
void take(Fields& f, Outcome& m) { f.take(m.what); }

template <class T>
void put(Bytes&, const T&) {
    static_assert(std::is_empty_v<T>);
}
void put(Bytes& b, const Hello& m) {
    b.put(m.version);
    b.put(m.features);
    b.put(m.host);
}
void put(Bytes& b, const Offer& m) {
    b.put(m.transfer);
    b.put(m.live);
    b.put(m.memory_kib);
    b.put(m.vcpus);
    b.put(m.config);
}
void put(Bytes& b, const Refuse& m) { b.put_text(m.reason); }
void put(Bytes& b, const Failed& m) { b.put_text(m.reason); }
void put(Bytes& b, const Cancel& m) { b.put_text(m.reason); }
void put(Bytes& b, const Image& m) {
    b.put(m.zeros);
    b.put_rest(m.bytes);
}
void put(Bytes& b, const Round& m) {
    b.put(m.number);
    b.put(m.dirty_pages);
    b.put(m.asks);
}
void put(Bytes& b, const Taken& m) { b.put(m.number); }
void put(Bytes& b, const Sum& m) {
    b.put(m.length);
    b.put(m.hash);
}
void put(Bytes& b, const Ask& m) { b.put(m.transfer); }
void put(Bytes& b, const Outcome& m) { b.put(m.what); }

/// What the fields alone do not say.
template <class T>
bool makes_sense(const T&) {
    return true;
}
bool makes_sense(const Offer& m) { return m.live <= 1; }
bool makes_sense(const Round& m) { return m.asks <= 1; }
bool makes_sense(const Outcome& m) { return m.what <= Outcome::What::not_known_yet; }

template <class T>
base::Outcome<Message> decode_as(std::span<const std::byte> body, const char* name) {
    T message;
    Fields fields(body);
    take(fields, message);
    if (fields.failed() || !makes_sense(message)) return bad(std::string("a malformed ") + name);
    return Message(std::move(message));
}

template <size_t... I>
base::Outcome<Message> decode_one(size_t index, std::span<const std::byte> body, std::index_sequence<I...>) {
    base::Outcome<Message> out = bad("an unknown message");
    ((I == index ? void(out = decode_as<std::variant_alternative_t<I, Message>>(body, rows[I].name)) : void()), ...);
    return out;
}

}  // namespace

const char* name_of(const Message& message) { return rows[message.index()].name; }

base::Outcome<Head> decode_head(std::span<const std::byte, head_bytes> bytes) {
    Head head;
    std::memcpy(&head, bytes.data(), sizeof head);
    if (head.type == 0 || head.type > rows.size()) return bad("an unknown message (type " + std::to_string(head.type) + ")");
    const Row& row = rows[head.type - 1];
    if (head.length >= row.least && head.length <= row.most) return head;
    return bad("a " + std::string(row.name) + " of " + std::to_string(head.length) + " bytes");
}

base::Outcome<Message> decode(const Head& head, std::span<const std::byte> body) {
    return decode_one(head.type - 1, body, std::make_index_sequence<std::variant_size_v<Message>>());
}

std::vector<std::byte> encode(const Message& message) {
    Bytes out;
    out.put(Head{static_cast<uint32_t>(message.index() + 1), 0});
    std::visit([&out](const auto& m) { put(out, m); }, message);
    std::vector<std::byte> bytes = out.take();
    const auto length = static_cast<uint32_t>(bytes.size() - head_bytes);
    std::memcpy(&bytes[4], &length, sizeof length);
    return bytes;
}

std::array<std::byte, image_head_bytes> encode_image_head(const Image& image) {
    const Head head{image_type, static_cast<uint32_t>(sizeof image.zeros + image.bytes.size())};
    std::array<std::byte, image_head_bytes> out{};
    std::memcpy(out.data(), &head, sizeof head);
    std::memcpy(&out[head_bytes], &image.zeros, sizeof image.zeros);
    return out;
}

bool is_image(const Head& head) { return head.type == image_type; }

Image decode_image_start(std::span<const std::byte, sizeof(Image::zeros)> start) {
    Image out;
    std::memcpy(&out.zeros, start.data(), sizeof out.zeros);
    return out;
}

}  // namespace proto::relocation
