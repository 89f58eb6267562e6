// SPDX-License-Identifier: Apache-2.0
#include "tests/model/page_model.hpp"

#include <cstdarg>
#include <cstdio>
#include <map>
#include <vector>

#include "abi/xen/basic.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/domain/dirty_log.hpp"
#include "hypervisor/domain/domain.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/grant/grant.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/types.hpp"

namespace hvmodel {

using namespace hv;

namespace {

constexpr unsigned kinds = 8;
constexpr unsigned entries_per_table = 512;
const char* const kind_names[kinds] = {"none", "l1", "l2", "l3", "l4", "segdesc", "writable", "7"};

struct Expected {
    uint32_t references = 0;
    uint32_t uses[kinds] = {};
    bool listed = false;     ///< on a page list
    bool allocated = false;  ///< with its allocation reference
};

struct GrantUse {
    uint32_t readers = 0, writers = 0;
    bool operator==(const GrantUse&) const = default;
};

class Model {
    std::vector<Expected> want_ = std::vector<Expected>(max_frame);
    std::map<std::pair<uint16_t, uint32_t>, GrantUse> mappings_;
    std::string wrong_;
    uint64_t suspect_ = ~uint64_t{0};  ///< the frame whose count is wrong
    uint64_t watched_ = ~uint64_t{0};  ///< the frame whose holders are printed
    const char* holder_ = "";          ///< what is being counted

    __attribute__((format(printf, 2, 3))) void complain(const char* format, ...) {
        if (!wrong_.empty()) return;
        char text[256];
        va_list ap;
        va_start(ap, format);
        std::vsnprintf(text, sizeof text, format, ap);
        va_end(ap);
        wrong_ = text;
    }

    void hold(Mfn m) {
        ++want_[m.raw].references;
        if (m.raw == watched_) std::fprintf(stderr, "  held by %s\n", holder_);
    }
    void use(Mfn m, PageType t) {
        hold(m);
        ++want_[m.raw].uses[static_cast<unsigned>(t)];
    }

    // -- what a domain holds ------------------------------------------------------------------------------------------
    void list(const Domain& d, uint32_t head, bool allocated, uint64_t& count) {
        for (uint32_t f = head; f; f = frame_table[f].next) {
            Expected& e = want_[f];
            if (e.listed) return complain("frame %x is on two lists, or its list is a ring", f);
            e.listed = true;
            // A page given back while others hold it stays on the list without its allocation reference.
            e.allocated = allocated && (frame_table[f].count.load() & page::allocated);
            if (e.allocated) hold(Mfn(f));
            if (frame_table[f].owner.load() != d.id.raw) complain("frame %x is on the list of d%u, not its own", f, d.id.raw);
            ++count;
        }
    }
    void shared_page(const void* page) { use(mfn_of(page), PageType::writable); }

    void domain(Domain& d) {
        uint64_t pages = 0;
        holder_ = "its page list";
        list(d, d.page_list_head, true, pages);
        list(d, d.released_list_head, false, pages);
        uint64_t counted = 0;
        {
            Guard g(d.page_list_lock);
            counted = d.tot_pages;
        }
        if (pages != counted) complain("d%u has %lu pages and counts %lu", d.id.raw, pages, counted);
        holder_ = "the hypervisor, which shares it";
        if (d.shared) shared_page(d.shared);
        grants(d);
        for (uint32_t i = 0; d.vcpus && i < d.limits.max_vcpus; ++i)
            if (Vcpu* v = d.vcpus[i]; v && v->pv) vcpu(*v);
        holder_ = "the end of its domain";
        if (d.pv && d.pv->relinquish_cursor) hold(mfn_of(*d.pv->relinquish_cursor));
        holder_ = "the beginning of a log";
        if (const DirtyLog* log = d.dirty_log.load(); log && log->cursor) hold(mfn_of(*log->cursor));
        holder_ = "the event queues";
        event_each_page(
            d, [](void* self, Mfn m) { static_cast<Model*>(self)->use(m, PageType::writable); }, this);
    }

