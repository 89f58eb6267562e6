// SPDX-License-Identifier: Apache-2.0
#include "lib/proto/saved/order.hpp"

namespace proto::saved {

using base::Errc;
using base::Outcome;

const char* name_of(Record type) {
    switch (type) {
        case Record::end: return "END";
        case Record::page_data: return "PAGE_DATA";
        case Record::pv_info: return "X86_PV_INFO";
        case Record::p2m_frames: return "X86_PV_P2M_FRAMES";
        case Record::vcpu_basic: return "X86_PV_VCPU_BASIC";
        case Record::vcpu_extended: return "X86_PV_VCPU_EXTENDED";
        case Record::vcpu_xsave: return "X86_PV_VCPU_XSAVE";
        case Record::shared_info: return "SHARED_INFO";
        case Record::tsc_info: return "X86_TSC_INFO";
        case Record::hvm_context: return "HVM_CONTEXT";
        case Record::hvm_params: return "HVM_PARAMS";
        case Record::vcpu_msrs: return "X86_PV_VCPU_MSRS";
        case Record::verify: return "VERIFY";
        case Record::checkpoint: return "CHECKPOINT";
        case Record::static_data_end: return "STATIC_DATA_END";
        case Record::cpuid_policy: return "X86_CPUID_POLICY";
        case Record::msr_policy: return "X86_MSR_POLICY";
    }
    return nullptr;
}

namespace {

base::Failure wrong(Record type, const std::string& why) {
    return base::fail(Errc::badmsg, std::string(name_of(type)) + " " + why);
}

}  // namespace

Outcome<> RecordOrder::accept(Record type, uint32_t vcpu) {
    if (ended_) return wrong(type, "behind the end");
    const bool of_vcpu =
        type == Record::vcpu_basic || type == Record::vcpu_extended || type == Record::vcpu_xsave || type == Record::vcpu_msrs;
    const bool repeats = type == Record::page_data || of_vcpu || (type == Record::p2m_frames && !state_begun_);
    if (seen(type) && !repeats) return wrong(type, "comes twice");
    const bool is_static =
        type == Record::pv_info || type == Record::cpuid_policy || type == Record::msr_policy || type == Record::static_data_end;
    if (type != Record::pv_info && !seen(Record::pv_info)) return wrong(type, "comes before X86_PV_INFO");
    if (is_static && seen(Record::static_data_end)) return wrong(type, "comes behind STATIC_DATA_END");
    if (!is_static && !seen(Record::static_data_end)) return wrong(type, "comes before STATIC_DATA_END");
    if (!is_static && type != Record::p2m_frames && !seen(Record::p2m_frames))
        return wrong(type, "comes before X86_PV_P2M_FRAMES");
    if (type == Record::page_data && state_begun_) return wrong(type, "comes behind the state of the stopped domain");
    if (of_vcpu) OTRY(accept_vcpu(type, vcpu));
    if (type == Record::end) OTRY(check_complete());
    seen_ |= bit(type);
    state_begun_ = state_begun_ || of_vcpu || type == Record::tsc_info || type == Record::shared_info;
    ended_ = type == Record::end;
    return base::ok;
}

Outcome<> RecordOrder::accept_vcpu(Record type, uint32_t vcpu) {
    const std::string which = "of vCPU " + std::to_string(vcpu);
    if (vcpu >= vcpu_limit) return wrong(type, which + ": there are none above " + std::to_string(vcpu_limit - 1));
    if (vcpu >= vcpus_.size()) vcpus_.resize(vcpu + 1);
    uint64_t& had = vcpus_[vcpu];
    if ((had & bit(type)) != 0) return wrong(type, which + " comes twice");
    if (type != Record::vcpu_basic && (had & bit(Record::vcpu_basic)) == 0)
        return wrong(type, which + " comes before its X86_PV_VCPU_BASIC");
    had |= bit(type);
    return base::ok;
}

Outcome<> RecordOrder::check_complete() const {
    for (const Record needed : {Record::tsc_info, Record::shared_info}) {
        if (!seen(needed)) return wrong(Record::end, std::string("comes without ") + name_of(needed));
    }
    if (vcpus_.empty() || vcpus_[0] == 0) return wrong(Record::end, "comes without the state of vCPU 0");
    return base::ok;
}

}  // namespace proto::saved
