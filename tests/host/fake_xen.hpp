// SPDX-License-Identifier: Apache-2.0
// A hypervisor small enough to check the tools against: domains with memory, event channels, a grant table and page
// tables to pin. It counts every call, can fail any one of them, and tells what is left over.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "abi/xen/domctl.hpp"
#include "abi/xen/event_channel.hpp"
#include "abi/xen/grant_table.hpp"
#include "abi/xen/memory.hpp"
#include "abi/xen/sysctl.hpp"
#include "abi/xen/version.hpp"
#include "toolstack/xencall/backend.hpp"

namespace testing_tools {

using base::DomId;
using base::Errc;
using base::Outcome;

struct FakeDomain {
    bool paused = true;
    uint32_t max_vcpus = 0;
    uint32_t made_vcpus = 0;
    uint64_t max_kib = 0;
    uint64_t shared_info = 0;
    uint64_t grant_frame = 0;
    uint64_t claim = 0;
    std::map<uint64_t, uint64_t> mfn_to_pfn;  // the M2P, as populate told it
    uint32_t next_port = 1;
    uint64_t pinned = 0;
    uint64_t hypercall_page = 0;
    std::optional<xen::VcpuGuestContext> context;
    std::vector<uint8_t> map;
    xen::DomainHandle handle{};
};

class FakeXen final : public xencall::Backend {
public:
    static constexpr uint64_t machine_pages = 48 << 10;  // 192 MiB

    FakeXen() : memory_(::memfd_create("machine", MFD_CLOEXEC)) {
        if (memory_ < 0 || ::ftruncate(memory_, static_cast<off_t>(machine_pages * base::page_size)) != 0) std::abort();
    }
    ~FakeXen() override { ::close(memory_); }
    FakeXen(const FakeXen&) = delete;
    FakeXen& operator=(const FakeXen&) = delete;

    /// Call number `call` (from 1, counted by `calls`) fails with `code`. 0: none.
    uint64_t fail_call = 0;
    Errc fail_code = Errc::nomem;
    uint64_t calls = 0;
    std::vector<std::string> log;
    std::map<uint16_t, FakeDomain> domains;
    unsigned mappings = 0;
    unsigned buffers = 0;
    bool no_large_extents = false;
    unsigned destroy_pieces = 0;  // how often destroydomain asks to be called again

    uint64_t free_pages() const { return machine_pages - used_.size(); }

    /// One machine page's contents.
    std::vector<uint64_t> page(uint64_t mfn) const {
        std::vector<uint64_t> words(512);
        if (::pread(memory_, words.data(), base::page_size, static_cast<off_t>(mfn * base::page_size)) != 4096) std::abort();
        return words;
    }

    int64_t hypercall(uint64_t number, const std::array<uint64_t, 5>& a) override {
        switch (number) {
            case xen::HYPERVISOR_domctl: return domctl(*at<xen::Domctl>(a[0]));
            case xen::HYPERVISOR_sysctl: return sysctl(*at<xen::Sysctl>(a[0]));
            case xen::HYPERVISOR_memory_op: return memory_op(a[0], a[1]);
            case xen::HYPERVISOR_event_channel_op: return alloc_unbound(*at<xen::EvtchnAllocUnbound>(a[1]));
            case xen::HYPERVISOR_mmuext_op: return pin(*at<xen::MmuextOp>(a[0]), static_cast<uint16_t>(a[3]));
            case xen::HYPERVISOR_xen_version: return version(a[0], a[1]);
            default: return error(Errc::nosys);
        }
    }

    Outcome<void*> allocate(size_t pages) override {
        void* p = std::aligned_alloc(base::page_size, pages * base::page_size);
        std::memset(p, 0, pages * base::page_size);
        ++buffers;
        return p;
    }
    void release(void* at, size_t) noexcept override {
        std::free(at);
        --buffers;
    }

