// SPDX-License-Identifier: Apache-2.0
/// xen-init-dom0: what every tool expects the store to say about domain 0 and the machine. Safe to run again.
#include <cstdio>

#include "toolstack/xenstore/client.hpp"

namespace {

using xenstore::Store;
using xenstore::Transaction;

Store::Status describe(Transaction& t) {
    OTRY(t.write("/local/domain/0/domid", "0"));
    OTRY(t.write("/local/domain/0/name", "Domain-0"));
    OTRY(t.write("/local/pool/0/name", "Pool-0"));
    return base::ok;
}

Store::Status run() {
    auto store = OTRY(xenstore::open_store());
    return xenstore::in_transaction(*store, describe);
}

}  // namespace

int main() {
    const auto done = run();
    if (!done) {
        std::fprintf(stderr, "xen-init-dom0: %s\n", done.failure().text.c_str());
        return 1;
    }
    std::puts("Done setting up Dom0");
    return 0;
}
