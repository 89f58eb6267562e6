// SPDX-License-Identifier: Apache-2.0
#include "toolstack/migration/arrivals.hpp"

namespace migration {

using base::Errc;
using base::Outcome;
using Way = TransferJournal::Way;
using What = proto::relocation::Outcome::What;

Outcome<std::optional<Transfer>> TransferJournal::find(const TransferId& id, Way way) {
    for (Transfer& transfer : OTRY(load())) {
        if (transfer.id == id && transfer.goes_out() == (way == Way::out)) return std::optional(std::move(transfer));
    }
    return std::optional<Transfer>{};
}

Outcome<> Arrivals::begin(const TransferId& id) {
    const std::lock_guard guard(mutex_);
    if (now_.contains(id) || OTRY(journal_.find(id, Way::in))) return base::fail(Errc::exist, "this transfer is known already");
    now_[id] = State::coming;
    return base::ok;
}

Outcome<> Arrivals::go(const Transfer& transfer) {
    const std::lock_guard guard(mutex_);
    const auto at = now_.find(transfer.id);
    if (at == now_.end() || at->second != State::coming)
        return base::fail(Errc::perm, "the other host was told that it will not run here");
    at->second = State::going;  // also when the journal fails: it may say so
    return journal_.save(transfer);
}

Outcome<> Arrivals::runs(const Transfer& transfer) {
    const std::lock_guard guard(mutex_);
    if (const auto at = now_.find(transfer.id); at != now_.end()) at->second = State::running;
    return journal_.save(transfer);
}

Outcome<> Arrivals::discard(const TransferId& id) {
    const std::lock_guard guard(mutex_);
    const auto at = now_.find(id);
    // Of one that never went the journal knows nothing.
    if (at == now_.end() || at->second == State::going) OTRY(journal_.remove(id, Way::in));
    if (at != now_.end()) at->second = State::discarded;
    return base::ok;
}

Outcome<> Arrivals::forget(const TransferId& id) {
    const std::lock_guard guard(mutex_);
    return journal_.remove(id, Way::in);
}

void Arrivals::end(const TransferId& id) {
    const std::lock_guard guard(mutex_);
    now_.erase(id);
}

What Arrivals::answer(const TransferId& id) {
    const std::lock_guard guard(mutex_);
    if (const auto at = now_.find(id); at != now_.end()) {
        if (at->second == State::coming) at->second = State::discarded;
        if (at->second == State::running) return What::running;
        return at->second == State::going ? What::not_known_yet : What::discarded;
    }
    const auto known = journal_.find(id, Way::in);
    if (!known) return What::not_known_yet;
    if (!*known) return What::discarded;
    return (*known)->step == Transfer::Step::running ? What::running : What::not_known_yet;
}

}  // namespace migration
