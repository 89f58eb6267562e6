// SPDX-License-Identifier: Apache-2.0
// link: abi
// Compares abi/xen with libxen-dev's C headers: every size, offset and number. The names stand once, in abi/*.def. They
// are expanded here first with our headers only, then again after the C headers, whose macros would hide our constants.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <map>
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

using Facts = std::map<std::string, long long>;

#define ABI_CONST(name) facts[#name] = static_cast<long long>(xen::name);
#define ABI_CONST_AS(theirs, ours) facts[#ours] = static_cast<long long>(xen::ours);
#define ABI_STRUCT(theirs, ours) facts["sizeof " #ours] = sizeof(xen::ours);
#define ABI_FIELD(theirs, ours, field) facts[#ours "." #field] = offsetof(xen::ours, field);

Facts our_facts() {
    Facts facts;
#include "abi/all.def"
    return facts;
}

#undef ABI_CONST
#undef ABI_CONST_AS
#undef ABI_STRUCT
#undef ABI_FIELD

}  // namespace

#define __XEN_TOOLS__ 1
#include <xen/arch-x86/cpuid.h>
#include <xen/hvm/save.h>
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
#include <xen/xen.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

namespace {

#pragma GCC diagnostic ignored "-Wold-style-cast"  // in the bodies of their macros
#define ABI_CONST(name) facts[#name] = static_cast<long long>(name);
#define ABI_CONST_AS(theirs, ours) facts[#ours] = static_cast<long long>(theirs);
#define ABI_STRUCT(theirs, ours) facts["sizeof " #ours] = sizeof(theirs);
#define ABI_FIELD(theirs, ours, field) facts[#ours "." #field] = offsetof(theirs, field);

Facts their_facts() {
    Facts facts;
#include "abi/all.def"
    return facts;
}

TEST(Abi, EverySizeOffsetAndNumberIsXens) {
    const Facts ours = our_facts();
    const Facts theirs = their_facts();
    ASSERT_EQ(ours.size(), theirs.size());
    EXPECT_GT(ours.size(), 2500u);
    for (const auto& [name, value] : ours) EXPECT_EQ(value, theirs.at(name)) << name;
}

/// Names that have no counterpart of their own to compare with: texts, and what only our headers have.
bool is_exempt(const std::string& name) {
    static const std::set<std::string> exempt = {"layout", "exact_layout", "Handle", "DomainHandle", "XEN_EMULATE_PREFIX"};
    return exempt.contains(name);
}

/// Nothing in abi/ escapes the comparison above: every name defined at namespace level is on a list.
TEST(Abi, EveryNameIsOnAList) {
    const Facts ours = our_facts();
    const std::regex constant(R"(^inline constexpr (?!char )[\w:]+ (\w+)(\[\d+\])? =)");
    const std::regex structure(R"(^(?:struct|union) (\w+) \{)");
    std::size_t seen = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(XENOLITH_SOURCE_DIR "/abi")) {
        if (entry.path().extension() != ".hpp") continue;
        std::ifstream file(entry.path());
        std::smatch match;
        for (std::string line; std::getline(file, line);) {
            const bool number = std::regex_search(line, match, constant);
            if (!number && !std::regex_search(line, match, structure)) continue;
            const std::string name = match[1];
            ++seen;
            EXPECT_TRUE(is_exempt(name) || ours.contains(number ? name : "sizeof " + name)) << entry.path() << ": " << name;
        }
    }
    EXPECT_GT(seen, 1500u);
}

}  // namespace
