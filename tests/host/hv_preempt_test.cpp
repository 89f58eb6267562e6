// SPDX-License-Identifier: Apache-2.0
// link: hvcore
// No operation ignores preemption: every hypercall and every operation of those that have several, with arguments as large as
// they can be, on a CPU that is always wanted elsewhere. Each entry must be short, and one that stops must have come further.
//
// The table of operations is compared with the sources: a new one without a row here fails the test.
#include "tests/host/hv_preempt.hpp"

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <string>

#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/grant/grant.hpp"
#include "hypervisor/guest/pv/pt_update.hpp"
#include "hypervisor/guest/pv/pv.hpp"

namespace {

using namespace hvtest;

// -- the table is whole -----------------------------------------------------------------------------------------------

std::string text_of(const std::filesystem::path& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
}

/// Words after `case xen::` and the like that choose within one operation.
bool chooses_within(const std::string& name) {
    static const std::regex within(
        "XEN_DOMCTL_(SHADOW_OP|SCHEDOP|SENDTRIGGER)_.*|XEN_SYSCTL_(TBUFOP|PERFCOP|LOCKPROF|SCHEDOP|cpu_policy|cpu_featureset)_"
        ".*|XEN_FW_.*|XEN_EFI_.*|XEN_PM_.*|QUIRK_.*|MAP_PIRQ_TYPE_.*|CALLBACKTYPE_.*|XENMEM_resource_.*");
    return std::regex_match(name, within);
}

TEST(Preemption, EveryOperationHasARow) {
    std::set<std::string> rows;
    for (const Operation& o : operations) EXPECT_TRUE(rows.insert(o.name).second) << o.name << " twice";
    const std::regex named("case xen::(\\w+)|row<xen(?:olith)?::(HYPERVISOR_\\w+),|Op<xen(?:olith)?::(\\w+),");
    unsigned found = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(XENOLITH_SOURCE_DIR "/hypervisor/hypercall")) {
        if (entry.path().extension() != ".cpp") continue;
        const std::string text = text_of(entry.path());
        ASSERT_FALSE(text.empty()) << entry.path();
        for (std::sregex_iterator m(text.begin(), text.end(), named), end; m != end; ++m) {
            std::string name;
            for (unsigned i = 1; i <= 3; ++i) name += (*m)[i];
            if (chooses_within(name) || name.starts_with("VMASST_CMD")) continue;
            ++found;
            EXPECT_TRUE(rows.contains(name)) << name << " (" << entry.path() << ") has no row";
        }
    }
    EXPECT_GE(found, std::size(operations) - 20) << "the sources are not read as they are written any more";
}

TEST(Preemption, EveryOperationWithLargeArguments) {
    map_region();
    unsigned runs = 0;
    for (const Operation& o : operations)
        for (const bool control : {false, true}) {
            if (control && !o.control) continue;
            for (const uint64_t word : {uint64_t{0}, ~uint64_t{0}, in_region, lists}) {
                World w;
                if (control) w.as_dom0();
                uint64_t args[6] = {};
                arguments(w, o, word, args);
                (void)run(w, o.handler, args, 300, o.name);
                ++runs;
                if (testing::Test::HasFailure()) FAIL() << o.name << " with " << std::hex << word;
            }
        }
    EXPECT_GT(runs, std::size(operations) * 4);
}

}  // namespace
