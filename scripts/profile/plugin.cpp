// SPDX-License-Identifier: Apache-2.0
// A QEMU plugin that counts the instructions of each block of code that the machine runs: exact, not sampled.
// SIGUSR2 to QEMU starts counting, and ends it the next time. At the end the file out= has `ADDRESS INSTRUCTIONS` lines, addresses in hex.
// The declarations are those of QEMU's plugin interface (docs/devel/tcg-plugins), of which this needs six functions.
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <mutex>

extern "C" {
struct qemu_plugin_tb;
struct qemu_info_t;
using plugin_id = uint64_t;
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*callback)(plugin_id, qemu_plugin_tb*));
void qemu_plugin_register_vcpu_tb_exec_cb(qemu_plugin_tb* block, void (*callback)(unsigned, void*), int flags, void* data);
void qemu_plugin_register_atexit_cb(plugin_id id, void (*callback)(plugin_id, void*), void* data);
size_t qemu_plugin_tb_n_insns(const qemu_plugin_tb* block);
uint64_t qemu_plugin_tb_vaddr(const qemu_plugin_tb* block);
__attribute__((visibility("default"))) int qemu_plugin_version = QEMU_PLUGIN_INTERFACE;
}

namespace {

struct Block {
    uint64_t address = 0, instructions = 0;
    volatile uint64_t runs = 0;  // two CPUs may lose one of each other's now and then
};

auto& blocks = *new std::deque<Block>;  // grows, and what points into it stays right; never destroyed: at_exit() comes late
std::mutex blocks_lock;
volatile std::sig_atomic_t counting = 0;
const char* out_file = nullptr;

void ran(unsigned, void* data) {
    auto* const block = static_cast<Block*>(data);
    if (counting) block->runs = block->runs + 1;
}

void translated(plugin_id, qemu_plugin_tb* tb) {
    const std::lock_guard held(blocks_lock);
    auto& block = blocks.emplace_back();
    block.address = qemu_plugin_tb_vaddr(tb);
    block.instructions = qemu_plugin_tb_n_insns(tb);
    qemu_plugin_register_vcpu_tb_exec_cb(tb, ran, 0, &block);
}

void at_exit(plugin_id, void*) {
    std::FILE* const out = std::fopen(out_file, "w");
    if (out == nullptr) return;
    const std::lock_guard held(blocks_lock);
    for (const auto& block : blocks)
        if (block.runs != 0)
            std::fprintf(out, "%llx %llu\n", static_cast<unsigned long long>(block.address),
                         static_cast<unsigned long long>(block.runs * block.instructions));
    std::fclose(out);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const qemu_info_t*, int argc,
                                                                          char** argv) {
    for (int i = 0; i < argc; ++i)
        if (std::strncmp(argv[i], "out=", 4) == 0) out_file = argv[i] + 4;
    if (out_file == nullptr) return 1;
    std::signal(SIGUSR2, [](int) { counting = !counting; });
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, at_exit, nullptr);
    return 0;
}
