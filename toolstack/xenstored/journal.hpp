// SPDX-License-Identifier: Apache-2.0
/// The journal's format. What must survive the daemon is written as groups of items; a group counts wholly or not at all
/// (length and checksum in front), so a daemon killed in the middle of a write leaves a tail that is ignored.
///
///   file  = header group*          header = "XSJ1" + boot id: a journal of another boot is no use
///   group = u32 length, u32 checksum, item*
///   item  = u8 kind, fields (integers little-endian, strings with a u32 length)
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "toolstack/xenstored/tree.hpp"

namespace xenstored {

enum class Item : uint8_t {
    node = 1,          ///< path, value, permissions: is now so
    removed,           ///< path: gone with all below
    domain,            ///< domid, gfn, port, target+1 (0 none), flags
    domain_gone,       ///< domid
    ring_input,        ///< domid, requests consumed (index), bytes of an incomplete request
    ring_output_from,  ///< domid, response index, bytes that follow from there
    ring_output,       ///< domid, further bytes
    watch,             ///< domid, path as given, token
    unwatch,           ///< domid, path as given, token
    transaction,       ///< domid, number: opened
    transaction_end,   ///< domid, number
    special,           ///< name, permissions
    reset,             ///< domid: watches and transactions dropped
};

/// A domain as the journal keeps it.
struct DomainRecord {
    base::DomId domid;
    base::Gfn gfn;
    base::Port port;
    std::optional<base::DomId> target;
    bool shutdown = false;    ///< its shutdown has been announced
    bool introduced = false;  ///< its ring is served
};

/// Collects items.
class JournalWriter {
public:
    void node(std::string_view path, std::string_view value, const Permissions& permissions);
    void removed(std::string_view path);
    void domain(const DomainRecord& record);
    void domain_gone(base::DomId domid);
    void ring_input(base::DomId domid, uint32_t consumed, std::string_view partial);
    void ring_output_from(base::DomId domid, uint32_t index, std::string_view bytes);
    void ring_output(base::DomId domid, std::string_view bytes);
    void watch(Item kind, base::DomId domid, std::string_view path, std::string_view token);
    void transaction(Item kind, base::DomId domid, uint32_t number);
    void special(std::string_view name, const Permissions& permissions);
    void reset(base::DomId domid);

    bool empty() const { return bytes_.empty(); }
    size_t size() const { return bytes_.size(); }
    /// The items so far, framed as one group (empty if there are none), and starts anew.
    std::string take_group();

private:
    void byte(uint8_t v) { bytes_ += static_cast<char>(v); }
    void number(uint64_t v, size_t width);
    void text(std::string_view v);
    void permissions(const Permissions& p);
    void begin(Item kind) { byte(static_cast<uint8_t>(kind)); }

    std::string bytes_;
};

/// Receives what a journal says, in order.
class JournalReader {
public:
    virtual ~JournalReader() = default;
    virtual void on_node(const std::string& path, std::string value, Permissions permissions) = 0;
    virtual void on_removed(const std::string& path) = 0;
    virtual void on_domain(const DomainRecord& record) = 0;
    virtual void on_domain_gone(base::DomId domid) = 0;
    virtual void on_ring_input(base::DomId domid, uint32_t consumed, std::string partial) = 0;
    virtual void on_ring_output_from(base::DomId domid, uint32_t index, std::string bytes) = 0;
    virtual void on_ring_output(base::DomId domid, std::string bytes) = 0;
    virtual void on_watch(Item kind, base::DomId domid, std::string path, std::string token) = 0;
    virtual void on_transaction(Item kind, base::DomId domid, uint32_t number) = 0;
    virtual void on_special(std::string name, Permissions permissions) = 0;
    virtual void on_reset(base::DomId domid) = 0;
};

/// The file's first bytes.
std::string journal_header(std::string_view boot_id);

/// Feeds every whole group after the header to `reader`. Returns the bytes that made sense (0: not a journal of this boot);
/// what follows them is a torn write.
size_t replay(std::string_view file, std::string_view boot_id, JournalReader& reader);

}  // namespace xenstored
