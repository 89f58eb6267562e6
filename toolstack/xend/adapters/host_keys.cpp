// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/host_keys.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include <algorithm>
#include <sstream>

#include "toolstack/service/log.hpp"

namespace xend {

using base::Errc;
using base::Outcome;

namespace {

// The certificates only carry the keys: nobody else signs them, and they say nothing that is believed.
constexpr int days_good = 3650;
constexpr size_t most_proposed = 16;  // of each standing

constexpr std::array<const char*, 1> versions = {
    "CREATE TABLE own (key TEXT NOT NULL, certificate TEXT NOT NULL);"
    "CREATE TABLE hosts (key TEXT PRIMARY KEY, name TEXT NOT NULL, address TEXT NOT NULL, words TEXT NOT NULL, "
    "at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);"};

template <auto Free>
struct Freed {
    void operator()(auto* what) const { Free(what); }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;

std::string text_of(BIO* bio) {
    char* data = nullptr;
    const long length = BIO_get_mem_data(bio, &data);
    return length > 0 ? std::string(data, static_cast<size_t>(length)) : std::string();
}

Certificate certificate_in(const std::string& text) {
    const Bio bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
    return Certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

std::string hex_of(const KeyId& key) {
    std::string out;
    for (const uint8_t byte : key)
        for (const int digit : {byte >> 4, byte & 15}) out += "0123456789abcdef"[digit];
    return out;
}

std::optional<KeyId> key_in(const std::string& hex) {
    KeyId out{};
    if (hex.size() != 2 * out.size()) return std::nullopt;
    for (size_t i = 0; i < hex.size(); ++i) {
        const size_t digit = std::string_view("0123456789abcdef").find(hex[i]);
        if (digit == std::string_view::npos) return std::nullopt;
        out[i / 2] = static_cast<uint8_t>(out[i / 2] * 16U + digit);
    }
    return out;
}

/// Sixteen bits as a word that can be spoken: consonants and vowels in turn.
std::string word_of(unsigned bits) {
    constexpr std::string_view consonants = "bdfghjklmnprstvz", vowels = "aiou";
    std::string out;
    for (const int at : {12, 10, 6, 4, 0}) out += at == 10 || at == 4 ? vowels[bits >> at & 3U] : consonants[bits >> at & 15U];
    return out;
}

/// In lower case, with one blank between two.
std::string plain_words(const std::string& text) {
    std::string out;
    std::istringstream words(text);
    for (std::string word; words >> word;) out += (out.empty() ? "" : " ") + word;
    std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
    return out;
}

bool is_called(const KnownHost& host, const std::string& name) {
    return !name.empty() && (host.name == name || host.address == name || host.words == name);
}

}  // namespace

Outcome<HostKey> HostKey::make(int days) {
    const Key key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
    const Certificate made(X509_new());
    const Bio key_text(BIO_new(BIO_s_mem())), text(BIO_new(BIO_s_mem()));
    uint64_t serial = 0;
    bool good = key && made && key_text && text && RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1;
    good = good && X509_set_version(made.get(), X509_VERSION_3) == 1 &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(made.get()), serial >> 1U | 1U) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(made.get()), 0) != nullptr &&
           X509_time_adj_ex(X509_getm_notAfter(made.get()), days, 0, nullptr) != nullptr &&
           X509_set_pubkey(made.get(), key.get()) == 1;
    X509_NAME* const name = good ? X509_get_subject_name(made.get()) : nullptr;
    const auto* const host = reinterpret_cast<const unsigned char*>("Xenolith host");
    good = good && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, host, -1, -1, 0) == 1 &&
           X509_set_issuer_name(made.get(), name) == 1 && X509_sign(made.get(), key.get(), nullptr) != 0 &&
           PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1 &&
           PEM_write_bio_X509(text.get(), made.get()) == 1;
    if (!good) return base::fail(Errc::io, "Cannot make a key for this host");
    return HostKey{text_of(key_text.get()), text_of(text.get())};
}

Outcome<KeyId> HostKey::id() const {
    KeyId out{};
    const Certificate shown = certificate_in(certificate);
    if (shown && X509_digest(shown.get(), EVP_sha256(), out.data(), nullptr) == 1) return out;
    return base::fail(Errc::badmsg, "this host's key is damaged");
}

bool HostKey::expired() const {
    const Certificate shown = certificate_in(certificate);
    return !shown || X509_cmp_current_time(X509_get0_notAfter(shown.get())) <= 0;
}

std::string words_of(const KeyId& one, const KeyId& other) {
    // Two sets of keys in which two pairs have the same 96 bits need 2^48 tries, each of which costs this.
    constexpr int rounds = 1 << 16;
    constexpr std::string_view salt = "Xenolith: the keys of two hosts";
    const auto& [first, second] = std::minmax(one, other);
    std::string both(first.begin(), first.end());
    both.append(second.begin(), second.end());
    std::array<uint8_t, 12> bits{};
    if (PKCS5_PBKDF2_HMAC(both.data(), static_cast<int>(both.size()), reinterpret_cast<const unsigned char*>(salt.data()),
                          static_cast<int>(salt.size()), rounds, EVP_sha256(), static_cast<int>(bits.size()), bits.data()) != 1)
        return {};
    std::string out;
    for (size_t i = 0; i < bits.size(); i += 2)
        out += (i == 0 ? "" : " ") + word_of(static_cast<unsigned>(bits[i] << 8U | bits[i + 1]));
    return out;
}

HostKeys::HostKeys(std::string file) : file_(std::move(file), versions) {}

