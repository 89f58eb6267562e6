// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "toolstack/xend/adapters/sqlite_file.hpp"
#include "toolstack/xend/core/ports.hpp"

namespace xend {

/// What names a host's key: SHA-256 of the certificate that it shows.
using KeyId = std::array<uint8_t, 32>;

/// A host's key and its self-signed certificate, as text that OpenSSL reads.
struct HostKey {
    std::string key, certificate;
    /// Makes one that is good for so many days from now. Errors: io.
    static base::Outcome<HostKey> make(int days);
    /// Errors: badmsg: it is none.
    base::Outcome<KeyId> id() const;
    /// Whether its time is over.
    bool expired() const;
};

/// Six words that stand for two keys, whichever comes first. They are for people to compare, so they are few: what makes them is slow,
/// or who stands between two hosts could look for keys of his own until both show the same.
std::string words_of(const KeyId& one, const KeyId& other);

/// This host's key, and those of hosts that it is paired with, in an SQLite file; and, until xend ends, those of hosts that are to be.
/// Thread-safe.
class HostKeys {
public:
    explicit HostKeys(std::string file);

    /// Made when it is first asked for, and when it has expired: then others know this host no more. Errors: of the file.
    base::Outcome<HostKey> own();
    /// The one that has this key, if an operator here has accepted it. Errors: of the file.
    base::Outcome<std::optional<KnownHost>> paired(const KeyId& key);
    /// The key that is wanted of a host that was paired by this name or address; nothing: by another one, or none.
    base::Outcome<std::optional<KeyId>> key_of(const std::string& host);
    base::Outcome<bool> any();

    /// Somebody showed this key and asks to be paired, or (`asked`) was asked for it here. Only so many of each are kept, and a stranger
    /// costs no words before somebody wants to see them.
    void propose(KnownHost host, const KeyId& key, KnownHost::Standing standing);
    base::Outcome<std::vector<KnownHost>> list();
    /// Errors: noent: no host that is to be paired has these words.
    base::Outcome<KnownHost> accept(const std::string& words);
    /// By name, address or words. Errors: noent.
    base::Outcome<> forget(const std::string& host);

private:
    struct Entry {
        KnownHost host;
        KeyId key{};
    };
    base::Outcome<std::vector<Entry>> load();
    base::Outcome<HostKey> own_held();
    base::Outcome<> find_words();

    std::mutex mutex_;
    SqliteFile file_;
    std::optional<HostKey> own_;
    std::deque<Entry> proposed_;
};

}  // namespace xend