    Outcome<xencall::ForeignMapping> map_foreign(DomId domain, std::span<const base::Gfn> frames, xencall::Access) override {
        if (const int64_t r = step("map_foreign"); r < 0) return base::fail(static_cast<Errc>(-r), "injected");
        const auto d = domains.find(domain.raw);
        if (d == domains.end()) return base::fail(Errc::srch, "no domain");
        for (const base::Gfn f : frames) {
            const bool own = d->second.mfn_to_pfn.contains(f.raw) || f.raw == d->second.shared_info;
            if (!own) return base::fail(Errc::inval, "not the domain's: " + std::to_string(f.raw));
            if (f.raw == d->second.pinned) return base::fail(Errc::perm, "writable mapping of a page table");
        }
        return map_frames(frames);
    }
    Outcome<xencall::ForeignMapping> map_resource(DomId domain, uint32_t type, uint32_t, uint64_t, size_t count) override {
        if (const int64_t r = step("map_resource"); r < 0) return base::fail(static_cast<Errc>(-r), "injected");
        const auto d = domains.find(domain.raw);
        if (d == domains.end() || type != xen::XENMEM_resource_grant_table || count != 1)
            return base::fail(Errc::inval, "no such resource");
        const base::Gfn frame{d->second.grant_frame};
        return map_frames({&frame, 1});
    }
    void unmap(void* at, size_t pages) noexcept override {
        ::munmap(at, pages * base::page_size);
        --mappings;
    }
    Outcome<std::unique_ptr<xencall::EventChannels>> open_event_channels() override {
        return base::fail(Errc::nosys, "none here");
    }
    Outcome<std::unique_ptr<xencall::Grants>> open_grants() override { return base::fail(Errc::nosys, "none here"); }

private:
    template <class T>
    static T* at(uint64_t address) {
        return reinterpret_cast<T*>(address);
    }
    static int64_t error(Errc code) { return -static_cast<int64_t>(code); }

    int64_t step(const std::string& what) {
        log.push_back(what);
        return ++calls == fail_call ? error(fail_code) : 0;
    }

    std::optional<uint64_t> take(uint64_t pages) {
        uint64_t& hint = next_[pages];  // everything below is known to be taken
        for (uint64_t start = hint; start + pages <= machine_pages; start += pages) {
            const auto hit = used_.lower_bound(start);
            if (hit != used_.end() && *hit < start + pages) continue;
            for (uint64_t i = 0; i < pages; ++i) used_.insert(start + i);
            dirty(start, pages);
            hint = start + pages;
            return start;
        }
        return std::nullopt;
    }
    /// Fresh memory is not clean: whoever needs zeros must write them.
    void dirty(uint64_t start, uint64_t pages) {
        const std::vector<uint8_t> filler(base::page_size, 0xc2);
        for (uint64_t i = 0; i < pages; ++i)
            if (::pwrite(memory_, filler.data(), filler.size(), static_cast<off_t>((start + i) * base::page_size)) < 0)
                std::abort();
    }

