// SPDX-License-Identifier: Apache-2.0
/// What works with any Store: permissions as text, transactions that repeat, reading what may be missing.
#include "toolstack/xenstore/client.hpp"
#include "lib/base/number.hpp"

#include <random>
#include <thread>

namespace xenstore {

using base::Errc;
using base::Outcome;

namespace {

constexpr std::string_view access_letters = "nrwb";  // indexed by Access

template <class T>
Outcome<std::optional<T>> optional_of(Outcome<T> found) {
    if (found) return std::optional<T>(std::move(found).take());
    if (found.failure().code == Errc::noent) return std::optional<T>();
    return std::move(found).take_failure();
}

/// Those who collide must not collide again in step.
void pause_after_conflict(unsigned attempt) {
    if (attempt < 4) return;
    static thread_local std::minstd_rand random(std::random_device{}());
    std::this_thread::sleep_for(std::chrono::microseconds(random() % (100u << std::min(attempt - 4, 6u))));
}

}  // namespace

std::optional<Permission> parse_permission(std::string_view text) {
    const size_t letter = text.empty() ? std::string_view::npos : access_letters.find(text[0]);
    if (letter == std::string_view::npos) return std::nullopt;
    const auto domid = base::parse_number<uint16_t>(text.substr(1));
    if (!domid) return std::nullopt;
    return Permission{base::DomId{*domid}, static_cast<Access>(letter)};
}

std::string to_string(const Permission& permission) {
    return access_letters[static_cast<size_t>(permission.access)] + std::to_string(permission.domid.raw);
}

Store::Status Store::change_all(std::span<const Change> changes, TransactionId tx) {
    for (const Change& change : changes) {
        switch (change.kind) {
            case Change::Kind::mkdir: OTRY(mkdir(change.path, tx)); break;
            case Change::Kind::write: OTRY(write(change.path, change.value, tx)); break;
            case Change::Kind::permissions: OTRY(set_permissions(change.path, change.permissions, tx)); break;
        }
    }
    return base::ok;
}

Outcome<Transaction> Transaction::start(Store& store) { return Transaction(store, OTRY(store.start_transaction())); }

Transaction::~Transaction() {
    if (id_.raw != 0) (void)store_->end_transaction(id_, Ending::discard);
}

Outcome<std::optional<std::string>> Transaction::read_if_there(std::string_view path) {
    return optional_of(store_->read(path, id_));
}

Store::Status Transaction::commit() {
    const TransactionId id = id_;
    id_ = {};
    return store_->end_transaction(id, Ending::commit);
}

Store::Status in_transaction(Store& store, const std::function<Store::Status(Transaction&)>& work, unsigned max_attempts) {
    for (unsigned attempt = 1;; ++attempt) {
        Transaction transaction = OTRY(Transaction::start(store));
        auto done = work(transaction);
        if (done) done = transaction.commit();
        if (done || done.failure().code != Errc::again || attempt >= max_attempts) return done;
        pause_after_conflict(attempt);
    }
}

Outcome<std::optional<std::string>> read_if_there(Store& store, std::string_view path, TransactionId tx) {
    return optional_of(store.read(path, tx));
}

Store::Status remove_if_there(Store& store, std::string_view path, TransactionId tx) {
    auto done = store.remove(path, tx);
    if (!done && done.failure().code == Errc::noent) return base::ok;
    return done;
}

}  // namespace xenstore
