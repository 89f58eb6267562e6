// SPDX-License-Identifier: Apache-2.0
// The verbs of classic xm that have nothing to act on: each says so in one line.
#include <array>

#include "toolstack/xm/app.hpp"

namespace xm {

namespace {

struct Family {
    std::string_view refusal;
    std::array<std::string_view, 12> names;
};

constexpr Family families[] = {
    {"PCI devices are not given to domains yet", {"pci-attach", "pci-detach", "pci-list", "pci-list-assignable-devices"}},
    {"there is no TPM for domains", {"vtpm-list"}},
    {"there is no SCSI back end", {"scsi-attach", "scsi-detach", "scsi-list"}},
    {"this hypervisor has no transcendent memory",
     {"tmem-destroy", "tmem-freeable", "tmem-freeze", "tmem-list", "tmem-set", "tmem-shared-auth", "tmem-thaw", "tmem-uuid"}},
    {"there is no security policy",
     {"addlabel", "dry-run", "dumppolicy", "getlabel", "getpolicy", "labels", "resetpolicy", "resources", "rmlabel",
      "setpolicy"}},
    {"it needs the Xen API, which nothing serves", {"event-monitor", "network-del", "network-new", "network-show"}},
};

}  // namespace

std::vector<Verb> refused_verbs() {
    std::vector<Verb> out;
    for (const Family& family : families) {
        for (const std::string_view name : family.names) {
            if (name.empty()) continue;
            Verb verb;
            verb.name = name;
            verb.arguments = "...";
            verb.help = "Not available.";
            verb.most = 1000;
            verb.refusal = family.refusal;
            out.push_back(std::move(verb));
        }
    }
    return out;
}

}  // namespace xm