    Outcome<xencall::ForeignMapping> map_frames(std::span<const base::Gfn> frames) {
        void* at = ::mmap(nullptr, frames.size() * base::page_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (size_t i = 0; i < frames.size();) {
            size_t run = 1;
            while (i + run < frames.size() && frames[i + run].raw == frames[i].raw + run) ++run;
            void* to = static_cast<std::byte*>(at) + i * base::page_size;
            if (::mmap(to, run * base::page_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory_,
                       static_cast<off_t>(frames[i].address())) != to)
                std::abort();
            i += run;
        }
        ++mappings;
        return xencall::ForeignMapping(*this, at, frames.size());
    }

    int64_t domctl(xen::Domctl& op) {
        static const std::map<uint32_t, const char*> names{
            {xen::XEN_DOMCTL_createdomain, "create"},      {xen::XEN_DOMCTL_max_vcpus, "max_vcpus"},
            {xen::XEN_DOMCTL_destroydomain, "destroy"},    {xen::XEN_DOMCTL_max_mem, "max_mem"},
            {xen::XEN_DOMCTL_getdomaininfo, "info"},       {xen::XEN_DOMCTL_setvcpucontext, "set_context"},
            {xen::XEN_DOMCTL_hypercall_init, "hypercall"}, {xen::XEN_DOMCTL_unpausedomain, "unpause"},
            {xen::XEN_DOMCTL_pausedomain, "pause"}};
        const auto name = names.find(op.cmd);
        if (const int64_t r = step(name == names.end() ? "domctl " + std::to_string(op.cmd) : name->second); r < 0) return r;
        if (op.interface_version != xen::XEN_DOMCTL_INTERFACE_VERSION) return error(Errc::access);
        if (op.cmd == xen::XEN_DOMCTL_createdomain) return create(op);
        if (op.cmd == xen::XEN_DOMCTL_getdomaininfo) return info(op);
        const auto found = domains.find(op.domain);
        if (found == domains.end()) return error(Errc::srch);
        FakeDomain& d = found->second;
        switch (op.cmd) {
            case xen::XEN_DOMCTL_destroydomain: return destroy(found);
            case xen::XEN_DOMCTL_max_vcpus: d.made_vcpus = op.u.max_vcpus.max; return 0;
            case xen::XEN_DOMCTL_max_mem: d.max_kib = op.u.max_mem.max_memkb; return 0;
            case xen::XEN_DOMCTL_hypercall_init: d.hypercall_page = op.u.hypercall_init.gmfn; return 0;
            case xen::XEN_DOMCTL_setvcpucontext: d.context = *at<xen::VcpuGuestContext>(op.u.vcpucontext.ctxt.addr); return 0;
            case xen::XEN_DOMCTL_unpausedomain: d.paused = false; return 0;
            case xen::XEN_DOMCTL_pausedomain: d.paused = true; return 0;
            default: return error(Errc::nosys);
        }
    }

    int64_t create(xen::Domctl& op) {
        FakeDomain d;
        d.max_vcpus = op.u.createdomain.max_vcpus;
        d.handle = op.u.createdomain.handle;
        d.shared_info = *take(1);
        d.grant_frame = *take(1);
        op.domain = next_domain_++;
        domains.emplace(op.domain, d);
        return 0;
    }

    int64_t destroy(std::map<uint16_t, FakeDomain>::iterator d) {
        if (destroy_pieces != 0) {
            --destroy_pieces;
            return error(Errc::again);
        }
        for (const auto& [mfn, pfn] : d->second.mfn_to_pfn) used_.erase(mfn);
        used_.erase(d->second.shared_info);
        used_.erase(d->second.grant_frame);
        next_.clear();
        domains.erase(d);
        return 0;
    }

    void describe(uint16_t id, const FakeDomain& d, xen::DomctlGetDomainInfo& out) {
        std::memset(&out, 0, sizeof out);
        out.domain = id;
        out.flags = d.paused ? xen::XEN_DOMINF_paused : xen::XEN_DOMINF_running;
        out.tot_pages = d.mfn_to_pfn.size();
        out.max_pages = d.max_kib / 4;
        out.shared_info_frame = d.shared_info;
        out.nr_online_vcpus = d.context ? 1 : 0;
        out.max_vcpu_id = d.made_vcpus - 1;
        out.handle = d.handle;
    }

    int64_t info(xen::Domctl& op) {
        const auto d = domains.lower_bound(op.domain);
        if (d == domains.end()) return error(Errc::srch);
        op.domain = d->first;
        describe(d->first, d->second, op.u.getdomaininfo);
        return 0;
    }

    int64_t sysctl(xen::Sysctl& op) {
        if (const int64_t r = step("sysctl " + std::to_string(op.cmd)); r < 0) return r;
        if (op.interface_version != xen::XEN_SYSCTL_INTERFACE_VERSION) return error(Errc::access);
        if (op.cmd == xen::XEN_SYSCTL_physinfo) {
            op.u.physinfo.total_pages = machine_pages;
            op.u.physinfo.free_pages = free_pages();
            op.u.physinfo.nr_cpus = 2;
            op.u.physinfo.max_cpu_id = 1;
            op.u.physinfo.capabilities = xen::XEN_SYSCTL_PHYSCAP_pv | xen::XEN_SYSCTL_PHYSCAP_gnttab_v1;
            return 0;
        }
        if (op.cmd == xen::XEN_SYSCTL_sched_id) {
            op.u.sched_id.sched_id = xen::XEN_SCHEDULER_CREDIT;
            return 0;
        }
        if (op.cmd == xen::XEN_SYSCTL_readconsole) return read_console(op.u.readconsole);
        if (op.cmd != xen::XEN_SYSCTL_getdomaininfolist) return error(Errc::nosys);
        auto& list = op.u.getdomaininfolist;
        list.num_domains = 0;
        for (auto d = domains.lower_bound(list.first_domain); d != domains.end() && list.num_domains < list.max_domains; ++d)
            describe(d->first, d->second, at<xen::DomctlGetDomainInfo>(list.buffer.addr)[list.num_domains++]);
        return 0;
    }

    int64_t memory_op(uint64_t command, uint64_t argument) {
        switch (command) {
            case xen::XENMEM_populate_physmap: return populate(*at<xen::MemoryReservation>(argument));
            case xen::XENMEM_claim_pages: {
                if (const int64_t r = step("claim"); r < 0) return r;
                const auto& op = *at<xen::MemoryReservation>(argument);
                if (op.nr_extents > free_pages()) return error(Errc::nomem);
                domains.at(op.domid).claim = op.nr_extents;
                return 0;
            }
            case xen::XENMEM_set_memory_map: {
                if (const int64_t r = step("memory_map"); r < 0) return r;
                const auto& op = *at<xen::ForeignMemoryMap>(argument);
                const auto* from = at<uint8_t>(op.map.buffer.addr);
                domains.at(op.domid).map.assign(from, from + op.map.nr_entries * 20);
                return 0;
            }
            default: return error(Errc::nosys);
        }
    }

    int64_t populate(const xen::MemoryReservation& op) {
        if (const int64_t r = step("populate " + std::to_string(op.extent_order)); r < 0) return r;
        if (op.extent_order != 0 && no_large_extents) return 0;
        FakeDomain& d = domains.at(op.domid);
        auto* frames = at<uint64_t>(op.extent_start.addr);
        const uint64_t size = uint64_t{1} << op.extent_order;
        for (uint64_t i = 0; i < op.nr_extents; ++i) {
            const auto start = take(size);
            if (!start) return static_cast<int64_t>(i);
            for (uint64_t k = 0; k < size; ++k) d.mfn_to_pfn[*start + k] = frames[i] + k;
            frames[i] = *start;
        }
        return static_cast<int64_t>(op.nr_extents);
    }

    int64_t alloc_unbound(xen::EvtchnAllocUnbound& op) {
        if (const int64_t r = step("alloc_unbound"); r < 0) return r;
        op.port = domains.at(op.dom).next_port++;
        return 0;
    }

    int64_t pin(const xen::MmuextOp& op, uint16_t domain) {
        if (const int64_t r = step("pin"); r < 0) return r;
        if (op.cmd != xen::MMUEXT_PIN_L4_TABLE || mappings != 0) return error(Errc::inval);  // a writable mapping is in the way
        domains.at(domain).pinned = op.arg1.mfn;
        return 0;
    }

    int64_t version(uint64_t command, uint64_t argument) {
        if (command == xen::XENVER_version) return 4 << 16 | 17;
        if (command == xen::XENVER_pagesize) return 4096;
        if (command == xen::XENVER_capabilities) std::strcpy(at<char>(argument), "xen-3.0-x86_64 ");
        if (command == xen::XENVER_extraversion) std::memset(at<char>(argument), 'x', 16);  // not terminated
        return 0;
    }

    int64_t read_console(xen::SysctlReadConsole& op) {
        const uint32_t n = std::min<uint32_t>(op.count, static_cast<uint32_t>(console.size()));
        std::memcpy(at<char>(op.buffer.addr), console.data(), n);
        op.count = n;
        if (op.clear != 0) console.clear();
        return 0;
    }

public:
    std::string console = "(XEN) hello\n";

private:
    int memory_;
    std::set<uint64_t> used_{0};  // frame 0 is never given out
    std::map<uint64_t, uint64_t> next_;
    uint16_t next_domain_ = 1;
};

}  // namespace testing_tools
