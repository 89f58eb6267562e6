// SPDX-License-Identifier: Apache-2.0
/// The shared page between a domain and us. The domain may write anything into it at any time: our own indexes are kept
/// here and only published there; the domain's are read once, judged, then used.
///
/// Reading does not publish: the guest sees its request taken only when publish() says so, after the journal is written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "abi/xen/xs_wire.hpp"
#include "lib/base/result.hpp"

namespace xenstored {

class StoreRing {
public:
    /// `page`: 4 KiB, mapped for as long as this object lives.
    explicit StoreRing(void* page) : page_(static_cast<xen::XenstoreDomainInterface*>(page)) {}

    /// Empties both directions and says what we can do.
    void start_fresh();
    /// Takes the indexes as the page has them.
    void adopt();
    /// After a restart: requests up to `consumed` are done, whatever the page says.
    void adopt(uint32_t consumed);

    /// Takes up to out.size() request bytes. Errors: io (the guest's index is impossible).
    base::Result<size_t> read(std::span<char> out);
    base::Result<size_t> readable() const;
    /// Shows the guest how far we have read.
    void publish();
    /// Puts as much as fits; returns how much. Errors: io.
    base::Result<size_t> write(std::string_view bytes);

    bool wants_reconnection() const;
    /// Tells the guest why we stopped serving it (XENSTORE_ERROR_*).
    void show_error(uint32_t code);

    uint32_t consumed() const { return consumed_; }
    uint32_t produced() const { return produced_; }

private:
    xen::XenstoreDomainInterface* page_;
    uint32_t consumed_ = 0;  ///< requests read
    uint32_t produced_ = 0;  ///< responses written
};

}  // namespace xenstored
