// SPDX-License-Identifier: Apache-2.0
// Writes a PV domain while it runs, in rounds: all of its pages, then those that were written meanwhile, until so few are left
// that it may stand still for them.
#pragma once

#include <memory>

#include "lib/proto/saved/writer.hpp"
#include "toolstack/migration/frames.hpp"
#include "toolstack/migration/p2m.hpp"

namespace migration {

/// An image that grows while its domain runs. To be called in this order: left() and send() again and again; when the domain has
/// suspended itself, rest() and finish().
class LiveImage {
public:
    /// Ends the log of dirty pages.
    virtual ~LiveImage() = default;
    /// How many pages there are to be sent by now, which cost nothing yet. Errors: io: the domain has stopped; nomem: the log has lost
    /// some; those of the hypervisor.
    virtual base::Outcome<uint64_t> left() = 0;
    /// Writes these as they are now.
    virtual base::Outcome<> send() = 0;
    /// How many pages there are to be sent in the end: what was written until the domain had suspended itself, and what others may have
    /// written unseen. Errors: inval: it has not; badmsg: its list of pages contradicts itself; nomem: the log has lost some.
    virtual base::Outcome<uint64_t> rest() = 0;
    /// Writes these, and the state of the domain. Errors: inval: rest() was not asked; badmsg: its memory contradicts itself.
    virtual base::Outcome<> finish() = 0;
};

/// By the hypervisor's log of dirty pages.
class LiveSave final : public LiveImage {
public:
    /// Starts the log and writes what stands in front of the pages. `sink` outlives this, and looks at each byte that it is given once:
    /// the guest writes there. Errors: opnotsupp: no PV domain, or no log; busy: it is logged already; badmsg: its list of pages
    /// contradicts itself; the sink's and the hypervisor's.
    static base::Outcome<std::unique_ptr<LiveImage>> begin(xenctrl::Control& control, base::DomId domain,
                                                           const proto::saved::FileConfig& config, proto::saved::Sink& sink);
    ~LiveSave() override;
    LiveSave(const LiveSave&) = delete;
    LiveSave& operator=(const LiveSave&) = delete;

    base::Outcome<uint64_t> left() override;
    base::Outcome<> send() override;
    base::Outcome<uint64_t> rest() override;
    base::Outcome<> finish() override;

private:
    LiveSave(xenctrl::Control& control, const xenctrl::DomainInfo& info, proto::saved::Sink& sink)
        : control_(control), domain_(info.id), handle_(info.handle), reader_(control, info.id), writer_(sink) {}

    base::Outcome<xenctrl::DomainInfo> info();
    base::Outcome<> first_list(const xenctrl::DomainInfo& info);
    base::Outcome<> harvest(xenctrl::Control::Harvest how);
    base::Outcome<> follow_list(const xenctrl::DomainInfo& info);
    base::Outcome<> write_pending(bool runs);
    void mark(uint64_t pfn);
    void mark_tables();
    uint64_t pending() const;

    xenctrl::Control& control_;
    const base::DomId domain_;
    const xenctrl::Handle handle_;
    FrameReader reader_;
    proto::saved::Writer writer_;
    GuestPages pages_;
    std::vector<uint64_t> pending_;             // a bit for each page that is to be sent
    std::vector<proto::saved::PageKind> told_;  // what who reads the image knows each page as
    bool told_list_ = true;                     // where the list of pages is, as it is known
    bool logs_ = false;                         // its own log, not somebody else's
    bool ends_ = false;                         // nothing is added to what is pending
};

}  // namespace migration
