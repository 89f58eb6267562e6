// SPDX-License-Identifier: Apache-2.0
/// printf into a buffer, without a standard library.
#pragma once

#include <cstdarg>
#include <cstddef>

namespace base {

/// Formats into buf (always terminated when size > 0); returns the length that the whole text needs.
/// Formats: %d %u %x %lx %lu %ld %s %c %p %%, width, zero fill, l and z modifiers.
size_t format(char* buf, size_t size, const char* fmt, ...) __attribute__((format(printf, 3, 4)));
size_t vformat(char* buf, size_t size, const char* fmt, va_list ap) __attribute__((format(printf, 3, 0)));

}  // namespace base
