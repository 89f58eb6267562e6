// SPDX-License-Identifier: Apache-2.0
#include "toolstack/migration/restore.hpp"

#include <algorithm>
#include <cstring>

#include "abi/xen/domctl.hpp"
#include "toolstack/builder/new_domain.hpp"
#include "toolstack/builder/undo.hpp"
#include "toolstack/migration/new_pages.hpp"
#include "toolstack/migration/tables.hpp"

namespace migration {

using base::DomId;
using base::Errc;
using base::Gfn;
using base::Mfn;
using base::Outcome;
using base::VcpuId;
using builder::BuildInput;
using builder::BuiltDomain;
using builder::DomainPorts;
using proto::saved::Record;
using proto::saved::VcpuState;
using xenctrl::Control;

namespace {

base::Failure bad(const std::string& why) { return base::fail(Errc::badmsg, why); }

template <class T>
T first_of(std::span<const std::byte> bytes) {
    T value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
}

/// One restoration: what came so far, and the domain it goes into.
class Restoration {
public:
    Restoration(Control& control, DomId domain, const BuildInput& input, uint64_t machine_pages)
        : control_(control), domain_(domain), input_(input), machine_pages_(machine_pages), pages_(control, domain) {}

    Outcome<> read(proto::saved::Reader& reader);
    Outcome<BuiltDomain> complete(const DomainPorts& ports);

private:
    Outcome<> read_all(proto::saved::Reader& reader);
    Outcome<> take(const proto::saved::PvInfo&) { return base::ok; }
    Outcome<> take(const proto::saved::CpuidPolicy& policy);
    Outcome<> take(const proto::saved::MsrPolicy& policy);
    Outcome<> take(const proto::saved::StaticDataEnd&);
    Outcome<> take(proto::saved::P2mFrames& frames);
    Outcome<> take(const proto::saved::PageData& pages) { return pages_.take(pages); }
    Outcome<> take(const proto::saved::TscInfo& info);
    Outcome<> take(proto::saved::SharedInfo& info);
    Outcome<> take(VcpuState& state);
    Outcome<> take(const proto::saved::ImageEnd&) { return base::ok; }

    Outcome<> write_shared_info(Mfn frame);
    Outcome<BuiltDomain> write_start_info(Mfn frame, Mfn shared_info, const DomainPorts& ports);
    Outcome<> to_frames(xen::VcpuGuestContext& context, uint32_t vcpu) const;
    Outcome<> set_vcpu(const VcpuState& state);

