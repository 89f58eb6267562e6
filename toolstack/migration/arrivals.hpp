// SPDX-License-Identifier: Apache-2.0
// What is known of transfers: the journal that outlives xend and the machine, and those that come in just now.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "toolstack/migration/handover.hpp"

namespace migration {

/// A transfer as a xend that starts must find it. Of a domain that comes in there is nothing before `going`.
struct Transfer {
    enum class Step : uint8_t {
        offered,  // out: the guest is this side's, whatever was sent
        handed,   // out: Go may have been sent
        going,    // in: Go has come; it runs here, or will
        running   // in: it runs here, or did
    };
    TransferId id{};
    Step step = Step::offered;
    std::string domain;  // its name
    std::string uuid;
    std::string host;  // the other one, and for one that goes out its port
    uint16_t port = 0;
    proto::relocation::Id partner{};  // who that is; nothing: not known yet

    bool goes_out() const { return step <= Step::handed; }
    bool operator==(const Transfer&) const = default;
};

/// Thread-safe; what was saved is there after a power cut. A host may move a domain to itself: then one id goes out and comes in.
class TransferJournal {
public:
    enum class Way : uint8_t { out, in };
    virtual ~TransferJournal() = default;
    virtual base::Outcome<std::vector<Transfer>> load() = 0;
    /// Who this host is: a random number, the same for as long as this journal is there. Who lost the journal is somebody else, and
    /// says nothing in the name of who wrote it.
    virtual base::Outcome<proto::relocation::Id> self() = 0;
    virtual base::Outcome<> save(const Transfer& transfer) = 0;
    virtual base::Outcome<> remove(const TransferId& id, Way way) = 0;
    base::Outcome<std::optional<Transfer>> find(const TransferId& id, Way way);
};

/// Decides, for those that come in, between Go and the question what became of it: whichever is first. Thread-safe.
class Arrivals {
public:
    explicit Arrivals(TransferJournal& journal) : journal_(journal) {}

    /// One begins. Errors: exist: there is one of this id.
    base::Outcome<> begin(const TransferId& id);
    /// It has the right to run, which is in the journal before this returns. Errors: canceled: it was answered that it never will;
    /// the journal's, and then it may be there or not.
    base::Outcome<> go(const Transfer& transfer);
    /// It runs. Errors: of the journal, which says that it is going.
    base::Outcome<> runs(const Transfer& transfer);
    /// It never will. Errors: of the journal: that must not be said yet, and it is as it was.
    base::Outcome<> discard(const TransferId& id);
    /// Nobody will ask any more. Errors: of the journal.
    base::Outcome<> forget(const TransferId& id);
    /// Its connection is served no more; what the journal says of it stands.
    void end(const TransferId& id);

    /// What became of it. One that has no right to run yet never gets it.
    proto::relocation::Outcome::What answer(const TransferId& id);

private:
    enum class State : uint8_t { coming, going, running, discarded };
    std::mutex mutex_;
    std::map<TransferId, State> now_;
    TransferJournal& journal_;
};

}  // namespace migration
