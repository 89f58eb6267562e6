// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/guest.hpp"

#include <cstdlib>
#include <cstring>

#include "abi/xen/event_channel.hpp"
#include "abi/xen/sched.hpp"
#include "abi/xen/xs_wire.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "lib/proto/ring.hpp"

namespace sim {

uint8_t* guest_virtual(hv::Vcpu& vcpu, uint64_t virt) {
    uint64_t table = vcpu.pv->kernel_root.raw;
    for (int shift = 39; shift >= 12; shift -= 9) {
        const uint64_t entry = hv::map_mfn<uint64_t>(hv::Mfn{table})[(virt >> shift) & 511];
        if ((entry & 1) == 0) return nullptr;
        table = (entry & 0x000f'ffff'ffff'f000) >> 12;
    }
    return hv::map_mfn(hv::Mfn{table}) + (virt & 0xfff);
}

namespace {

constexpr uint64_t suspended_here = 0x53555350;  // in r15: where a restored kernel goes on

}  // namespace

void GuestKernel::run(GuestCpu& cpu) {
    if (suspended_ || (!booted_ && cpu.vcpu().regs.r15 == suspended_here)) resume(cpu);
    if (!booted_) return boot(cpu);
    xen::SharedInfo& shared = *cpu.vcpu().domain.shared;
    for (auto& word : shared.evtchn_pending) word = 0;
    cpu.vcpu().info.load()->evtchn_pending_sel = 0;
    receive(cpu);
}

void GuestKernel::boot(GuestCpu& cpu) {
    booted_ = true;
    const uint8_t* at = guest_virtual(cpu.vcpu(), cpu.vcpu().regs.rsi);
    if (at == nullptr) return cpu.shutdown(xen::SHUTDOWN_crash);
    std::memcpy(&info_, at, sizeof info_);
    const std::string_view command_line(reinterpret_cast<const char*>(info_.cmd_line));
    if (command_line.find("crash") != std::string_view::npos) return cpu.shutdown(xen::SHUTDOWN_crash);
    publish(cpu);
    cpu.vcpu().info.load()->evtchn_upcall_mask = 0;
    print(cpu, "booted with: " + std::string(command_line) + "\n");
    send(cpu, xen::XS_WATCH, std::string("control/shutdown\0s\0", 19));
    send(cpu, xen::XS_WRITE, std::string("control/feature-poweroff\0001", 26));
    send(cpu, xen::XS_WRITE, std::string("control/feature-suspend\0001", 25));
}

/// As Linux: tools are told where the P2M is.
void GuestKernel::publish(GuestCpu& cpu) {
    xen::SharedInfo& shared = *cpu.vcpu().domain.shared;
    shared.arch.max_pfn = info_.nr_pages;
    shared.arch.p2m_cr3 = cpu.vcpu().pv->kernel_root.raw << 12;
    shared.arch.p2m_vaddr = info_.mfn_list;
}

/// What Linux does: start_info has pages in place of frames.
void GuestKernel::suspend(GuestCpu& cpu) {
    if (ignores_suspend) return;
    hv::Vcpu& v = cpu.vcpu();
    send(cpu, xen::XS_WRITE, std::string("control/shutdown\0", 17));
    publish(cpu);
    const uint64_t pages = info_.nr_pages;
    const uint64_t* page = nullptr;
    for (uint64_t pfn = 0; pfn < pages; ++pfn) {
        if (pfn % 512 == 0) page = reinterpret_cast<const uint64_t*>(guest_virtual(v, info_.mfn_list + pfn * 8));
        auto* bytes = cpu.frame(page[pfn % 512]);
        if (std::memcmp(bytes, &info_, 32) != 0) continue;  // the magic text of start_info
        auto* info = reinterpret_cast<xen::StartInfo*>(bytes);
        info->store_mfn = hv::m2p(hv::Mfn{info->store_mfn});
        info->console.domU.mfn = hv::m2p(hv::Mfn{info->console.domU.mfn});
        hv::dirtied(info);  // as its CPU would tell the log
        v.regs.rdx = page[pfn % 512];
    }
    v.regs.r15 = suspended_here;
    v.regs.rax = 0;
    suspended_ = true;
    cpu.shutdown(xen::SHUTDOWN_suspend);
}

/// In a new domain, or in the old one when the suspension was called off: rax tells which.
void GuestKernel::resume(GuestCpu& cpu) {
    const bool called_off = cpu.vcpu().regs.rax == 1;
    auto* info = reinterpret_cast<xen::StartInfo*>(cpu.frame(cpu.vcpu().regs.rdx));
    if (called_off) {
        info->store_mfn = info_.store_mfn;
        info->console.domU.mfn = info_.console.domU.mfn;
    }
    std::memcpy(&info_, info, sizeof info_);
    booted_ = true;
    publish(cpu);
    suspended_ = false;
    cpu.vcpu().regs.r15 = 0;
    cpu.vcpu().info.load()->evtchn_upcall_mask = 0;
    for (auto& word : cpu.vcpu().domain.shared->evtchn_mask) word = 0;
    print(cpu, called_off ? "goes on\n" : "restored\n");
    if (!called_off) send(cpu, xen::XS_WATCH, std::string("control/shutdown\0s\0", 19));
}

void GuestKernel::notify(GuestCpu& cpu, uint32_t port) {
    const xen::EvtchnSend op{port};
    cpu.hypercall(xen::HYPERVISOR_event_channel_op, {xen::EVTCHNOP_send, reinterpret_cast<uint64_t>(&op)});
}

void GuestKernel::print(GuestCpu& cpu, std::string_view text) {
    auto* page = reinterpret_cast<xen::XenconsInterface*>(cpu.frame(info_.console.domU.mfn));
    const proto::ByteRing out({page->out, sizeof page->out}, &page->out_cons, &page->out_prod);
    static_cast<void>(out.write(std::as_bytes(std::span(text))));
    hv::dirtied(page);
    notify(cpu, info_.console.domU.evtchn);
}

void GuestKernel::send(GuestCpu& cpu, uint32_t type, std::string_view payload) {
    auto* page = reinterpret_cast<xen::XenstoreDomainInterface*>(cpu.frame(info_.store_mfn));
    const proto::ByteRing out({page->req, sizeof page->req}, &page->req_cons, &page->req_prod);
    const xen::XsdSockMsg header{type, next_request_++, 0, static_cast<uint32_t>(payload.size())};
    std::string message(reinterpret_cast<const char*>(&header), sizeof header);
    message += payload;
    static_cast<void>(out.write(std::as_bytes(std::span(message))));
    hv::dirtied(page);
    notify(cpu, info_.store_evtchn);
}

void GuestKernel::receive(GuestCpu& cpu) {
    auto* page = reinterpret_cast<xen::XenstoreDomainInterface*>(cpu.frame(info_.store_mfn));
    const proto::ByteRing in({page->rsp, sizeof page->rsp}, &page->rsp_cons, &page->rsp_prod);
    std::byte chunk[256];
    for (auto n = in.read(chunk); n && n.value() != 0; n = in.read(chunk)) {
        input_.append(reinterpret_cast<const char*>(chunk), n.value());
        hv::dirtied(page);
        notify(cpu, info_.store_evtchn);
    }
    while (input_.size() >= sizeof(xen::XsdSockMsg)) {
        xen::XsdSockMsg header;
        std::memcpy(&header, input_.data(), sizeof header);
        if (input_.size() < sizeof header + header.len) return;
        const std::string payload = input_.substr(sizeof header, header.len);
        input_.erase(0, sizeof header + header.len);
        handle(cpu,
               header.type == xen::XS_WATCH_EVENT ? header.type : (header.req_id == waiting_for_ ? uint32_t{xen::XS_READ} : 0),
               payload);
    }
}

void GuestKernel::handle(GuestCpu& cpu, uint32_t type, const std::string& payload) {
    if (type == xen::XS_WATCH_EVENT) {
        waiting_for_ = next_request_;
        send(cpu, xen::XS_READ, std::string("control/shutdown\0", 17));
        return;
    }
    if (type != xen::XS_READ) return;
    if (payload == "suspend") return suspend(cpu);
    if (payload != "poweroff" && payload != "reboot" && payload != "halt") return;
    send(cpu, xen::XS_WRITE, std::string("control/shutdown\0", 17));
    print(cpu, payload + "\n");
    cpu.shutdown(payload == "reboot" ? xen::SHUTDOWN_reboot : xen::SHUTDOWN_poweroff);
}

Guests::Guests(Machine& machine) : machine_(machine) {
    machine_.program = [this](GuestCpu& cpu) {
        if (cpu.vcpu().id.raw == 0) kernels_[cpu.domain().raw].run(cpu);
    };
}

Guests::~Guests() {
    const std::lock_guard guard(machine_.lock());
    machine_.program = nullptr;
}

}  // namespace sim
