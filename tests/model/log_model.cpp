// SPDX-License-Identifier: Apache-2.0
#include "tests/model/log_model.hpp"

#include <cstdio>
#include <cstring>

#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/domain/guest_kind.hpp"
#include "hypervisor/guest/pv/mirror.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "tests/model/guest.hpp"

namespace hvmodel {

namespace {

constexpr unsigned entries = 512;

uint64_t frame_in(uint64_t e) { return Mfn::of_address(e & pte::frame_mask).raw; }

/// Looks at all that a domain's CPUs can reach, by the rules and not by the code that follows them.
class Mirrored {
    Domain& d_;
    std::set<std::pair<uint64_t, unsigned>> seen_;
    std::string wrong_;

    __attribute__((format(printf, 2, 3))) void complain(const char* format, ...) {
        if (!wrong_.empty()) return;
        char text[256];
        va_list ap;
        va_start(ap, format);
        std::vsnprintf(text, sizeof text, format, ap);
        va_end(ap);
        wrong_ = text;
    }

    void leaf(uint64_t mirror, unsigned i, uint64_t e, uint64_t m) {
        constexpr uint64_t own = pte::dirty | pte::rw;
        if (!(e & pte::present) || !(e & pte::accessed))
            complain("mirror %lx [%u] is present, and the guest's entry not used", mirror, i);
        if ((m & pte::rw) && (!(e & pte::rw) || !(e & pte::dirty)))
            complain("mirror %lx [%u] is writable, and the guest's entry not writable and dirty", mirror, i);
        if ((m ^ e) & ~own) complain("mirror %lx [%u] is %016lx for %016lx", mirror, i, m, e);
    }

    void inner(uint64_t mirror, unsigned level, unsigned i, uint64_t e, uint64_t m) {
        if (!(e & pte::present) || !(e & pte::accessed))
            complain("mirror %lx [%u] is present, and the guest's entry not used", mirror, i);
        const PageInfo& below = frame_table[frame_in(m)];
        if (below.owner.load() != no_owner) return complain("mirror %lx [%u] leads to a page that is no mirror", mirror, i);
        if (below.stamp.load() != frame_in(e) || (below.progress_flags & 7) != level - 1)
            return complain("mirror %lx [%u] leads to the mirror of another table", mirror, i);
        if ((m ^ e) & ~pte::frame_mask) complain("mirror %lx [%u] is %016lx for %016lx", mirror, i, m, e);
        table(frame_in(m), level - 1);
    }

    void table(uint64_t mirror, unsigned level) {
        if (!seen_.insert({mirror, level}).second) return;
        constexpr uint8_t generation = 0x80;
        if ((frame_table[mirror].progress_flags & generation) != d_.pv->mirrors->generation)
            return complain("a root leads to mirror %lx, which was left to itself", mirror);
        const PageInfo& of = frame_table[frame_table[mirror].stamp.load()];
        const uint64_t word = of.type.load();
        if (of.owner.load() != d_.id.raw || !is_table(type_of(word)) || !(word & page::validated))
            return complain("mirror %lx is of a page that is no table", mirror);
        const auto* guests = map_mfn<uint64_t>(mfn_of(of));
        const auto* own = map_mfn<uint64_t>(Mfn(mirror));
        for (unsigned i = 0; i < entries; ++i) {
            if (type_of(word) == PageType::l4 && is_hypervisor_slot(i)) {
                if (own[i] != (level == 4 ? guests[i] : 0)) complain("mirror %lx [%u] is not the hypervisor's slot", mirror, i);
            } else if (!(own[i] & pte::present)) {
                if (own[i] != 0) complain("mirror %lx [%u] has something that is not present", mirror, i);
            } else if (level == 1) {
                leaf(mirror, i, guests[i], own[i]);
            } else {
                inner(mirror, level, i, guests[i], own[i]);
            }
        }
    }

    void root(const PvVcpu& pv, Mfn PvVcpu::*root) {
        const Mfn meant = pv.*root, loaded = pv.*pv_cr3_of(root);
        const bool mirrors = d_.pv->mirrors && !d_.pv->mirrors->ending;
        if (!mirrors || meant.raw == 0) {
            if (loaded != meant) complain("d%u has no mirrors, and a root other than the guest's", d_.id.raw);
            return;
        }
        if (frame_table[loaded.raw].owner.load() != no_owner || frame_table[loaded.raw].stamp.load() != meant.raw)
            return complain("d%u runs on something else than its root's mirror", d_.id.raw);
        table(loaded.raw, 4);
    }

