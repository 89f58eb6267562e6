// SPDX-License-Identifier: Apache-2.0
/// A client of xenstore over the domU's ring: one request at a time, from one vCPU.
#pragma once

#include "abi/xen/xs_wire.hpp"
#include "guests/tiny/cpu.hpp"

namespace guest {

/// The shared page; null in dom0's place.
xen::XenstoreDomainInterface* store_ring();
/// Sends a request of type XS_* and waits for its answer; watch events on the way are dropped. Returns the answer's type
/// (XS_ERROR for a refusal) and puts up to `room` bytes of it into `answer`. It waits as long as it takes.
uint32_t store_request(uint32_t type, const char* payload, size_t length, char* answer = nullptr, size_t room = 0,
                       size_t* answered = nullptr, uint32_t transaction = 0);
/// Tells the other end that the ring changed.
void wake_store();

/// Does the path exist (relative to the domain's own)?
bool store_exists(const char* path);
/// Writes a text; false when it was refused.
bool store_write(const char* path, const char* value);

}  // namespace guest
