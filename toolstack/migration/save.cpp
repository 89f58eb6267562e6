// SPDX-License-Identifier: Apache-2.0
#include "toolstack/migration/save.hpp"

#include "toolstack/migration/image_parts.hpp"

namespace migration {

using base::DomId;
using base::Errc;
using base::Outcome;
using proto::saved::Writer;
using xenctrl::Control;

Outcome<> save(Control& control, DomId domain, const proto::saved::FileConfig& config, proto::saved::Sink& sink) {
    const xenctrl::DomainInfo info = OTRY(control.info(domain));
    if (info.hvm) return base::fail(Errc::opnotsupp, "Only PV domains can be saved yet");
    OTRY(check_suspended(info));
    const GuestPages pages = OTRY(GuestPages::read(control, info));
    Writer writer(sink, Writer::Ending::trailer);
    OTRY(write_head(control, domain, config, pages, writer));
    FrameReader reader(control, domain);
    PageBatch batch(control, domain, reader, pages, writer, PageBatch::Guest::stopped);
    for (uint64_t pfn = 0; pfn < pages.count(); ++pfn) {
        if (pages.kind(pfn).exists()) OTRY(batch.add(pfn));
    }
    OTRY(batch.flush());
    return write_state(control, info, pages, writer);
}

}  // namespace migration