    void lists() {
        const Mirrors* m = d_.pv->mirrors;
        if (!m) return;
        uint64_t pages = 0;
        for (const Mirrors::List* l : {&m->leaves, &m->inner, &m->left, &m->unused}) {
            uint32_t before = 0;
            for (uint32_t f = l->first; f; before = f, f = frame_table[f].next, ++pages) {
                if (frame_table[f].prev != before || frame_table[f].owner.load() != no_owner)
                    return complain("a list of mirrors is torn");
                if (l == &m->unused) unused(f);
            }
            if (l->last != before) return complain("a list of mirrors has another end");
        }
        if (pages != m->pages) complain("d%u has %lu pages for mirrors and counts %u", d_.id.raw, pages, m->pages);
    }

    void unused(uint32_t f) {
        for (unsigned i = 0; i < entries; ++i)
            if (map_mfn<uint64_t>(Mfn(f))[i]) return complain("page %x, which is no mirror any more, has an entry [%u]", f, i);
    }

public:
    explicit Mirrored(Domain& d) : d_(d) {}
    std::string check() {
        for (uint32_t i = 0; d_.vcpus && i < d_.limits.max_vcpus; ++i) {
            const Vcpu* v = d_.vcpus[i];
            if (!v || !v->pv) continue;
            root(*v->pv, &PvVcpu::kernel_root);
            root(*v->pv, &PvVcpu::user_root);
        }
        lists();
        return wrong_;
    }
};

}  // namespace

std::string check_mirrors() {
    std::string wrong;
    for (DomainRef d = next_domain(DomId(0)); d && wrong.empty(); d = next_domain(DomId::from_reg(d->id.raw + 1u)))
        if (d->pv) wrong = Mirrored(*d).check();
    return wrong;
}

// -- the reader ---------------------------------------------------------------------------------------------------------

LogReader::LogReader(Domain& d) : d_(d) {
    Status s = dirty_log_start(d);
    while (!s && s.error() == Errc::restart) s = dirty_log_start(d);
    if (!s) broken("a log that does not begin");
    log_ = d.dirty_log.load();
    refresh(nullptr);
}

bool LogReader::alive() const { return d_->dirty_log.load() == log_ && d_->dying.load() == DyingState::alive; }

LogReader::Page LogReader::look(Mfn m) const {
    const auto* bytes = map_mfn<uint8_t>(m);
    return {m2p(m), d_->kind.frame_type(page_of(m)), {bytes, bytes + page_size}};
}

/// `only`: the numbers whose pages are to be copied; null: all.
void LogReader::refresh(const std::set<uint64_t>* only) {
    std::erase_if(copy_, [&](const auto& page) { return !only || only->contains(page.second.pfn); });
    for (uint32_t f = d_->page_list_head; f; f = frame_table[f].next)
        if (!only || only->contains(m2p(Mfn(f)))) copy_[f] = look(Mfn(f)), ++refreshed_;
}

/// Takes the marks away, and copies what they name.
void LogReader::take() {
    std::set<uint64_t> numbers;
    for (uint64_t w = 0; w < log_->written.room() / PageNumbers::per_word; ++w) {
        const uint64_t bits = log_->written.read(w, ~uint64_t{0});
        for (unsigned i = 0; i < PageNumbers::per_word; ++i)
            if (bits >> i & 1) numbers.insert(w * PageNumbers::per_word + i);
    }
    if (log_->lost.load()) broken("a mark was lost");
    refresh(&numbers);
}

bool LogReader::part() {
    LogReading& r = log_->reading;
    if (r.stage == LogReading::Stage::none) r = {LogReading::Stage::harvest, {}, 0};
    if (!dirty_log_harvest(*d_, *log_, false)) return false;
    take();
    r = {LogReading::Stage::none, {}, 0};
    return true;
}

std::string LogReader::last() {
    log_->reading = {LogReading::Stage::harvest, {}, 0};
    while (!dirty_log_harvest(*d_, *log_, true)) {}
    take();
    log_->reading = {LogReading::Stage::none, {}, 0};
    char text[160];
    std::set<uint64_t> there;
    for (uint32_t f = d_->page_list_head; f; f = frame_table[f].next) {
        const Page now = look(Mfn(f));
        if (now.pfn >= log_->written.room()) continue;
        there.insert(f);
        const auto was = copy_.find(f);
        const char* what = was == copy_.end()               ? "is not in the copy"
                           : was->second.pfn != now.pfn     ? "has another number in the copy"
                           : was->second.bytes != now.bytes ? "is not as it was copied"
                           : was->second.type != now.type   ? "has another type than when it was copied"
                                                            : nullptr;
        if (!what) continue;
        std::snprintf(text, sizeof text, "page %lx (frame %x of d%u, type %lx) %s", static_cast<unsigned long>(now.pfn), f,
                      d_->id.raw, static_cast<unsigned long>(now.type), what);
        return text;
    }
    for (const auto& [f, page] : copy_) {
        if (there.contains(f) || page.pfn >= log_->written.room()) continue;
        std::snprintf(text, sizeof text, "page %lx is in the copy, and not the guest's any more",
                      static_cast<unsigned long>(page.pfn));
        return text;
    }
    return {};
}

}  // namespace hvmodel
