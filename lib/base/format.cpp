// SPDX-License-Identifier: Apache-2.0
#include "lib/base/format.hpp"

#include <cstdint>

namespace base {
namespace {

struct Sink {
    char* buf;
    size_t size;
    size_t len = 0;
    void put(char c) {
        if (len + 1 < size) buf[len] = c;
        ++len;
    }
};

struct Spec {
    bool left = false, zero = false, alt = false, plus = false;
    int width = 0, precision = -1, longs = 0;
};

void put_padded(Sink& out, const char* s, int n, const Spec& spec, char fill) {
    const int pad = spec.width > n ? spec.width - n : 0;
    if (!spec.left)
        for (int i = 0; i < pad; ++i) out.put(fill);
    for (int i = 0; i < n; ++i) out.put(s[i]);
    if (spec.left)
        for (int i = 0; i < pad; ++i) out.put(' ');
}

void put_number(Sink& out, uint64_t v, bool negative, unsigned base, bool upper, const Spec& spec) {
    char digits[24];
    int n = 0;
    do {
        const unsigned d = static_cast<unsigned>(v % base);
        digits[n++] = static_cast<char>(d < 10 ? '0' + d : (upper ? 'A' : 'a') + d - 10);
        v /= base;
    } while (v);
    char text[28];
    int len = 0;
    if (negative) text[len++] = '-';
    else if (spec.plus) text[len++] = '+';
    if (spec.alt && base == 16) {
        text[len++] = '0';
        text[len++] = 'x';
    }
    const int prefix = len;
    // Zero fill goes between prefix and digits.
    while (n > 0) text[len++] = digits[--n];
    if (spec.zero && !spec.left && len < spec.width && prefix > 0) {
        for (int i = 0; i < prefix; ++i) out.put(text[i]);
        Spec rest = spec;
        rest.width -= prefix;
        put_padded(out, text + prefix, len - prefix, rest, '0');
        return;
    }
    put_padded(out, text, len, spec, spec.zero && !spec.left ? '0' : ' ');
}

uint64_t fetch_unsigned(va_list& ap, int longs) { return longs >= 1 ? va_arg(ap, unsigned long) : va_arg(ap, unsigned int); }
int64_t fetch_signed(va_list& ap, int longs) { return longs >= 1 ? va_arg(ap, long) : va_arg(ap, int); }

const char* parse_spec(const char* p, Spec& spec, va_list& ap) {
    for (;; ++p) {
        if (*p == '-') spec.left = true;
        else if (*p == '0') spec.zero = true;
        else if (*p == '#') spec.alt = true;
        else if (*p == '+') spec.plus = true;
        else break;
    }
    if (*p == '*') {
        spec.width = va_arg(ap, int);
        ++p;
    }
    for (; *p >= '0' && *p <= '9'; ++p) spec.width = spec.width * 10 + (*p - '0');
    if (*p == '.') {
        spec.precision = 0;
        ++p;
        if (*p == '*') {
            spec.precision = va_arg(ap, int);
            ++p;
        }
        for (; *p >= '0' && *p <= '9'; ++p) spec.precision = spec.precision * 10 + (*p - '0');
    }
    for (; *p == 'l' || *p == 'z'; ++p) ++spec.longs;
    return p;
}

void put_conversion(Sink& out, char c, const Spec& spec, va_list& ap) {
    switch (c) {
        case 'd':
        case 'i': {
            const int64_t v = fetch_signed(ap, spec.longs);
            put_number(out, v < 0 ? 0 - static_cast<uint64_t>(v) : static_cast<uint64_t>(v), v < 0, 10, false, spec);
            break;
        }
        case 'u': put_number(out, fetch_unsigned(ap, spec.longs), false, 10, false, spec); break;
        case 'x':
        case 'X': put_number(out, fetch_unsigned(ap, spec.longs), false, 16, c == 'X', spec); break;
        case 'p': {
            Spec s = spec;
            s.zero = true;
            s.width = 16;
            put_number(out, reinterpret_cast<uint64_t>(va_arg(ap, void*)), false, 16, false, s);
            break;
        }
        case 'c': {
            const char ch = static_cast<char>(va_arg(ap, int));
            put_padded(out, &ch, 1, spec, ' ');
            break;
        }
        case 's': {
            const char* s = va_arg(ap, const char*);
            if (!s) s = "(null)";
            int n = 0;
            while ((spec.precision < 0 || n < spec.precision) && s[n]) ++n;
            put_padded(out, s, n, spec, ' ');
            break;
        }
        case '%': out.put('%'); break;
        default: out.put('%'); out.put(c);
    }
}

}  // namespace

size_t vformat(char* buf, size_t size, const char* fmt, va_list args) {
    va_list ap;
    va_copy(ap, args);
    Sink out{buf, size};
    for (const char* p = fmt; *p; ++p) {
        if (*p != '%') {
            out.put(*p);
            continue;
        }
        Spec spec;
        p = parse_spec(p + 1, spec, ap);
        if (!*p) break;
        put_conversion(out, *p, spec, ap);
    }
    va_end(ap);
    if (size) buf[out.len < size ? out.len : size - 1] = 0;
    return out.len;
}

size_t format(char* buf, size_t size, const char* fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const size_t n = vformat(buf, size, fmt, ap);
    va_end(ap);
    return n;
}

}  // namespace base
