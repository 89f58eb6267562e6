// SPDX-License-Identifier: Apache-2.0
// link: abi
// Compares abi/xen with libxen-dev's C headers: every size, offset and number. The names stand once, in abi/*.def. They
// are expanded here first with our headers only, then again after the C headers, whose macros would hide our constants.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <set>
#include <string>

#include "abi/xen/arch_x86.hpp"
#include "abi/xen/basic.hpp"
#include "abi/xen/callback.hpp"
#include "abi/xen/console.hpp"
#include "abi/xen/cpuid.hpp"
#include "abi/xen/domctl.hpp"
#include "abi/xen/domctl_device.hpp"
#include "abi/xen/domctl_domain.hpp"
#include "abi/xen/elfnote.hpp"
#include "abi/xen/event_channel.hpp"
#include "abi/xen/features.hpp"
#include "abi/xen/grant_table.hpp"
#include "abi/xen/hvm/dm_op.hpp"
#include "abi/xen/hvm/e820.hpp"
#include "abi/xen/hvm/hvm_op.hpp"
#include "abi/xen/hvm/hvm_vcpu.hpp"
#include "abi/xen/hvm/ioreq.hpp"
#include "abi/xen/hvm/params.hpp"
#include "abi/xen/hvm/save.hpp"
#include "abi/xen/hvm/start_info.hpp"
#include "abi/xen/hypfs.hpp"
#include "abi/xen/kexec.hpp"
#include "abi/xen/mca.hpp"
#include "abi/xen/memory.hpp"
#include "abi/xen/nmi.hpp"
#include "abi/xen/physdev.hpp"
#include "abi/xen/platform.hpp"
#include "abi/xen/pmu.hpp"
#include "abi/xen/sched.hpp"
#include "abi/xen/sysctl.hpp"
#include "abi/xen/sysctl_machine.hpp"
#include "abi/xen/sysctl_policy.hpp"
#include "abi/xen/trace.hpp"
#include "abi/xen/vcpu.hpp"
#include "abi/xen/version.hpp"
#include "abi/xen/xenbus.hpp"
#include "abi/xen/xs_wire.hpp"

namespace {

/// Plain arrays: thousands of insertions into a map in one function take the compiler minutes under the sanitizers.
struct Fact {
    const char* name;
    long long value;
};

#define ABI_CONST(name) {#name, static_cast<long long>(xen::name)},
#define ABI_CONST_AS(theirs, ours) {#ours, static_cast<long long>(xen::ours)},
#define ABI_STRUCT(theirs, ours) {"sizeof " #ours, sizeof(xen::ours)},
#define ABI_FIELD(theirs, ours, field) {#ours "." #field, offsetof(xen::ours, field)},

constexpr Fact our_facts[] = {
#include "abi/all.def"
};

#undef ABI_CONST
#undef ABI_CONST_AS
#undef ABI_STRUCT
#undef ABI_FIELD

}  // namespace

#define __XEN_TOOLS__ 1
#include <xen/xen.h>  // first: the arch headers need it

#include <xen/arch-x86/cpuid.h>
#include <xen/arch-x86/hvm/start_info.h>
#include <xen/arch-x86/xen-mca.h>
#include <xen/callback.h>
#include <xen/domctl.h>
#include <xen/elfnote.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/grant_table.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/e820.h>
#include <xen/hvm/hvm_info_table.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/hvm_vcpu.h>
#include <xen/hvm/ioreq.h>
#include <xen/hvm/params.h>
#include <xen/hvm/save.h>
#include <xen/hypfs.h>
#include <xen/io/console.h>
#include <xen/io/xenbus.h>
#include <xen/io/xs_wire.h>
#include <xen/kexec.h>
#include <xen/memory.h>
#include <xen/nmi.h>
#include <xen/physdev.h>
#include <xen/platform.h>
#include <xen/pmu.h>
#include <xen/sched.h>
#include <xen/sysctl.h>
#include <xen/trace.h>
#include <xen/vcpu.h>
#include <xen/version.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>

namespace {

#pragma GCC diagnostic ignored "-Wold-style-cast"  // in the bodies of their macros
#define ABI_CONST(name) {#name, static_cast<long long>(name)},
#define ABI_CONST_AS(theirs, ours) {#ours, static_cast<long long>(theirs)},
#define ABI_STRUCT(theirs, ours) {"sizeof " #ours, sizeof(theirs)},
#define ABI_FIELD(theirs, ours, field) {#ours "." #field, offsetof(theirs, field)},

const Fact their_facts[] = {
#include "abi/all.def"
};

TEST(Abi, EverySizeOffsetAndNumberIsXens) {
    static_assert(std::size(our_facts) == std::size(their_facts) && std::size(our_facts) > 2500);
    for (std::size_t i = 0; i < std::size(our_facts); ++i) {
        ASSERT_STREQ(our_facts[i].name, their_facts[i].name);
        EXPECT_EQ(our_facts[i].value, their_facts[i].value) << our_facts[i].name;
    }
}

/// The word in front of position `end`.
std::string word_before(const std::string& line, std::size_t end) {
    while (end > 0 && line[end - 1] == ' ') --end;
    std::size_t start = end;
    while (start > 0 && (std::isalnum(static_cast<unsigned char>(line[start - 1])) != 0 || line[start - 1] == '_')) --start;
    return line.substr(start, end - start);
}

/// The name that a line at namespace level defines, as the lists spell it; empty for other lines and for texts.
std::string defined_name(const std::string& line) {
    const auto starts = [&](const char* what) { return line.rfind(what, 0) == 0; };
    if (starts("inline constexpr") && !starts("inline constexpr char ")) {
        const std::size_t end = std::min(line.find(" ="), line.find('['));
        return end == std::string::npos ? std::string{} : word_before(line, end);
    }
    if ((starts("struct ") || starts("union ")) && line.back() == '{') return "sizeof " + word_before(line, line.size() - 1);
    return {};
}

/// Names that have no counterpart of their own to compare with.
bool is_exempt(const std::string& name) {
    static const std::set<std::string> exempt = {"layout", "exact_layout", "sizeof Handle", "sizeof DomainHandle",
                                                 "XEN_EMULATE_PREFIX"};
    return exempt.contains(name);
}

/// Nothing in abi/xen escapes the comparison above: every name defined at namespace level is on a list. (abi/xenolith has what is our own.)
TEST(Abi, EveryNameIsOnAList) {
    std::set<std::string> ours;
    for (const Fact& fact : our_facts) ours.insert(fact.name);
    std::size_t seen = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(XENOLITH_SOURCE_DIR "/abi/xen")) {
        if (entry.path().extension() != ".hpp") continue;
        std::ifstream file(entry.path());
        for (std::string line; std::getline(file, line);) {
            const std::string name = defined_name(line);
            if (name.empty()) continue;
            ++seen;
            EXPECT_TRUE(is_exempt(name) || ours.contains(name)) << entry.path() << ": " << name;
        }
    }
    EXPECT_GT(seen, 1500u);
}

}  // namespace
