// The ioctls of aarch64.
#include "calls.h"

namespace tsvmm {

namespace {

constexpr Call kCalls[] = {
    {"KVM_GET_REG_LIST", WithSize(KVM_GET_REG_LIST, 8), Kind::kVcpu, Shape::kLongList, 8},
    TSVMM_FIXED(KVM_GET_VCPU_EVENTS, kVcpu),
    TSVMM_FIXED(KVM_SET_VCPU_EVENTS, kVcpu),
    TSVMM_FIXED(KVM_ARM_PREFERRED_TARGET, kVm),
    TSVMM_FIXED(KVM_ARM_VCPU_INIT, kVcpu),
    TSVMM_FIXED(KVM_ARM_VCPU_FINALIZE, kVcpu),
};

}  // namespace

std::span<const Call> ArchitectureCalls() { return kCalls; }

size_t XsaveSize(int) { return 0; }

}  // namespace tsvmm
