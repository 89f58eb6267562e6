// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/control_hypervisor.hpp"

#include "toolstack/migration/core_dump.hpp"
#include "toolstack/migration/file.hpp"
#include "toolstack/migration/restore.hpp"
#include "toolstack/migration/save.hpp"

namespace xend {

using base::DomId;
using base::Outcome;

Outcome<std::vector<xenctrl::DomainInfo>> ControlHypervisor::list() { return control_.list(); }

Outcome<std::optional<xenctrl::DomainInfo>> ControlHypervisor::domain(DomId id) {
    auto info = control_.info(id);
    if (info) return std::optional(std::move(info).take());
    if (info.failure().code == base::Errc::srch) return std::optional<xenctrl::DomainInfo>{};
    return std::move(info).take_failure();
}

/// Whether the number is still this domain's. Errors: srch.
Outcome<> ControlHypervisor::same(const DomainRef& domain) {
    const xenctrl::DomainInfo info = OTRY(control_.info(domain.id));
    if (info.handle == domain.uuid.bytes) return base::ok;
    return base::fail(base::Errc::srch, "Domain " + std::to_string(domain.id.raw) + " is another one by now");
}

Outcome<std::vector<VcpuState>> ControlHypervisor::vcpus(const xenctrl::DomainInfo& domain) {
    std::vector<VcpuState> out;
    for (uint32_t i = 0; i < domain.vcpus; ++i) {
        VcpuState state;
        state.info = OTRY(control_.vcpu_info(domain.id, base::VcpuId{i}));
        auto affinity = control_.affinity(domain.id, base::VcpuId{i});
        if (affinity) state.affinity = std::move(affinity->hard);
        out.push_back(std::move(state));
    }
    return out;
}

Outcome<HostState> ControlHypervisor::host() {
    HostState out;
    out.phys = OTRY(control_.physinfo());
    out.version = OTRY(control_.version());
    auto scheduler = control_.scheduler();
    if (scheduler) out.scheduler = *scheduler;
    auto cpus = control_.cpu_topology();
    if (cpus) out.cpus = std::move(cpus).take();
    auto numa = control_.numa();
    if (numa) out.numa = std::move(numa).take();
    return out;
}

Outcome<std::vector<xenctrl::CpuPool>> ControlHypervisor::pools() { return control_.cpu_pools(); }

Outcome<uint32_t> ControlHypervisor::change_pool(const PoolChange& change) {
    switch (change.what) {
        case PoolChange::What::create: return control_.create_pool(change.scheduler);
        case PoolChange::What::destroy: OTRY(control_.destroy_pool(change.pool)); break;
        case PoolChange::What::add_cpu: OTRY(control_.add_to_pool(change.pool, change.cpu)); break;
        case PoolChange::What::remove_cpu: OTRY(control_.remove_from_pool(change.pool, change.cpu)); break;
        case PoolChange::What::move_domain: OTRY(control_.move_to_pool(change.pool, change.domain)); break;
    }
    return change.pool;
}

Outcome<std::string> ControlHypervisor::console_ring(bool clear) {
    return control_.console_ring(clear ? xenctrl::Control::Ring::clear : xenctrl::Control::Ring::keep);
}

Outcome<> ControlHypervisor::debug_keys(const std::string& keys) { return control_.debug_keys(keys); }

Outcome<> ControlHypervisor::pause(const DomainRef& domain) {
    OTRY(same(domain));
    return control_.pause(domain.id);
}

Outcome<> ControlHypervisor::unpause(const DomainRef& domain) {
    OTRY(same(domain));
    return control_.unpause(domain.id);
}

Outcome<> ControlHypervisor::destroy(const DomainRef& domain) {
    OTRY(same(domain));
    return control_.destroy(domain.id);
}

Outcome<> ControlHypervisor::resume(const DomainRef& domain) {
    OTRY(same(domain));
    // What the guest finds in rax tells it that it was not saved, or that it is the one that stays.
    xen::VcpuGuestContext context = OTRY(control_.vcpu_context(domain.id, base::VcpuId{0}));
    context.user_regs.rax = 1;
    OTRY(control_.set_vcpu_context(domain.id, base::VcpuId{0}, context));
    return control_.resume(domain.id);
}

Outcome<> ControlHypervisor::save(const DomainRef& domain, const proto::saved::FileConfig& config, proto::saved::Sink& sink) {
    OTRY(same(domain));
    return migration::save(control_, domain.id, config, sink);
}

Outcome<> ControlHypervisor::can_save_live(const DomainRef& domain) {
    OTRY(same(domain));
    return control_.can_log_dirty(domain.id);
}

Outcome<std::unique_ptr<migration::LiveImage>> ControlHypervisor::save_live(const DomainRef& domain,
                                                                            const proto::saved::FileConfig& config,
                                                                            proto::saved::Sink& sink) {
    OTRY(same(domain));
    return migration::LiveSave::begin(control_, domain.id, config, sink);
}

Outcome<> ControlHypervisor::end_live(const DomainRef& domain) {
    OTRY(same(domain));
    auto ended = control_.stop_dirty_log(domain.id);
    // Where nothing can be logged nothing is.
    const bool none = !ended && (ended.failure().code == base::Errc::opnotsupp || ended.failure().code == base::Errc::inval);
    return none ? Outcome<>(base::ok) : ended;
}

Outcome<> ControlHypervisor::set_handle(const DomainRef& domain, const config::Uuid& uuid) {
    OTRY(same(domain));
    return control_.set_handle(domain.id, uuid.bytes);
}

Outcome<> ControlHypervisor::dump_core(const DomainRef& domain, const std::string& file) {
    OTRY(same(domain));
    const auto part = OTRY(migration::PartFile::create(file));
    OTRY(migration::dump_core(control_, domain.id, *part));
    return part->keep();
}

Outcome<> ControlHypervisor::set_affinity(const DomainRef& domain, base::VcpuId vcpu, const xenctrl::BitMap& cpus) {
    OTRY(same(domain));
    return control_.set_affinity(domain.id, vcpu, {cpus, {}});
}

Outcome<> ControlHypervisor::send_trigger(const DomainRef& domain, xenctrl::Trigger trigger, base::VcpuId vcpu) {
    OTRY(same(domain));
    return control_.send_trigger(domain.id, trigger, vcpu);
}

Outcome<> ControlHypervisor::set_max_memory(DomId domain, uint64_t kib) { return control_.set_max_memory(domain, kib); }
Outcome<xenctrl::Sched> ControlHypervisor::sched(DomId domain) { return control_.domain_sched(domain); }
Outcome<> ControlHypervisor::set_sched(DomId domain, const xenctrl::Sched& wanted) {
    return control_.set_domain_sched(domain, wanted);
}
Outcome<> ControlHypervisor::set_pool_sched(uint32_t pool, const xenctrl::Sched& wanted) {
    return control_.set_pool_sched(pool, wanted);
}
Outcome<xenctrl::SchedParams> ControlHypervisor::sched_params(DomId domain) { return control_.sched_params(domain); }

Outcome<> ControlHypervisor::set_sched_params(DomId domain, const xenctrl::SchedParams& params) {
    return control_.set_sched_params(domain, params);
}

Outcome<builder::Plan> ControlHypervisor::prepare(const builder::BuildInput& input) { return builder::prepare(input, &images_); }

Outcome<builder::BuiltDomain> ControlHypervisor::build(const builder::Plan& plan, builder::StoreIntroduce& store,
                                                       builder::BuildObserver& observer) {
    const std::lock_guard guard(build_mutex_);
    return builder::build(control_, store, plan, &observer);
}

Outcome<builder::BuiltDomain> ControlHypervisor::restore(const builder::BuildInput& input, proto::saved::Reader& image,
                                                         builder::StoreIntroduce& store, builder::BuildObserver& observer) {
    return migration::restore(control_, store, image, input, &observer);
}

}  // namespace xend
