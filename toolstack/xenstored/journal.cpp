// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xenstored/journal.hpp"

#include <array>

namespace xenstored {

namespace {

constexpr std::string_view magic = "XSJ1";
constexpr size_t group_head = 8;
constexpr uint16_t no_target = 0;
constexpr unsigned shutdown_flag = 1;
constexpr unsigned introduced_flag = 2;

constexpr std::array<uint32_t, 256> make_crc_table() {
    std::array<uint32_t, 256> table{};
    for (uint32_t i = 0; i < 256; ++i) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ ((c & 1) != 0 ? 0xedb88320u : 0);
        table[i] = c;
    }
    return table;
}

uint32_t checksum(std::string_view bytes) {
    static constexpr auto table = make_crc_table();
    uint32_t c = ~0u;
    for (const char b : bytes) c = table[(c ^ static_cast<unsigned char>(b)) & 0xff] ^ (c >> 8);
    return ~c;
}

void append_number(std::string& out, uint64_t v, size_t width) {
    for (size_t i = 0; i < width; ++i) out += static_cast<char>((v >> (8 * i)) & 0xff);
}

/// Reads fields off the front of a group; `failed` once anything is short.
struct Cursor {
    std::string_view rest;
    bool failed = false;

    uint64_t number(size_t width) {
        if (rest.size() < width) {
            failed = true;
            rest = {};
            return 0;
        }
        uint64_t v = 0;
        for (size_t i = 0; i < width; ++i) v |= uint64_t{static_cast<unsigned char>(rest[i])} << (8 * i);
        rest.remove_prefix(width);
        return v;
    }
    std::string text() {
        const size_t length = number(4);
        if (rest.size() < length) failed = true;
        std::string v(rest.substr(0, length));
        rest.remove_prefix(std::min<size_t>(length, rest.size()));
        return v;
    }
    base::DomId domid() { return base::DomId{static_cast<uint16_t>(number(2))}; }
    Permissions permissions() {
        Permissions p;
        for (uint64_t n = number(2); n > 0 && !failed; --n) {
            const base::DomId d = domid();
            p.push_back({d, static_cast<xenstore::Access>(number(1) & 3)});
        }
        if (p.empty()) failed = true;
        return p;
    }
};

DomainRecord read_domain(Cursor& c) {
    DomainRecord r;
    r.domid = c.domid();
    r.gfn = base::Gfn{c.number(8)};
    r.port = base::Port{static_cast<uint32_t>(c.number(4))};
    const uint64_t target = c.number(4);
    if (target != no_target) r.target = base::DomId{static_cast<uint16_t>(target - 1)};
    const uint64_t flags = c.number(1);
    r.shutdown = (flags & shutdown_flag) != 0;
    r.introduced = (flags & introduced_flag) != 0;
    return r;
}

/// One item about a ring's bytes, watches or transactions.
void read_ring_item(Item kind, Cursor& c, JournalReader& reader) {
    const base::DomId domid = c.domid();
    if (kind == Item::ring_input || kind == Item::ring_output_from) {
        const auto index = static_cast<uint32_t>(c.number(4));
        std::string bytes = c.text();
        if (c.failed) return;
        if (kind == Item::ring_input) return reader.on_ring_input(domid, index, std::move(bytes));
        return reader.on_ring_output_from(domid, index, std::move(bytes));
    }
    if (kind == Item::ring_output) {
        std::string bytes = c.text();
        return c.failed ? void() : reader.on_ring_output(domid, std::move(bytes));
    }
    if (kind == Item::watch || kind == Item::unwatch) {
        std::string path = c.text();
        std::string token = c.text();
        return c.failed ? void() : reader.on_watch(kind, domid, std::move(path), std::move(token));
    }
    if (kind == Item::reset) return c.failed ? void() : reader.on_reset(domid);
    const auto number = static_cast<uint32_t>(c.number(4));
    return c.failed ? void() : reader.on_transaction(kind, domid, number);
}

void read_item(Cursor& c, JournalReader& reader) {
    const Item kind = static_cast<Item>(c.number(1));
    if (kind == Item::node || kind == Item::special) {
        const std::string name = c.text();
        std::string value = kind == Item::node ? c.text() : std::string();
        Permissions p = c.permissions();
        if (c.failed) return;
        return kind == Item::node ? reader.on_node(name, std::move(value), std::move(p)) : reader.on_special(name, std::move(p));
    }
    if (kind == Item::removed) {
        const std::string path = c.text();
        return c.failed ? void() : reader.on_removed(path);
    }
    if (kind == Item::domain) {
        const DomainRecord r = read_domain(c);
        return c.failed ? void() : reader.on_domain(r);
    }
    if (kind == Item::domain_gone) {
        const base::DomId domid = c.domid();
        return c.failed ? void() : reader.on_domain_gone(domid);
    }
    if (kind < Item::node || kind > Item::reset) {
        c.failed = true;
        return;
    }
    read_ring_item(kind, c, reader);
}

}  // namespace

