// KVM's objects, which threads share, and how JavaScript holds them.
//
// An object lives for as long as any thread holds it, and is known to the process by a number that is never used again:
// that number, unlike a descriptor's, can be posted to another thread without the danger that it means something else
// by the time it arrives.
#pragma once

#include <linux/kvm.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "support.h"

namespace tsvmm {

enum class Kind { kSystem = 1, kVm, kVcpu, kDevice };

/// `ioctl`, repeated when a signal came first. KVM_RUN is the one call for which that would be wrong.
int Control(int fd, unsigned long request, void* argument);

/// What has a descriptor and takes ioctls.
struct Object : std::enable_shared_from_this<Object> {
  const Kind kind;
  const int fd;
  /// What must outlive it: a vCPU's machine.
  const std::shared_ptr<Object> parent;
  /// The number by which other threads find it.
  uint32_t handle = 0;

  Object(Kind kind, int fd, std::shared_ptr<Object> parent);
  virtual ~Object();
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
};

/// /dev/kvm.
struct System : Object {
  /// Bytes of each vCPU's shared pages (KVM_GET_VCPU_MMAP_SIZE).
  const size_t run_size;
  System(int fd, size_t run_size) : Object(Kind::kSystem, fd, nullptr), run_size(run_size) {}
};

/// A range of this process's addresses, unmapped at the end.
struct Mapping {
  void* const address;
  const size_t size;
  Mapping(void* address, size_t size) : address(address), size(size) {}
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
};

struct Slot {
  uint64_t guest_address;
  /// Where it is for this process, in `memory`.
  void* address;
  uint64_t size;
  std::shared_ptr<Mapping> memory;
};

struct Vm : Object {
  /// KVM_SET_USER_MEMORY_REGION2 where the host has it, else KVM_SET_USER_MEMORY_REGION.
  const unsigned long set_memory;
  /// Bytes that KVM_GET_XSAVE2 fills and KVM_SET_XSAVE reads; 0 where there is no XSAVE.
  const size_t xsave_size;
  std::mutex mutex;
  /// Memory by slot, guarded by `mutex`.
  std::map<uint32_t, Slot> slots;
  Vm(int fd, std::shared_ptr<Object> system, unsigned long set_memory, size_t xsave_size)
      : Object(Kind::kVm, fd, std::move(system)), set_memory(set_memory), xsave_size(xsave_size) {}
  ~Vm() override;
};

struct Vcpu : Object {
  /// The pages shared with the kernel; `struct kvm_run` is at their start.
  const Mapping pages;
  /// Whether somebody wants `run` to return. A word: riscv64 has no atomic exchange of bytes.
  std::atomic<uint32_t> stop{0};
  /// Kernel id of the thread that attached it, 0 while none has.
  std::atomic<pid_t> thread{0};
  Vcpu(int fd, std::shared_ptr<Object> vm, void* pages, size_t size)
      : Object(Kind::kVcpu, fd, std::move(vm)), pages(pages, size) {}
  kvm_run* run() const { return static_cast<kvm_run*>(pages.address); }
};

/// Makes `object` findable by other threads.
void Register(const std::shared_ptr<Object>& object);

/// What the owner of an external of ours has: the object until it is released.
struct Holder {
  std::shared_ptr<Object> object;
  /// Run before the object is let go, on the holder's own thread; set by what attaches more than a reference.
  void (*before_release)(Napi::Env env, Holder& holder) = nullptr;
  /// What KVM_RUN is called on: of a vCPU that this holder has attached, -1 otherwise.
  int run_fd = -1;
  /// The buffer over a vCPU's shared pages, and what keeps these mapped while it can be reached.
  Napi::Reference<Napi::ArrayBuffer> buffer;
  std::shared_ptr<Object>* buffer_owner = nullptr;
};

/// An external for JavaScript.
Napi::Value Hold(Napi::Env env, std::shared_ptr<Holder> holder);
Napi::Value Hold(Napi::Env env, std::shared_ptr<Object> object);

/// The object in an argument. Throws EBADF when it was released, EINVAL when it is something else.
std::shared_ptr<Object> Held(const Napi::CallbackInfo& info, size_t index, const char* call);

/// The same, of one kind.
template <typename T>
std::shared_ptr<T> HeldAs(const Napi::CallbackInfo& info, size_t index, const char* call, Kind kind) {
  std::shared_ptr<Object> object = Held(info, index, call);
  if (object->kind != kind) Throw(info.Env(), EINVAL, call, "this call is not for this kind of object");
  return std::static_pointer_cast<T>(object);
}

/// An object that another thread made, by its handle. Throws EBADF when there is none any more.
std::shared_ptr<Object> Find(const Napi::CallbackInfo& info, size_t index, const char* call, Kind kind);

}  // namespace tsvmm
