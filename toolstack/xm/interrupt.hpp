// SPDX-License-Identifier: Apache-2.0
// Ctrl-C while xend is asked for something.
#pragma once

#include "toolstack/xend/api.hpp"

namespace xm {

/// Hands requests on, and knows which one is on its way.
class InterruptibleTransport final : public xend::Transport {
public:
    /// `inner` must outlive this. From now on SIGINT ends the process: as classic xm's with status 0, but while something is being
    /// changed, which xend goes on with, with status 1 and a line that says so.
    explicit InterruptibleTransport(xend::Transport& inner);

    base::Outcome<xend::Reply> call(const xend::Request& request) override;

private:
    xend::Transport& inner_;
};

/// While there is one, the first SIGINT only says so here; the next ends the process.
class HeldInterrupt {
public:
    HeldInterrupt();
    ~HeldInterrupt();
    HeldInterrupt(const HeldInterrupt&) = delete;
    HeldInterrupt& operator=(const HeldInterrupt&) = delete;
    /// True once for each that came.
    static bool take();
};

}  // namespace xm
