// SPDX-License-Identifier: Apache-2.0
/// The words behind spec-ctrl=, xpti= and pv-l1tf=. Source: Xen's xen-command-line(7).
#include "lib/parse/cmdline.hpp"
#include "lib/x86/speculation_policy.hpp"

namespace x86 {
namespace {

/// One item: "name", "no-name", "name=value".
struct Item {
    std::string_view name, value;
    bool negated = false;
    explicit Item(std::string_view text) {
        const size_t equals = text.find('=');
        name = text;
        if (equals != std::string_view::npos) {
            name.remove_suffix(text.size() - equals);
            value = text;
            value.remove_prefix(equals + 1);
        }
        if (value.empty() && name.starts_with("no-")) {
            negated = true;
            name.remove_prefix(3);
        }
    }
    /// Yes or no; false when the value is neither.
    bool boolean(bool& out) const {
        if (value.empty()) {
            out = !negated;
            return true;
        }
        auto b = parse::parse_boolean(value);
        if (b) out = b.value();
        return static_cast<bool>(b);
    }
};

/// The whole list is one yes or no.
bool is_boolean(std::string_view list, bool& out) {
    auto b = parse::parse_boolean(list);
    if (b) out = b.value();
    return static_cast<bool>(b);
}

void nothing_for_us(SpeculationOptions& o) {
    o.thunk = Thunk::jmp;
    for (Choice* c : {&o.rsb_pv, &o.md_clear_pv, &o.ibpb_entry_pv, &o.ibrs, &o.stibp, &o.ibpb, &o.ssbd, &o.psfd, &o.srb_lock})
        *c = Choice::no;
}

void nothing_at_all(SpeculationOptions& o) {
    nothing_for_us(o);
    o.msr_sc_pv = Choice::no;
    for (Choice* c : {&o.xpti_dom0, &o.xpti_domu, &o.pv_l1tf_dom0, &o.pv_l1tf_domu})
        if (*c == Choice::unset) *c = Choice::no;
}

bool set_thunk(std::string_view word, SpeculationOptions& o) {
    if (word == "retpoline") o.thunk = Thunk::retpoline;
    else if (word == "lfence") o.thunk = Thunk::lfence;
    else if (word == "jmp") o.thunk = Thunk::jmp;
    else return false;
    return true;
}

/// "md-clear", "md-clear=no", "md-clear=pv", "md-clear=no-hvm", "md-clear=pv=0": what is said of HVM has nobody to act on.
bool set_for_pv(const Item& item, Choice& pv) {
    bool yes = false;
    if (item.boolean(yes)) {
        pv = choice(yes);
        return true;
    }
    const Item kind(item.value);
    if ((kind.name != "pv" && kind.name != "hvm") || !kind.boolean(yes)) return false;
    if (kind.name == "pv") pv = choice(yes);
    return true;
}

Choice* simple_choice(std::string_view name, SpeculationOptions& o) {
    if (name == "ibrs") return &o.ibrs;
    if (name == "stibp") return &o.stibp;
    if (name == "ibpb") return &o.ibpb;
    if (name == "ssbd") return &o.ssbd;
    if (name == "psfd") return &o.psfd;
    if (name == "srb-lock") return &o.srb_lock;
    return nullptr;
}

Choice* pv_choice(std::string_view name, SpeculationOptions& o) {
    if (name == "msr-sc") return &o.msr_sc_pv;
    if (name == "rsb") return &o.rsb_pv;
    if (name == "md-clear") return &o.md_clear_pv;
    if (name == "ibpb-entry") return &o.ibpb_entry_pv;
    return nullptr;
}

bool apply(const Item& item, SpeculationOptions& o) {
    if (item.name == "bti-thunk") return set_thunk(item.value, o);
    if (Choice* c = pv_choice(item.name, o)) return set_for_pv(item, *c);
    bool yes = false;
    if (!item.boolean(yes)) return false;
    if (Choice* c = simple_choice(item.name, o)) *c = choice(yes);
    else if (item.name == "xen" && !yes) nothing_for_us(o);
    else if (item.name == "pv") o.msr_sc_pv = o.rsb_pv = o.md_clear_pv = o.ibpb_entry_pv = choice(yes);
    else if (item.name == "eager-fpu") o.lazy_fpu_wanted = !yes;
    else if (item.name == "branch-harden") o.plain_branches_wanted = !yes;
    // HVM domains, and flushing L1 for them, are things that are not there.
    else return item.name == "hvm" || item.name == "l1d-flush" || item.name == "unpriv-mmio";
    return true;
}

/// xpti= and pv-l1tf=: "default", yes or no for all, or who: "dom0", "no-domu", "dom0=no".
bool parse_who(std::string_view list, Choice& dom0, Choice& domu) {
    bool good = true, yes = false;
    if (is_boolean(list, yes)) {
        dom0 = domu = choice(yes);
        return true;
    }
    parse::ValueList items(list);
    for (auto text = items.next(); text; text = items.next()) {
        const Item item(*text);
        if (item.name == "default") {
            dom0 = domu = Choice::unset;
            continue;
        }
        Choice* const who = item.name == "dom0" ? &dom0 : item.name == "domu" ? &domu : nullptr;
        if (who && item.boolean(yes)) *who = choice(yes);
        else good = false;
    }
    return good;
}

}  // namespace

bool parse_spec_ctrl(std::string_view list, SpeculationOptions& o) {
    bool good = true;
    parse::ValueList items(list);
    for (auto text = items.next(); text; text = items.next()) {
        bool yes = false;
        if (is_boolean(*text, yes)) {
            // "yes" says nothing: everything is on where the CPU wants it.
            if (yes) good = false;
            else nothing_at_all(o);
            continue;
        }
        if (!apply(Item(*text), o)) good = false;
    }
    return good;
}

bool parse_xpti(std::string_view list, SpeculationOptions& o) { return parse_who(list, o.xpti_dom0, o.xpti_domu); }
bool parse_pv_l1tf(std::string_view list, SpeculationOptions& o) { return parse_who(list, o.pv_l1tf_dom0, o.pv_l1tf_domu); }

}  // namespace x86
