// SPDX-License-Identifier: Apache-2.0
/// clang thread-safety attributes; empty for other compilers, and for tests, where one thread plays all CPUs.
#pragma once

#if defined(__clang__) && !defined(HV_NO_LOCK_ANALYSIS)
#define HV_TSA(x) __attribute__((x))
#else
#define HV_TSA(x)
#endif

#define CAPABILITY(name) HV_TSA(capability(name))
#define SCOPED_CAPABILITY HV_TSA(scoped_lockable)
#define GUARDED_BY(l) HV_TSA(guarded_by(l))
#define ACQUIRE(...) HV_TSA(acquire_capability(__VA_ARGS__))
#define RELEASE(...) HV_TSA(release_capability(__VA_ARGS__))
#define REQUIRES(...) HV_TSA(requires_capability(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS HV_TSA(no_thread_safety_analysis)
