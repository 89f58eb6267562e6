// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// Where the policies of this machine are made and kept; what they say is tests/host/cpu_policy_test.cpp's.
#include "hypervisor/cpu_policy/policy.hpp"

#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/speculation_plan.hpp"
#include "lib/x86/leaf_rules.hpp"
#include "tests/host/hv_calls.hpp"

namespace {

using namespace hvtest;
using namespace x86::cpu_policy;

x86::CpuidResult everything(uint32_t, uint32_t) { return {~0u, ~0u, ~0u, ~0u}; }

class CpuPolicies : public ::testing::Test {
protected:
    CpuPolicies() { control_domain(); }
    ~CpuPolicies() override {
        domains_reap();  // as long as save areas are as large as when they were made
        cpu_features = features_;
        speculation = plan_;
        raw_policy = raw_;
        pv_policy = pv_;
    }

private:
    const CpuFeatures features_ = cpu_features;
    const SpeculationPlan plan_ = speculation;
    const CpuPolicy raw_ = raw_policy, pv_ = pv_policy;
};

TEST_F(CpuPolicies, TheMachinesAreMadeOfWhatIsKnownOfIt) {
    constexpr uint32_t ibpb = 1u << 12, mtrr = 1u << 12;
    cpu_features.amd = true;
    cpu_features.xsave_size = 0x340;
    for (const bool has_ibpb : {false, true}) {
        speculation = {};
        speculation.has_ibpb = has_ibpb;
        cpu_policies_init(everything);
        EXPECT_EQ((pv_policy.find(0x80000008, 0)->b & ibpb) != 0, has_ibpb);
    }
    EXPECT_EQ(raw_policy.find(1, 0)->d, ~0u);
    EXPECT_EQ(pv_policy.find(0xd, 0)->c, 0x340u);
    EXPECT_EQ(machine_mtrr, mtrr);
}

TEST_F(CpuPolicies, ADomainsOwnIsCutToWhatItsKindIsOffered) {
    speculation = {};
    cpu_policies_init(everything);
    Guest g(30), other(31);
    const xen::CpuidLeaf l{7, 0, ~0u, 0x5555, ~0u, ~0u};
    ASSERT_TRUE(set_domain_policy(*g.d, {&l, 1}));
    const xen::CpuidLeaf *own = domain_policy(*g.d).find(7, 0), *offered = pv_policy.find(7, 0);
    EXPECT_EQ(own->b, offered->b & 0x5555);
    EXPECT_EQ(own->c, offered->c);
    EXPECT_EQ(domain_policy(*other.d).find(7, 0), offered) << "the others have what is offered";
}

TEST_F(CpuPolicies, ADomainsOwnIsFreedWithIt) {
    speculation = {};
    cpu_policies_init(everything);
    const Resources before;
    {
        Guest g(30);
        const xen::CpuidLeaf l{1, no_subleaf, 1, 1, 1, 1};
        EXPECT_TRUE(set_domain_policy(*g.d, {&l, 1}));
    }
    domains_reap();
    EXPECT_EQ(Resources(), before);
}

}  // namespace
