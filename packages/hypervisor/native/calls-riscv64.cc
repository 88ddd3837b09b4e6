// The ioctls of riscv64.
#include "calls.h"

namespace tsvmm {

namespace {

constexpr Call kCalls[] = {
    {"KVM_GET_REG_LIST", WithSize(KVM_GET_REG_LIST, 8), Kind::kVcpu, Shape::kLongList, 8},
};

}  // namespace

std::span<const Call> ArchitectureCalls() { return kCalls; }

size_t XsaveSize(int) { return 0; }

}  // namespace tsvmm
