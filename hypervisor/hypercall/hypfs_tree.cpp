// SPDX-License-Identifier: Apache-2.0
/// The tree: /buildinfo, /cpupool, /params. A path never grows deeper than what stands here.
#include "hypervisor/hypercall/hypfs_tree.hpp"

#include <iterator>

#include "hypervisor/hypercall/machine_info.hpp"
#include "hypervisor/hypercall/version_info.hpp"

namespace hv::hypfs {

using base::Err;
using base::Errc;
using What = Node::What;

// A build has no configuration that /buildinfo/config could hold: the image is the same whoever builds it.
const Fact facts[] = {
    {What::buildinfo, "changeset", version_info::changeset, 0},
    {What::compileinfo, "compile_by", version_info::compile_by, 0},
    {What::compileinfo, "compile_date", machine_info.build_date, 0},
    {What::compileinfo, "compile_domain", version_info::compile_domain, 0},
    {What::compileinfo, "compiler", version_info::compiler, 0},
    {What::version, "extra", version_info::extra, 0},
    {What::version, "major", nullptr, version_info::major_version},
    {What::version, "minor", nullptr, version_info::minor_version},
};
const unsigned fact_count = std::size(facts);

const Directory directories[] = {
    {What::root, What::buildinfo, "buildinfo"},  {What::root, What::pools, "cpupool"},
    {What::root, What::params, "params"},        {What::buildinfo, What::compileinfo, "compileinfo"},
    {What::buildinfo, What::version, "version"},
};
const unsigned directory_count = std::size(directories);

namespace {

/// As in the tools: units of one CPU are what is scheduled.
constexpr std::string_view granularity = "cpu";
constexpr uint32_t longest_granularity = 8;

void read_parameter(const x86::OptionRow& row, Leaf& leaf) {
    const x86::OptionValue value = x86::option_value(row, machine_info.options, leaf.room);
    leaf.number = value.number;
    leaf.text = value.text;
    leaf.longest = row.longest;
    switch (row.kind) {
        case x86::OptionKind::boolean:
            leaf.type = xen::XEN_HYPFS_TYPE_BOOL;
            leaf.bytes = 1;
            break;
        case x86::OptionKind::number:
            leaf.type = xen::XEN_HYPFS_TYPE_UINT;
            leaf.bytes = sizeof(uint32_t);
            break;
        case x86::OptionKind::text: leaf.type = xen::XEN_HYPFS_TYPE_STRING; break;
    }
}

void read_fact(const Fact& fact, Leaf& leaf) {
    leaf.type = fact.text ? xen::XEN_HYPFS_TYPE_STRING : xen::XEN_HYPFS_TYPE_UINT;
    leaf.number = fact.number;
    leaf.bytes = sizeof fact.number;
    if (fact.text) leaf.text = fact.text;
}

std::string_view digits(uint32_t n, char (&room)[16]) {
    char* at = std::end(room);
    do *--at = static_cast<char>('0' + n % 10);
    while (n /= 10);
    return {at, std::end(room)};
}

/// What a directory has under this name. Errors: noent.
base::Result<Node> child(Node n, std::string_view name) {
    Node found{What::root};
    char room[16];
    const auto s = each_in(n, [&](Node c) -> base::Status {
        if (name_of(c, room) != name) return base::ok;
        found = c;
        return Err{Errc::exist};  // no need to look further
    });
    if (s) return Err{Errc::noent};
    return found;
}

}  // namespace

std::string_view name_of(Node n, char (&room)[16]) {
    switch (n.what) {
        case What::fact: return facts[n.which].name;
        case What::param: return x86::option_rows()[n.which].name;
        case What::granularity: return "sched-gran";
        case What::pool: return digits(n.which, room);
        default: break;
    }
    for (const Directory& d : directories)
        if (d.what == n.what) return d.name;
    return "";
}

void read_leaf(Node n, Leaf& leaf) {
    if (n.what == What::fact) return read_fact(facts[n.which], leaf);
    if (n.what == What::param) return read_parameter(x86::option_rows()[n.which], leaf);
    leaf.type = xen::XEN_HYPFS_TYPE_STRING;
    leaf.text = granularity;
    leaf.longest = longest_granularity;
}

uint32_t list_size(Node n) {
    uint32_t bytes = 0;
    char room[16];
    (void)each_in(n, [&](Node c) -> base::Status {
        bytes += entry_size(name_of(c, room));
        return base::ok;
    });
    return bytes;
}

base::Result<Node> find(std::string_view path) {
    if (!path.starts_with('/')) return Err{Errc::inval};
    path.remove_prefix(1);
    Node at{What::root};
    while (!path.empty()) {
        const size_t end = path.find('/');
        at = TRY(child(at, path.substr(0, end)));
        if (end == std::string_view::npos) return at;
        path.remove_prefix(end + 1);
        if (!at.directory()) return Err{Errc::noent};
    }
    return at;
}

}  // namespace hv::hypfs