    void window(const Vcpu& v, const Mfn* frames, uint32_t descriptors, unsigned first) {
        for (uint32_t i = 0; i * 512 < descriptors; ++i) {
            use(frames[i], PageType::segdesc);
            if ((v.pv->descriptor_l1[first + i] & pte::frame_mask) != frames[i].address())
                complain("the descriptor window of d%uv%u maps another frame than %lx", v.domain.id.raw, v.id.raw, frames[i].raw);
        }
    }
    void vcpu(const Vcpu& v) {
        holder_ = "a root";
        for (const Mfn root : {v.pv->kernel_root, v.pv->user_root})
            if (root.raw) use(root, PageType::l4);
        holder_ = "a descriptor table";
        window(v, v.pv->gdt_frames, v.pv->gdt_entries, 0);
        window(v, v.pv->ldt_frames, v.pv->ldt_entries, 16);
        holder_ = "a vcpu_info";
        if (v.info_page) use(v.info_page.mfn(), PageType::writable);
        holder_ = "a postponed release";
        if (v.pv->pending_put) hold(mfn_of(*v.pv->pending_put));
    }

    // -- grants -------------------------------------------------------------------------------------------------------
    void grants(Domain& d) {
        if (!d.grants) return;
        GrantTable& t = *d.grants;
        {
            Guard g(t.lock);
            for (uint32_t f = 0; f < t.frames; ++f) {
                shared_page(t.shared[f]);
                for (unsigned i = 0; i < GrantTable::active_per_frame; ++i) active(t.active[f][i]);
            }
            for (uint32_t f = 0; f < t.status_frames; ++f) shared_page(t.status[f]);
        }
        Guard g(t.map_lock);
        for (uint32_t h = 0; h < t.maptrack_pages * GrantTable::maptrack_per_page; ++h) {
            const Maptrack& m = t.maptrack[h / GrantTable::maptrack_per_page][h % GrantTable::maptrack_per_page];
            if (!m.owner || !m.flags) continue;
            GrantUse& u = mappings_[{m.owner->id.raw, m.ref_or_next}];
            uint32_t& n = m.flags & xen::GNTMAP_readonly ? u.readers : u.writers;
            n += (m.flags & xen::GNTMAP_host_map ? 1 : 0) + (m.flags & xen::GNTMAP_device_map ? 1 : 0);
        }
    }
    void active(const ActiveGrant& a) {
        holder_ = "a grant";
        if (a.writers) use(Mfn(a.frame), PageType::writable);
        else if (a.readers) hold(Mfn(a.frame));
    }
    /// Every use of a grant has a handle, and every handle its use.
    void compare_grants(Domain& d) {
        if (!d.grants) return;
        GrantTable& t = *d.grants;
        Guard g(t.lock);
        for (uint32_t ref = 0; ref < t.frames * GrantTable::active_per_frame; ++ref) {
            const ActiveGrant& a = t.active[ref / GrantTable::active_per_frame][ref % GrantTable::active_per_frame];
            const auto found = mappings_.find({d.id.raw, ref});
            const GrantUse mapped = found == mappings_.end() ? GrantUse{} : found->second;
            if (mapped != GrantUse{a.readers, a.writers})
                complain("grant %u of d%u: %u reading and %u writing, but %u and %u mappings", ref, d.id.raw, a.readers,
                         a.writers, mapped.readers, mapped.writers);
        }
    }

