// SPDX-License-Identifier: Apache-2.0
/// Hypercalls whose service we do not have. The answer is the one of a Xen without it, so that guests go on without.
#include "hypervisor/hypercall/handlers.hpp"

namespace hv {

Result<uint64_t> hypercall_xsm_op(Vcpu&, const uint64_t (&)[6]) { return Err{Errc::nosys}; }
Result<uint64_t> hypercall_hvm_op(Vcpu&, const uint64_t (&)[6]) { return Err{Errc::nosys}; }
Result<uint64_t> hypercall_kexec_op(Vcpu&, const uint64_t (&)[6]) { return Err{Errc::nosys}; }
Result<uint64_t> hypercall_tmem_op(Vcpu&, const uint64_t (&)[6]) { return Err{Errc::nosys}; }
Result<uint64_t> hypercall_argo_op(Vcpu&, const uint64_t (&)[6]) { return Err{Errc::nosys}; }
Result<uint64_t> hypercall_xenpmu_op(Vcpu&, const uint64_t (&)[6]) { return Err{Errc::opnotsupp}; }
Result<uint64_t> hypercall_dm_op(Vcpu&, const uint64_t (&)[6]) { return Err{Errc::nosys}; }
Result<uint64_t> hypercall_hypfs_op(Vcpu&, const uint64_t (&)[6]) { return Err{Errc::nosys}; }
Result<uint64_t> hypercall_mca(Vcpu&, const uint64_t (&)[6]) { return Err{Errc::nosys}; }

}  // namespace hv
