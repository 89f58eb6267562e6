// SPDX-License-Identifier: Apache-2.0
/// Which record of a PV domain's image may follow which. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/base/outcome.hpp"
#include "lib/proto/saved/format.hpp"

namespace proto::saved {

/// Judges records in the order they come. What stock tools write is accepted; what they would not, is refused: each record once
/// (each vCPU's too), what never changes first, then the P2M, then pages, then the state of the stopped domain. Between pages the P2M may
/// come again: of a domain that runs while it is written it moves.
class RecordOrder {
public:
    /// `vcpu`: of the vCPU records. Errors: badmsg, what is wrong with it here.
    base::Outcome<> accept(Record type, uint32_t vcpu = 0);
    bool ended() const { return ended_; }

private:
    base::Outcome<> accept_vcpu(Record type, uint32_t vcpu);
    base::Outcome<> check_complete() const;
    bool seen(Record type) const { return (seen_ & bit(type)) != 0; }
    static uint64_t bit(Record type) { return uint64_t{1} << static_cast<uint32_t>(type); }

    uint64_t seen_ = 0;
    bool state_begun_ = false;  // no pages any more
    bool ended_ = false;
    std::vector<uint64_t> vcpus_;  // what was seen of each
};

}  // namespace proto::saved