    // -- tables -------------------------------------------------------------------------------------------------------
    void l1_entry(uint64_t e) {
        const Mfn m = Mfn::of_address(e & pte::frame_mask);
        if (!mfn_valid(m) || page_of(m).owner.load() == xen::DOMID_IO) return;
        if (e & pte::rw) use(m, PageType::writable);
        else hold(m);
    }
    void table_entry(uint64_t e, unsigned level, Mfn table) {
        const Mfn m = Mfn::of_address(e & pte::frame_mask);
        if (!mfn_valid(m)) return complain("L%u table %lx names %016lx", level, table.raw, e);
        const auto own = static_cast<PageType>(level);
        const bool linear = m == table || type_of(page_of(m).type.load()) == own;
        if (linear && (e & pte::rw)) return complain("L%u table %lx has a writable linear entry: %016lx", level, table.raw, e);
        if (m == table) return;  // it goes with the table
        use(m, linear ? own : static_cast<PageType>(level - 1));
    }
    void entries(Mfn table, unsigned level, unsigned end) {
        const uint64_t* t = map_mfn<uint64_t>(table);
        for (unsigned i = 0; i < end; ++i) {
            if (!(t[i] & pte::present) || (level == 4 && is_hypervisor_slot(i))) continue;
            if (level == 1) l1_entry(t[i]);
            else table_entry(t[i], level, table);
        }
    }
    void table(Mfn m, const PageInfo& p, uint64_t word) {
        const auto level = static_cast<unsigned>(type_of(word));
        holder_ = "its pin";
        if (word & page::pinned) use(m, type_of(word));
        holder_ = "an entry of a table";
        if (word & page::validated) {
            entries(m, level, entries_per_table);
            if (level == 4) own_window(m, p);
            return;
        }
        if (!(word & page::partial)) return complain("frame %lx is an L%u neither validated nor partial", m.raw, level);
        const bool child = p.progress_flags & progress::child_partial;
        entries(m, level, p.stamp.load() + (child ? 1 : 0));
        holder_ = "its own partial state";
        if (!(p.progress_flags & progress::owned_by_parent)) use(m, type_of(word));
    }
    void own_window(Mfn m, const PageInfo& p) {
        const Domain* d = page_owner(p.owner.load());
        const uint64_t e = map_mfn<uint64_t>(m)[l4_slot_perdomain];
        if (d && d->pv && Mfn::of_address(e & pte::frame_mask) != mfn_of(d->pv->perdomain_l3))
            complain("root %lx of d%u carries another domain's descriptor window", m.raw, d->id.raw);
    }

    // -- comparing ----------------------------------------------------------------------------------------------------
    void frame(Mfn m) {
        const PageInfo& p = page_of(m);
        const Expected& e = want_[m.raw];
        const uint64_t count = p.count.load();
        const uint64_t word = p.type.load();
        const uint16_t owner = p.owner.load();
        const auto kind = static_cast<unsigned>(type_of(word));
        if (owner == no_owner) {  // free, or the hypervisor's own: the small-object heap keeps its books in the type word
            if (e.references) complain("frame %lx is nobody's, and held", m.raw);
            return;
        }
        suspect_ = m.raw;
        if ((count & page::count_mask) != e.references)
            return complain("frame %lx of d%u (%s, type word %lx): %lu references, held %u times", m.raw, owner, kind_names[kind],
                            word, count & page::count_mask, e.references);
        for (unsigned k = 0; k < kinds; ++k) {
            const uint64_t uses = k == kind ? word & page::users_mask : 0;
            if (uses != e.uses[k])
                return complain("frame %lx of d%u (type word %lx): used %u times as %s", m.raw, owner, word, e.uses[k],
                                kind_names[k]);
        }
        const bool charged = owner < xen::DOMID_FIRST_RESERVED && !(count & page::hyp_page);
        if (charged != e.listed) return complain("frame %lx of d%u is %son a list", m.raw, owner, e.listed ? "" : "not ");
        if (charged && e.allocated != ((count & page::allocated) != 0))
            return complain("frame %lx of d%u is on the wrong list (count word %lx)", m.raw, owner, count);
        const bool at_rest = kind == static_cast<unsigned>(PageType::none) || is_table(type_of(word)) ||
                             !(word & page::users_mask) || (word & page::validated);
        if (!at_rest) complain("frame %lx of d%u (type word %lx) is not validated", m.raw, owner, word);
    }

public:
    explicit Model(uint64_t watched = ~uint64_t{0}) : watched_(watched) {}
    uint64_t suspect() const { return suspect_; }

    std::string check() {
        for (DomainRef d = next_domain(DomId(0)); d; d = next_domain(DomId::from_reg(d->id.raw + 1u))) domain(*d);
        for (uint64_t f = 0; f < max_frame; ++f) {
            const PageInfo& p = frame_table[f];
            const uint64_t word = p.type.load();
            if (p.owner.load() != no_owner && is_table(type_of(word)) && (word & page::users_mask)) table(Mfn(f), p, word);
        }
        for (uint64_t f = 0; f < max_frame && wrong_.empty(); ++f) frame(Mfn(f));
        for (DomainRef d = next_domain(DomId(0)); d; d = next_domain(DomId::from_reg(d->id.raw + 1u))) compare_grants(*d);
        return wrong_;
    }
};

}  // namespace

std::string check_pages() {
    Model m;
    const std::string wrong = m.check();
    if (!wrong.empty() && m.suspect() < max_frame) Model(m.suspect()).check();  // says who holds it
    return wrong;
}

}  // namespace hvmodel