    Control& control_;
    DomId domain_;
    const BuildInput& input_;
    const uint64_t machine_pages_;
    NewPages pages_;
    xenctrl::CpuPolicy policy_;
    std::vector<uint64_t> list_pfns_;
    std::vector<std::byte> shared_;
    std::vector<VcpuState> vcpus_;
};

Outcome<> Restoration::read(proto::saved::Reader& reader) {
    OTRY(reader.stream());
    reader.put_pages_into(OTRY(pages_.storage()));
    reader.while_nobody_waits([this] { pages_.pin_early(); });
    const auto read = read_all(reader);
    reader.while_nobody_waits({});
    return read;
}

Outcome<> Restoration::read_all(proto::saved::Reader& reader) {
    for (bool more = true; more;) {
        auto record = OTRY(reader.next());
        OTRY(std::visit([this](auto& r) { return take(r); }, record));
        more = !std::holds_alternative<proto::saved::ImageEnd>(record);
    }
    OTRY(reader.finish());
    return pages_.complete();
}

Outcome<> Restoration::take(const proto::saved::CpuidPolicy& policy) {
    for (const auto& l : policy.leaves) policy_.leaves.push_back({l.leaf, l.subleaf, l.a, l.b, l.c, l.d});
    return base::ok;
}

Outcome<> Restoration::take(const proto::saved::MsrPolicy& policy) {
    for (const auto& m : policy.msrs) policy_.msrs.push_back({m.idx, m.val});
    return base::ok;
}

Outcome<> Restoration::take(const proto::saved::StaticDataEnd&) {
    if (policy_.leaves.empty() && policy_.msrs.empty()) return base::ok;
    return control_.set_cpu_policy(domain_, policy_).context("This machine cannot offer the CPU that the domain was saved with");
}

Outcome<> Restoration::take(proto::saved::P2mFrames& frames) {
    // The maximum stands in the file too, and may be anything.
    const uint64_t owned = std::min(std::max(input_.memory_kib, input_.max_memory_kib) / 4, machine_pages_);
    list_pfns_ = std::move(frames.pfns);
    return pages_.begin(frames.last_pfn, owned);
}

Outcome<> Restoration::take(const proto::saved::TscInfo& info) {
    return control_.set_tsc_info(domain_, {info.mode, info.khz, info.incarnation, info.elapsed_ns});
}

Outcome<> Restoration::take(proto::saved::SharedInfo& info) {
    shared_ = std::move(info.page);
    return base::ok;
}

Outcome<> Restoration::take(VcpuState& state) {
    const uint32_t most = std::max(input_.vcpus, input_.max_vcpus);
    if (state.vcpu >= most)
        return bad("the image has a vCPU " + std::to_string(state.vcpu) + ", and the configuration " + std::to_string(most) +
                   " of them");
    vcpus_.push_back(std::move(state));
    return base::ok;
}

/// What the guest finds again is its own; what hangs on events starts afresh: it binds them again.
Outcome<> Restoration::write_shared_info(Mfn frame) {
    const auto old = first_of<xen::SharedInfo>(shared_);
    const Gfn gfn{frame.raw};
    const auto mapping = OTRY(control_.map(domain_, {&gfn, 1}, xencall::Access::read_write));
    auto now = first_of<xen::SharedInfo>(mapping.bytes());
    std::ranges::copy(old.vcpu_info, now.vcpu_info);
    now.arch = old.arch;
    now.arch.pfn_to_mfn_frame_list_list = 0;
    for (xen::VcpuInfo& vcpu : now.vcpu_info) vcpu.evtchn_pending_sel = 0;
    std::ranges::fill(now.evtchn_pending, 0);
    std::ranges::fill(now.evtchn_mask, ~uint64_t{0});
    std::memcpy(mapping.data(), &now, sizeof now);
    return base::ok;
}

/// The start-info page, in which the guest left pages in place of frames when it suspended.
Outcome<BuiltDomain> Restoration::write_start_info(Mfn frame, Mfn shared_info, const DomainPorts& ports) {
    const Gfn gfn{frame.raw};
    const auto mapping = OTRY(control_.map(domain_, {&gfn, 1}, xencall::Access::read_write));
    auto info = first_of<xen::StartInfo>(mapping.bytes());
    const Mfn store = OTRY(pages_.frame(info.store_mfn, 0, "the ring of the store"));
    const Mfn console = OTRY(pages_.frame(info.console.domU.mfn, 0, "the ring of the console"));
    info.nr_pages = pages_.count();
    info.shared_info = shared_info.address();
    info.flags = 0;
    info.store_mfn = store.raw;
    info.store_evtchn = ports.store.raw;
    info.console.domU.mfn = console.raw;
    info.console.domU.evtchn = ports.console.raw;
    std::memcpy(mapping.data(), &info, sizeof info);
    return BuiltDomain{domain_, store, ports.store, console, ports.console};
}

Outcome<> Restoration::to_frames(xen::VcpuGuestContext& context, uint32_t vcpu) const {
    const std::string of = " of vCPU " + std::to_string(vcpu);
    if (vcpu == 0) context.user_regs.rdx = OTRY(pages_.frame(context.user_regs.rdx, 0, "the start-info page")).raw;
    constexpr uint64_t entries_per_frame = 512;
    if (context.gdt_ents > xen::FIRST_RESERVED_GDT_ENTRY) return bad("the GDT" + of + " is too long");
    const uint64_t gdt_frames = (context.gdt_ents + entries_per_frame - 1) / entries_per_frame;
    for (uint64_t i = 0; i < gdt_frames; ++i)
        context.gdt_frames[i] = OTRY(pages_.frame(context.gdt_frames[i], 0, "the GDT" + of)).raw;
    constexpr unsigned top = 4;
    context.ctrlreg[3] = OTRY(pages_.frame(frame_of(context.ctrlreg[3]), top, "the page-table root" + of)).address();
    if ((context.ctrlreg[1] & 1) != 0) {
        context.ctrlreg[1] =
            OTRY(pages_.frame(frame_of(context.ctrlreg[1]), top, "the page-table root for user mode" + of)).address();
    } else if (context.ctrlreg[1] != 0) {
        return bad("the page-table root for user mode" + of + " has no mark");
    }
    context.flags |= xen::VGCF_online;
    return base::ok;
}

Outcome<> Restoration::set_vcpu(const VcpuState& state) {
    const VcpuId vcpu{state.vcpu};
    switch (state.type) {
        case Record::vcpu_extended: return control_.set_vcpu_extended(domain_, vcpu, state.bytes);
        case Record::vcpu_xsave: return control_.set_vcpu_xsave(domain_, vcpu, state.bytes);
        case Record::vcpu_msrs: {
            std::vector<xenctrl::MsrEntry> msrs;
            for (size_t at = 0; at < state.bytes.size(); at += sizeof(xen::DomctlVcpuMsr)) {
                const auto m = first_of<xen::DomctlVcpuMsr>(std::span(state.bytes).subspan(at));
                msrs.push_back({m.index, m.value});
            }
            return control_.set_vcpu_msrs(domain_, vcpu, msrs);
        }
        default: break;
    }
    auto context = first_of<xen::VcpuGuestContext>(state.bytes);
    OTRY(to_frames(context, state.vcpu));
    return control_.set_vcpu_context(domain_, vcpu, context);
}

Outcome<BuiltDomain> Restoration::complete(const DomainPorts& ports) {
    const Mfn shared_info = OTRY(control_.info(domain_)).shared_info;
    // There is one: the reader ends no image without it.
    const auto boot =
        std::ranges::find_if(vcpus_, [](const VcpuState& s) { return s.vcpu == 0 && s.type == Record::vcpu_basic; });
    const auto first = first_of<xen::VcpuGuestContext>(boot->bytes);
    const Mfn start_info = OTRY(pages_.frame(first.user_regs.rdx, 0, "the start-info page"));
    const BuiltDomain built = OTRY(write_start_info(start_info, shared_info, ports));
    OTRY(write_shared_info(shared_info));
    // Contexts before pins: the tables of the roots in use are then validated once, from the root.
    for (const VcpuState& state : vcpus_) OTRY(set_vcpu(state).context("vCPU " + std::to_string(state.vcpu)));
    const auto pins = pages_.pins();
    OTRY(control_.pin(domain_, pins));
    OTRY(pages_.unpin_early());
    OTRY(pages_.write_list(list_pfns_));
    OTRY(builder::seed_grants(control_, domain_, input_, built.console_frame, built.store_frame));
    return built;
}

Outcome<> set_up(Control& control, DomId domain, const BuildInput& input) {
    if (input.time_offset != 0) OTRY(control.set_time_offset(domain, input.time_offset));
    OTRY(builder::set_scheduling(control, domain, input));
    OTRY(builder::limit_memory(control, domain, std::max(input.memory_kib, input.max_memory_kib) / 4));
    return control.claim(domain, input.memory_kib / 4);
}

}  // namespace

Outcome<BuiltDomain> restore(Control& control, builder::StoreIntroduce& store, proto::saved::Reader& reader,
                             const BuildInput& input, builder::BuildObserver* observer) {
    const xenctrl::PhysInfo machine = OTRY(control.physinfo());
    OTRY(builder::check_memory(machine, input.memory_kib / 4));
    builder::Undo undo;
    const DomId domain = OTRY(control.create(builder::create_options(input, machine)));
    undo.on_failure([&control, domain] { static_cast<void>(control.destroy(domain)); });
    if (observer != nullptr) OTRY(observer->created(domain));
    OTRY(set_up(control, domain, input));
    if (observer != nullptr) observer->claimed();
    Restoration restoration(control, domain, input, machine.total_pages);
    OTRY(restoration.read(reader));
    OTRY(control.claim(domain, 0));
    const DomainPorts ports = OTRY(builder::open_ports(control, domain, input));
    const BuiltDomain built = OTRY(restoration.complete(ports));
    OTRY(store.introduce(domain, built.store_frame, built.store_port));
    undo.commit();
    return built;
}

}  // namespace migration
