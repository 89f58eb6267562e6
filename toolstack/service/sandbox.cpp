// SPDX-License-Identifier: Apache-2.0
#include "toolstack/service/sandbox.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "toolstack/service/fd.hpp"

namespace service {

namespace {

/// What a program needs to start, read files and compute. Whatever makes, changes or removes a file, a socket, a
/// process or another one's memory is not here.
constexpr std::array allowed = {
    SCMP_SYS(read),
    SCMP_SYS(pread64),
    SCMP_SYS(readv),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(close),
    SCMP_SYS(fstat),
    SCMP_SYS(stat),
    SCMP_SYS(lstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(statx),
    SCMP_SYS(statfs),
    SCMP_SYS(fstatfs),
    SCMP_SYS(lseek),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(getdents64),
    SCMP_SYS(getcwd),
    SCMP_SYS(fadvise64),
    SCMP_SYS(dup),
    SCMP_SYS(mmap),
    SCMP_SYS(mprotect),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(futex),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(getpid),
    SCMP_SYS(getppid),
    SCMP_SYS(gettid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(getgroups),
    SCMP_SYS(uname),
    SCMP_SYS(sysinfo),
    SCMP_SYS(getrandom),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(times),
    SCMP_SYS(getrusage),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_yield),
    SCMP_SYS(arch_prctl),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(poll),
    SCMP_SYS(select),
    SCMP_SYS(execve),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(membarrier),
};

int limit(int resource, rlim_t most) {
    const rlimit value{most, most};
    return ::setrlimit(static_cast<__rlimit_resource>(resource), &value) == 0 ? 0 : errno;
}

/// It gets no capability but to read what root may read. Who is not root has none, and may not drop them.
void drop_capabilities() {
    for (int capability = 0; capability < 64; ++capability) {
        if (capability != CAP_DAC_READ_SEARCH) ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    }
}

int add_rules(scmp_filter_ctx filter) {
    for (const int call : allowed) {
        if (const int bad = ::seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0); bad != 0) return -bad;
    }
    // Files are opened for reading only, and nothing is made by opening it.
    constexpr unsigned changing = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY);
    const std::array<std::pair<int, unsigned>, 2> opens = {{{SCMP_SYS(open), 1}, {SCMP_SYS(openat), 2}}};
    for (const auto& [call, flags] : opens) {
        const scmp_arg_cmp reading{flags, SCMP_CMP_MASKED_EQ, changing, 0};
        if (const int bad = ::seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &reading); bad != 0) return -bad;
    }
    // Asking for descriptors' flags, and setting close-on-exec.
    for (const int command : {F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC}) {
        const scmp_arg_cmp same{1, SCMP_CMP_EQ, static_cast<scmp_datum_t>(command), 0};
        if (const int bad = ::seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, &same); bad != 0) return -bad;
    }
    // How large a disk is.
    for (const scmp_datum_t question : std::initializer_list<scmp_datum_t>{BLKGETSIZE64, BLKSSZGET}) {
        const scmp_arg_cmp same{1, SCMP_CMP_EQ, question, 0};
        if (const int bad = ::seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, &same); bad != 0) return -bad;
    }
    // prlimit64 of itself, which cannot raise what is set here: not even root, without its capabilities.
    const scmp_arg_cmp itself{0, SCMP_CMP_EQ, 0, 0};
    return -::seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, &itself);
}

}  // namespace

int enter_sandbox(const SandboxLimits& limits) {
    drop_capabilities();
    const scmp_filter_ctx filter = ::seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (filter == nullptr) return ENOMEM;
    int bad = add_rules(filter);
    if (bad == 0) bad = -::seccomp_load(filter);
    ::seccomp_release(filter);
    if (bad != 0) return bad;
    // Last, as making the filter takes memory.
    for (const auto& [resource, most] : {std::pair<int, rlim_t>{RLIMIT_CPU, limits.cpu_seconds},
                                         {RLIMIT_AS, limits.memory},
                                         {RLIMIT_CORE, 0},
                                         {RLIMIT_NOFILE, 64}}) {
        if (const int failed = limit(resource, most); failed != 0) return failed;
    }
    return 0;
}

bool take_descriptors(std::initializer_list<int> wanted) {
    const int count = static_cast<int>(wanted.size());
    // One that stands where it is wanted already keeps its close-on-exec: duplicated out of the way, it loses it on its way back.
    std::array<int, 8> aside{};
    size_t n = 0;
    for (const int descriptor : wanted) {
        aside.at(n) = ::fcntl(descriptor, F_DUPFD, count);
        if (aside.at(n++) < 0) return false;
    }
    for (int i = 0; i < count; ++i) {
        if (::dup2(aside.at(static_cast<size_t>(i)), i) < 0) return false;
    }
    ::close_range(static_cast<unsigned>(count), ~0U, 0);
    for (int signal = 1; signal < 32; ++signal) ::signal(signal, SIG_DFL);
    return true;
}

bool ends_by(pid_t child, std::chrono::steady_clock::time_point end) {
    const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
    pollfd ended{process.get(), POLLIN, 0};
    int ready = 0;
    do {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
        ready = ::poll(&ended, 1, left > 0 ? static_cast<int>(left) : 0);
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

}  // namespace service