void JournalWriter::number(uint64_t v, size_t width) { append_number(bytes_, v, width); }

void JournalWriter::text(std::string_view v) {
    number(v.size(), 4);
    bytes_ += v;
}

void JournalWriter::permissions(const Permissions& p) {
    number(p.size(), 2);
    for (const Permission& one : p) {
        number(one.domid.raw, 2);
        byte(static_cast<uint8_t>(one.access));
    }
}

void JournalWriter::node(std::string_view path, std::string_view value, const Permissions& p) {
    begin(Item::node);
    text(path);
    text(value);
    permissions(p);
}

void JournalWriter::removed(std::string_view path) {
    begin(Item::removed);
    text(path);
}

void JournalWriter::domain(const DomainRecord& r) {
    begin(Item::domain);
    number(r.domid.raw, 2);
    number(r.gfn.raw, 8);
    number(r.port.raw, 4);
    number(r.target ? uint64_t{r.target->raw} + 1 : no_target, 4);
    byte(static_cast<uint8_t>((r.shutdown ? shutdown_flag : 0) | (r.introduced ? introduced_flag : 0)));
}

void JournalWriter::domain_gone(base::DomId domid) {
    begin(Item::domain_gone);
    number(domid.raw, 2);
}

void JournalWriter::ring_input(base::DomId domid, uint32_t consumed, std::string_view partial) {
    begin(Item::ring_input);
    number(domid.raw, 2);
    number(consumed, 4);
    text(partial);
}

void JournalWriter::ring_output_from(base::DomId domid, uint32_t index, std::string_view bytes) {
    begin(Item::ring_output_from);
    number(domid.raw, 2);
    number(index, 4);
    text(bytes);
}

void JournalWriter::ring_output(base::DomId domid, std::string_view bytes) {
    begin(Item::ring_output);
    number(domid.raw, 2);
    text(bytes);
}

void JournalWriter::watch(Item kind, base::DomId domid, std::string_view path, std::string_view token) {
    begin(kind);
    number(domid.raw, 2);
    text(path);
    text(token);
}

void JournalWriter::transaction(Item kind, base::DomId domid, uint32_t n) {
    begin(kind);
    number(domid.raw, 2);
    number(n, 4);
}

void JournalWriter::special(std::string_view name, const Permissions& p) {
    begin(Item::special);
    text(name);
    permissions(p);
}

void JournalWriter::reset(base::DomId domid) {
    begin(Item::reset);
    number(domid.raw, 2);
}

std::string JournalWriter::take_group() {
    if (bytes_.empty()) return {};
    std::string group;
    group.reserve(group_head + bytes_.size());
    append_number(group, bytes_.size(), 4);
    append_number(group, checksum(bytes_), 4);
    group += bytes_;
    bytes_.clear();
    return group;
}

std::string journal_header(std::string_view boot_id) {
    std::string header(magic);
    append_number(header, boot_id.size(), 4);
    header += boot_id;
    return header;
}

size_t replay(std::string_view file, std::string_view boot_id, JournalReader& reader) {
    const std::string header = journal_header(boot_id);
    if (!file.starts_with(header)) return 0;
    size_t good = header.size();
    for (;;) {
        Cursor head{file.substr(good)};
        const uint64_t length = head.number(4);
        const uint64_t sum = head.number(4);
        if (head.failed || length == 0 || head.rest.size() < length) return good;
        const std::string_view body = head.rest.substr(0, length);
        if (checksum(body) != sum) return good;
        Cursor items{body};
        while (!items.rest.empty() && !items.failed) read_item(items, reader);
        if (items.failed) return good;
        good += group_head + length;
    }
}

}  // namespace xenstored
