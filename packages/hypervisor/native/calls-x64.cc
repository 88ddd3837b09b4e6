// The ioctls of x86_64.
#include <algorithm>

#include "calls.h"

namespace tsvmm {

namespace {

constexpr Call kCalls[] = {
    TSVMM_NUMBER(KVM_CREATE_IRQCHIP, kVm),
    TSVMM_FIXED(KVM_GET_CLOCK, kVm),
    TSVMM_FIXED(KVM_SET_CLOCK, kVm),
    TSVMM_FIXED(KVM_GET_VCPU_EVENTS, kVcpu),
    TSVMM_FIXED(KVM_SET_VCPU_EVENTS, kVcpu),
    TSVMM_LIST(KVM_GET_SUPPORTED_CPUID, kSystem, 8, kvm_cpuid_entry2),
    TSVMM_LIST(KVM_GET_MSR_INDEX_LIST, kSystem, 4, uint32_t),
    TSVMM_NUMBER(KVM_SET_TSS_ADDR, kVm),
    TSVMM_FIXED(KVM_SET_IDENTITY_MAP_ADDR, kVm),
    TSVMM_FIXED(KVM_CREATE_PIT2, kVm),
    TSVMM_FIXED(KVM_GET_PIT2, kVm),
    {"KVM_SET_PIT2", KVM_SET_PIT2, Kind::kVm, Shape::kFixed, 0},
    TSVMM_FIXED(KVM_GET_IRQCHIP, kVm),
    // Its number says _IOR, which is what it is for user space too: the kernel reads the structure.
    TSVMM_FIXED(KVM_SET_IRQCHIP, kVm),
    TSVMM_FIXED(KVM_GET_REGS, kVcpu),
    TSVMM_FIXED(KVM_SET_REGS, kVcpu),
    TSVMM_FIXED(KVM_GET_SREGS, kVcpu),
    TSVMM_FIXED(KVM_SET_SREGS, kVcpu),
    TSVMM_FIXED(KVM_GET_FPU, kVcpu),
    TSVMM_FIXED(KVM_SET_FPU, kVcpu),
    TSVMM_LIST(KVM_GET_MSRS, kVcpu, 8, kvm_msr_entry),
    TSVMM_LIST(KVM_SET_MSRS, kVcpu, 8, kvm_msr_entry),
    TSVMM_LIST(KVM_GET_CPUID2, kVcpu, 8, kvm_cpuid_entry2),
    TSVMM_LIST(KVM_SET_CPUID2, kVcpu, 8, kvm_cpuid_entry2),
    {"KVM_GET_XSAVE2", WithSize(KVM_GET_XSAVE2, 4096), Kind::kVcpu, Shape::kXsave, 0},
    {"KVM_GET_XSAVE", WithSize(KVM_GET_XSAVE, 4096), Kind::kVcpu, Shape::kFixed, 0},
    {"KVM_SET_XSAVE", WithSize(KVM_SET_XSAVE, 4096), Kind::kVcpu, Shape::kXsave, 0},
    TSVMM_FIXED(KVM_GET_XCRS, kVcpu),
    TSVMM_FIXED(KVM_SET_XCRS, kVcpu),
    TSVMM_FIXED(KVM_GET_DEBUGREGS, kVcpu),
    TSVMM_FIXED(KVM_SET_DEBUGREGS, kVcpu),
    TSVMM_FIXED(KVM_GET_LAPIC, kVcpu),
    TSVMM_FIXED(KVM_SET_LAPIC, kVcpu),
    {"KVM_GET_NESTED_STATE", WithSize(KVM_GET_NESTED_STATE, 128), Kind::kVcpu, Shape::kSized, 0},
    {"KVM_SET_NESTED_STATE", WithSize(KVM_SET_NESTED_STATE, 128), Kind::kVcpu, Shape::kSized, 0},
    TSVMM_FIXED(KVM_INTERRUPT, kVcpu),
    TSVMM_NUMBER(KVM_NMI, kVcpu),
    TSVMM_NUMBER(KVM_KVMCLOCK_CTRL, kVcpu),
    TSVMM_NUMBER(KVM_GET_TSC_KHZ, kVcpu),
    TSVMM_NUMBER(KVM_SET_TSC_KHZ, kVcpu),
};

}  // namespace

std::span<const Call> ArchitectureCalls() { return kCalls; }

size_t XsaveSize(int machine) {
  if (Extension(machine, KVM_CAP_XSAVE) == 0) return 0;
  return std::max<size_t>(4096, static_cast<size_t>(Extension(machine, KVM_CAP_XSAVE2)));
}

}  // namespace tsvmm
