// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_hypfs_op: a small tree of files, by which tools read what this build is and read and change options. Which error comes
/// first, and which it is, is as Xen 4.17 has it.
#include "abi/xen/hypfs.hpp"

#include <algorithm>

#include "hypervisor/hypercall/control.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/hypercall/hypfs_tree.hpp"
#include "hypervisor/hypercall/machine_info.hpp"
#include "hypervisor/hypercall/row.hpp"
#include "hypervisor/rt/run_time_options.hpp"

namespace hv {

namespace hypfs {
namespace {

/// What every operation takes.
struct Call {
    Vcpu& v;
    GuestPtr<char> path;
    uint64_t path_bytes;
    AnyGuestPtr buffer;
    uint64_t bytes;
};

/// The path of the one whose turn it is.
char path_text[xen::XEN_HYPFS_MAX_PATHLEN];

/// Errors: inval (a path that is too long, does not end where it says, or does not begin at the root), fault, noent.
Result<Node> node_of(const Call& c) {
    if (c.path_bytes > sizeof path_text) return Err{Errc::inval};
    TRY(c.path.fetch_many(path_text, c.path_bytes));
    const char* const end = std::find(path_text, path_text + c.path_bytes, '\0');
    if (c.path_bytes == 0 || end != path_text + c.path_bytes - 1) return Err{Errc::inval};
    return find({path_text, end});
}

xen::HypfsDirEntry entry_of(Node n) {
    auto e = xen::zeroed<xen::HypfsDirEntry>();
    e.encoding = static_cast<uint8_t>(xen::XEN_HYPFS_ENC_PLAIN);
    if (n.directory()) {
        e.type = static_cast<uint8_t>(xen::XEN_HYPFS_TYPE_DIR);
        e.content_len = list_size(n);
        return e;
    }
    Leaf leaf(xen::XEN_HYPFS_TYPE_STRING);
    read_leaf(n, leaf);
    e.type = static_cast<uint8_t>(leaf.type);
    e.content_len = leaf.size();
    e.max_write_len = leaf.longest;
    return e;
}

/// One entry of a list; `last`: none follows.
Status store_entry(uint64_t to, Node n, bool last) {
    constexpr size_t longest_name = 32;
    char room[16];
    const std::string_view name = name_of(n, room);
    HV_DEBUG_ASSERT(name.size() < longest_name);
    char text[name_offset + longest_name] = {};
    const xen::HypfsDirEntry e = entry_of(n);
    const uint16_t next = last ? uint16_t{0} : static_cast<uint16_t>(entry_size(name));
    memcpy(text, &e, sizeof e);
    memcpy(text + offsetof(xen::HypfsDirListEntry, off_next), &next, sizeof next);
    memcpy(text + name_offset, name.data(), name.size());
    if (!arch::copy_to_guest(to, text, entry_size(name))) return Err{Errc::fault};
    return ok;
}

Status store_list(uint64_t to, Node n, uint32_t bytes) {
    uint32_t at = 0;
    return each_in(n, [&](Node c) -> Status {
        char room[16];
        const uint32_t size = entry_size(name_of(c, room));
        TRY(store_entry(to + at, c, at + size == bytes));
        at += size;
        return ok;
    });
}

Status store_leaf(uint64_t to, Node n) {
    Leaf leaf(xen::XEN_HYPFS_TYPE_STRING);
    read_leaf(n, leaf);
    if (leaf.type != xen::XEN_HYPFS_TYPE_STRING) {
        if (!arch::copy_to_guest(to, &leaf.number, leaf.bytes)) return Err{Errc::fault};
        return ok;
    }
    if (!arch::copy_to_guest(to, leaf.text.data(), leaf.text.size()) || !arch::clear_guest(to + leaf.text.size(), 1))
        return Err{Errc::fault};
    return ok;
}

Status read(const Call& c) {
    const Node n = TRY(node_of(c));
    const xen::HypfsDirEntry e = entry_of(n);
    if (c.bytes < sizeof e) return Err{Errc::inval};
    TRY(GuestPtr<xen::HypfsDirEntry>(c.buffer).store(e));
    if (c.bytes < sizeof e + e.content_len) return Err{Errc::nobufs};
    const uint64_t contents = c.buffer.address() + sizeof e;
    return n.directory() ? store_list(contents, n, e.content_len) : store_leaf(contents, n);
}

constexpr size_t longest_value = 128;

/// A text of the caller's with its end. Errors: fault; `unended` when the only end is not where it says.
Result<std::string_view> fetch_text(const Call& c, char (&room)[longest_value], Errc unended) {
    TRY(GuestPtr<char>(c.buffer).fetch_many(room, c.bytes));
    const char* const end = std::find(room, room + c.bytes, '\0');
    if (c.bytes == 0 || end != room + c.bytes - 1) return Err{unended};
    return std::string_view{room, end};
}

Status write_parameter(const Call& c, const x86::OptionRow& row) {
    if (row.longest == 0) return Err{Errc::access};
    char room[longest_value];
    std::string_view value;
    if (row.kind == x86::OptionKind::boolean) {
        if (c.bytes != 1) return Err{Errc::dom};
        value = TRY(GuestPtr<uint8_t>(c.buffer).fetch()) ? "1" : "0";
    } else {
        if (c.bytes > sizeof room) return Err{Errc::nospc};
        value = TRY(fetch_text(c, room, Errc::dom));
    }
    if (!x86::change_option(row, value, machine_info.options)) return Err{Errc::inval};
    apply_run_time_options(machine_info.options);
    return ok;
}

/// What a pool schedules can be chosen while it has no CPU, and there is one thing to choose.
Status write_granularity(const Call& c, uint32_t pool) {
    char room[longest_value];
    Leaf leaf(xen::XEN_HYPFS_TYPE_STRING);
    read_leaf({Node::What::granularity, pool}, leaf);
    if (c.bytes > leaf.longest) return Err{Errc::nospc};
    if (TRY(fetch_text(c, room, Errc::inval)) != leaf.text) return Err{Errc::inval};
    const CpuPool* p = sched::pool_from(pool);
    if (p && !p->cpus.empty()) return Err{Errc::busy};
    return ok;
}

Status write(const Call& c) {
    const Node n = TRY(node_of(c));
    if (n.what == Node::What::param) return write_parameter(c, x86::option_rows()[n.which]);
    if (n.what == Node::What::granularity) return write_granularity(c, n.which);
    return Err{Errc::access};
}

Answer version(const Call& c) {
    if (!c.path.null() || c.path_bytes || !c.buffer.null() || c.bytes) return Err{Errc::inval};
    return xen::XEN_HYPFS_VERSION;
}

// clang-format off
using OnHypfs = Operations<
    Op<xen::XEN_HYPFS_OP_get_version,    version>,
    Op<xen::XEN_HYPFS_OP_read,           read>,
    Op<xen::XEN_HYPFS_OP_write_contents, write>>;
// clang-format on

}  // namespace
}  // namespace hypfs

Answer hypercall_hypfs_op(Vcpu& v, uint32_t cmd, GuestPtr<char> path, uint64_t path_bytes, AnyGuestPtr buffer, uint64_t bytes) {
    ControlTurn turn;
    if (!turn) return restart_same(v);
    const hypfs::Call c{v, path, path_bytes, buffer, bytes};
    if (!hypfs::OnHypfs::has(cmd)) {
        TRY(hypfs::node_of(c));
        return Err{Errc::opnotsupp};
    }
    return hypfs::OnHypfs::run("hypfs_op", cmd, c);
}

}  // namespace hv
