// SPDX-License-Identifier: Apache-2.0
/// What stands where in the tree that HYPERVISOR_hypfs_op shows: directories, and leaves with a text or a number.
#pragma once

#include <string_view>

#include "abi/xen/hypfs.hpp"
#include "hypervisor/sched/scheduler.hpp"
#include "lib/base/result.hpp"
#include "lib/x86/boot_options.hpp"

namespace hv::hypfs {

/// A place in the tree.
struct Node {
    enum class What : uint8_t { root, buildinfo, compileinfo, version, pools, params, pool, fact, param, granularity };
    What what;
    uint32_t which = 0;  ///< the row of a fact or parameter; the number of a pool

    bool directory() const { return what < What::fact; }
};

/// What a leaf holds.
struct Leaf {
    uint32_t type;          ///< XEN_HYPFS_TYPE_*
    uint64_t number = 0;    ///< of all but texts
    uint32_t bytes = 0;     ///< its size there
    uint32_t longest = 0;   ///< bytes of what may be written; 0: nothing
    std::string_view text;  ///< its end is not among it, but counts among the bytes
    char room[32] = {};     ///< where the text may stand

    explicit Leaf(uint32_t t) : type(t) {}
    Leaf(const Leaf&) = delete;
    Leaf& operator=(const Leaf&) = delete;
    uint32_t size() const { return type == xen::XEN_HYPFS_TYPE_STRING ? static_cast<uint32_t>(text.size()) + 1 : bytes; }
};

/// The rows of leaves that never change, and of directories; by directory, then by name.
struct Fact {
    Node::What in;
    std::string_view name;
    const char* text;  ///< null: a number
    uint32_t number;
};
struct Directory {
    Node::What in, what;
    std::string_view name;
};
extern const Fact facts[];
extern const unsigned fact_count;
extern const Directory directories[];
extern const unsigned directory_count;

/// The name of a node; a pool's stands in `room`.
std::string_view name_of(Node n, char (&room)[16]);
/// What it holds, into a fresh Leaf of any type. Context: the turn of control operations.
void read_leaf(Node n, Leaf& leaf);
/// Bytes of a directory's list. Context: the same.
uint32_t list_size(Node n);
/// The node of a path, which is "/" or "/name/...", a directory with or without a slash behind it.
/// Errors: inval (not from the root), noent. Context: the same.
base::Result<Node> find(std::string_view path);

/// Bytes of an entry in a list: what stands before the name, the name, its end, filled to words.
constexpr uint32_t name_offset = 14;
constexpr uint32_t entry_size(std::string_view name) { return name_offset + ((static_cast<uint32_t>(name.size()) + 4) & ~3u); }

/// Does f(Node) for all that a directory holds, by name, pools by number. Errors: those of f.
template <class F>
base::Status each_in(Node n, F f) {
    using What = Node::What;
    for (uint32_t i = 0; i < fact_count; ++i)
        if (facts[i].in == n.what) TRY(f(Node{What::fact, i}));
    for (uint32_t i = 0; i < directory_count; ++i)
        if (directories[i].in == n.what) TRY(f(Node{directories[i].what}));
    if (n.what == What::params)
        for (uint32_t i = 0; i < x86::option_rows().size(); ++i) TRY(f(Node{What::param, i}));
    if (n.what == What::pools)
        for (const CpuPool* p = &sched::pool0(); p; p = p->next) TRY(f(Node{What::pool, p->id}));
    if (n.what == What::pool) TRY(f(Node{What::granularity, n.which}));
    return base::ok;
}

}  // namespace hv::hypfs
