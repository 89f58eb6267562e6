// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>

#include "toolstack/xend/core/ports.hpp"

namespace xend {

/// The hypervisor port over xenctrl and the builder: the real one, and the simulator's.
class ControlHypervisor final : public Hypervisor {
    xenctrl::Control& control_;
    std::mutex build_mutex_;  // of images_
    builder::ImageCache images_;

    base::Outcome<> same(const DomainRef& domain);

public:
    explicit ControlHypervisor(xenctrl::Control& control) : control_(control) {}

    base::Outcome<std::vector<xenctrl::DomainInfo>> list() override;
    base::Outcome<std::optional<xenctrl::DomainInfo>> domain(base::DomId id) override;
    base::Outcome<std::vector<VcpuState>> vcpus(const xenctrl::DomainInfo& domain) override;
    base::Outcome<HostState> host() override;
    base::Outcome<std::vector<xenctrl::CpuPool>> pools() override;
    base::Outcome<uint32_t> change_pool(const PoolChange& change) override;
    base::Outcome<std::string> console_ring(bool clear) override;
    base::Outcome<> debug_keys(const std::string& keys) override;
    base::Outcome<> pause(const DomainRef& domain) override;
    base::Outcome<> unpause(const DomainRef& domain) override;
    base::Outcome<> destroy(const DomainRef& domain) override;
    base::Outcome<> resume(const DomainRef& domain) override;
    base::Outcome<> save(const DomainRef& domain, const proto::saved::FileConfig& config, proto::saved::Sink& sink) override;
    base::Outcome<> can_save_live(const DomainRef& domain) override;
    base::Outcome<std::unique_ptr<migration::LiveImage>> save_live(const DomainRef& domain,
                                                                   const proto::saved::FileConfig& config,
                                                                   proto::saved::Sink& sink) override;
    base::Outcome<> end_live(const DomainRef& domain) override;
    base::Outcome<> set_handle(const DomainRef& domain, const config::Uuid& uuid) override;
    base::Outcome<> dump_core(const DomainRef& domain, const std::string& file) override;
    base::Outcome<> set_affinity(const DomainRef& domain, base::VcpuId vcpu, const xenctrl::BitMap& cpus) override;
    base::Outcome<> send_trigger(const DomainRef& domain, xenctrl::Trigger trigger, base::VcpuId vcpu) override;
    base::Outcome<> set_max_memory(base::DomId domain, uint64_t kib) override;
    base::Outcome<xenctrl::Sched> sched(base::DomId domain) override;
    base::Outcome<> set_sched(base::DomId domain, const xenctrl::Sched& wanted) override;
    base::Outcome<> set_pool_sched(uint32_t pool, const xenctrl::Sched& wanted) override;
    base::Outcome<xenctrl::SchedParams> sched_params(base::DomId domain) override;
    base::Outcome<> set_sched_params(base::DomId domain, const xenctrl::SchedParams& params) override;
    base::Outcome<builder::Plan> prepare(const builder::BuildInput& input) override;
    base::Outcome<builder::BuiltDomain> build(const builder::Plan& plan, builder::StoreIntroduce& store,
                                              builder::BuildObserver& observer) override;
    base::Outcome<builder::BuiltDomain> restore(const builder::BuildInput& input, proto::saved::Reader& image,
                                                builder::StoreIntroduce& store, builder::BuildObserver& observer) override;
};

}  // namespace xend
