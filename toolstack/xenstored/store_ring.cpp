// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xenstored/store_ring.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace xenstored {

namespace {

constexpr uint32_t ring_size = xen::XENSTORE_RING_SIZE;

uint32_t load(const uint32_t& shared) {
    return std::atomic_ref<uint32_t>(const_cast<uint32_t&>(shared)).load(std::memory_order_acquire);
}
void store(uint32_t& shared, uint32_t value) { std::atomic_ref<uint32_t>(shared).store(value, std::memory_order_release); }

}  // namespace

void StoreRing::start_fresh() {
    consumed_ = produced_ = 0;
    store(page_->req_cons, 0);
    store(page_->req_prod, 0);
    store(page_->rsp_cons, 0);
    store(page_->rsp_prod, 0);
    store(page_->error, xen::XENSTORE_ERROR_NONE);
    store(page_->server_features, xen::XENSTORE_SERVER_FEATURE_RECONNECTION | xen::XENSTORE_SERVER_FEATURE_ERROR);
    store(page_->connection, xen::XENSTORE_CONNECTED);
}

void StoreRing::adopt() {
    consumed_ = load(page_->req_cons);
    produced_ = load(page_->rsp_prod);
    store(page_->server_features, xen::XENSTORE_SERVER_FEATURE_RECONNECTION | xen::XENSTORE_SERVER_FEATURE_ERROR);
}

void StoreRing::adopt(uint32_t consumed) {
    adopt();
    consumed_ = consumed;
    publish();
}

base::Result<size_t> StoreRing::readable() const {
    const uint32_t used = load(page_->req_prod) - consumed_;
    if (used > ring_size) return base::Err{base::Errc::io};
    return size_t{used};
}

base::Result<size_t> StoreRing::read(std::span<char> out) {
    const size_t n = std::min(TRY(readable()), out.size());
    const size_t at = consumed_ % ring_size;
    const size_t first = std::min(n, ring_size - at);
    std::memcpy(out.data(), page_->req + at, first);
    std::memcpy(out.data() + first, page_->req, n - first);
    consumed_ += static_cast<uint32_t>(n);
    return n;
}

void StoreRing::publish() { store(page_->req_cons, consumed_); }

base::Result<size_t> StoreRing::write(std::string_view bytes) {
    const uint32_t used = produced_ - load(page_->rsp_cons);
    if (used > ring_size) return base::Err{base::Errc::io};
    const size_t n = std::min<size_t>(bytes.size(), ring_size - used);
    const size_t at = produced_ % ring_size;
    const size_t first = std::min(n, ring_size - at);
    std::memcpy(page_->rsp + at, bytes.data(), first);
    std::memcpy(page_->rsp, bytes.data() + first, n - first);
    produced_ += static_cast<uint32_t>(n);
    store(page_->rsp_prod, produced_);
    return n;
}

bool StoreRing::wants_reconnection() const { return load(page_->connection) == xen::XENSTORE_RECONNECT; }

void StoreRing::show_error(uint32_t code) { store(page_->error, code); }

}  // namespace xenstored