Outcome<HostKey> HostKeys::own() {
    const std::lock_guard guard(mutex_);
    return own_held();
}

/// The caller holds the lock.
Outcome<HostKey> HostKeys::own_held() {
    if (!own_) {
        OTRY(file_.read("SELECT key, certificate FROM own", [this](const std::vector<std::string>& row) {
            own_ = HostKey{row[0], row[1]};
        }));
    }
    if (own_ && !own_->expired()) return *own_;
    if (own_) service::log(service::LogLevel::warning, "this host's key has expired: other hosts must be paired with it anew");
    HostKey made = OTRY(HostKey::make(days_good));
    OTRY(file_.write(
        {{"DELETE FROM own", {}}, {"INSERT INTO own (key, certificate) VALUES (?1, ?2)", {made.key, made.certificate}}}));
    own_ = made;
    return made;
}

/// The caller holds the lock.
Outcome<std::vector<HostKeys::Entry>> HostKeys::load() {
    std::vector<Entry> out;
    OTRY(file_.read("SELECT key, name, address, words FROM hosts ORDER BY name", [&out](const std::vector<std::string>& row) {
        // What is not understood is nobody's key.
        if (const auto key = key_in(row[0])) out.push_back({{row[1], row[2], row[3], KnownHost::Standing::paired}, *key});
    }));
    return out;
}

Outcome<std::optional<KnownHost>> HostKeys::paired(const KeyId& key) {
    const std::lock_guard guard(mutex_);
    for (Entry& entry : OTRY(load())) {
        if (entry.key == key) return std::optional(std::move(entry.host));
    }
    return std::optional<KnownHost>{};
}

Outcome<std::optional<KeyId>> HostKeys::key_of(const std::string& host) {
    const std::lock_guard guard(mutex_);
    for (const Entry& entry : OTRY(load())) {
        if (is_called(entry.host, host)) return std::optional(entry.key);
    }
    return std::optional<KeyId>{};
}

Outcome<bool> HostKeys::any() {
    const std::lock_guard guard(mutex_);
    return !OTRY(load()).empty();
}

void HostKeys::propose(KnownHost host, const KeyId& key, KnownHost::Standing standing) {
    host.standing = standing;
    host.words.clear();
    const std::lock_guard guard(mutex_);
    const auto same = [standing](const Entry& entry) { return entry.host.standing == standing; };
    std::erase_if(proposed_, [&](const Entry& entry) { return same(entry) && entry.key == key; });
    // Strangers push out strangers alone.
    if (static_cast<size_t>(std::ranges::count_if(proposed_, same)) >= most_proposed)
        proposed_.erase(std::ranges::find_if(proposed_, same));
    proposed_.push_back({std::move(host), key});
}

/// The caller holds the lock.
Outcome<> HostKeys::find_words() {
    const HostKey ours = OTRY(own_held());
    const KeyId mine = OTRY(ours.id());
    for (Entry& entry : proposed_) {
        if (entry.host.words.empty()) entry.host.words = words_of(mine, entry.key);
        if (entry.host.words.empty()) return base::fail(Errc::io, "Cannot make the words of two keys");
    }
    return base::ok;
}

Outcome<std::vector<KnownHost>> HostKeys::list() {
    const std::lock_guard guard(mutex_);
    std::vector<KnownHost> out;
    OTRY(find_words());
    for (Entry& entry : OTRY(load())) out.push_back(std::move(entry.host));
    for (const Entry& entry : proposed_) out.push_back(entry.host);
    return out;
}

Outcome<KnownHost> HostKeys::accept(const std::string& text) {
    const std::string words = plain_words(text);
    const std::lock_guard guard(mutex_);
    OTRY(find_words());
    // By the name that was typed here, if there is one.
    const auto has = [&](const Entry& entry) { return entry.host.words == words; };
    auto at = std::ranges::find_if(
        proposed_, [&](const Entry& entry) { return has(entry) && entry.host.standing == KnownHost::Standing::asked; });
    if (at == proposed_.end()) at = std::ranges::find_if(proposed_, has);
    if (at == proposed_.end()) return base::fail(Errc::noent, "No host that is to be paired has these words: see 'xm host-list'");
    Entry entry = *at;
    entry.host.standing = KnownHost::Standing::paired;
    // Who had that name before has another key now, or is another one.
    OTRY(file_.write({{"DELETE FROM hosts WHERE name = ?1 OR key = ?2", {entry.host.name, hex_of(entry.key)}},
                      {"INSERT INTO hosts (key, name, address, words) VALUES (?1, ?2, ?3, ?4)",
                       {hex_of(entry.key), entry.host.name, entry.host.address, words}}}));
    std::erase_if(proposed_, has);
    return entry.host;
}

Outcome<> HostKeys::forget(const std::string& text) {
    const std::string words = plain_words(text);
    const auto named = [&](const KnownHost& host) { return is_called(host, text) || host.words == words; };
    const std::lock_guard guard(mutex_);
    size_t found = std::erase_if(proposed_, [&](const Entry& entry) { return named(entry.host); });
    for (const Entry& entry : OTRY(load())) {
        if (!named(entry.host)) continue;
        OTRY(file_.write({{"DELETE FROM hosts WHERE key = ?1", {hex_of(entry.key)}}}));
        ++found;
    }
    if (found == 0) return base::fail(Errc::noent, "Host '" + text.substr(0, 128) + "' is not known: see 'xm host-list'");
    return base::ok;
}

}  // namespace xend
