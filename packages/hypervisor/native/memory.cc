// Memory slots. The add-on maps the memory itself, so that a slot does not depend on what JavaScript's collector does.
#include <linux/kvm.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "objects.h"

namespace tsvmm {

namespace {

constexpr const char* kSetMemory = "KVM_SET_USER_MEMORY_REGION";
constexpr uint64_t kPage = 4096;

/// Large enough for `struct kvm_userspace_memory_region2`, which begins like the older structure and goes on with zeros.
union Region {
  kvm_userspace_memory_region region;
  uint8_t bytes[160];
};

int Set(const Vm& vm, uint32_t slot, uint32_t flags, uint64_t guest_address, uint64_t size, void* address) {
  Region region;
  std::memset(&region, 0, sizeof region);
  region.region.slot = slot;
  region.region.flags = flags;
  region.region.guest_phys_addr = guest_address;
  region.region.memory_size = size;
  region.region.userspace_addr = reinterpret_cast<uintptr_t>(address);
  return Control(vm.fd, vm.set_memory, &region) < 0 ? errno : 0;
}

std::shared_ptr<Mapping> MapFile(const Napi::CallbackInfo& info, int fd, uint64_t offset, uint64_t size,
                                 bool read_only) {
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  if (size == 0 || size % page != 0 || offset % page != 0) {
    Throw(info.Env(), EINVAL, "mmap", "memory of a machine consists of whole pages of " + std::to_string(page) + " bytes");
  }
  struct stat status;
  if (fstat(fd, &status) != 0) Throw(info.Env(), errno, "fstat", "cannot use descriptor " + std::to_string(fd));
  if (S_ISREG(status.st_mode)) {
    const auto file_size = static_cast<uint64_t>(status.st_size);
    if (offset > file_size || size > file_size - offset) {
      Throw(info.Env(), EINVAL, "mmap",
            std::to_string(size) + " bytes from offset " + std::to_string(offset) +
                " reach past the end of a file of " + std::to_string(file_size) + " bytes");
    }
  }
  void* const address = mmap(nullptr, size, read_only ? PROT_READ : PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_NORESERVE, fd, static_cast<off_t>(offset));
  if (address == MAP_FAILED) {
    Throw(info.Env(), errno, "mmap", "cannot map " + std::to_string(size) + " bytes of guest memory");
  }
  return std::make_shared<Mapping>(address, size);
}

/// addMemory(vm, slot, flags, guestAddress, size, fd, fdOffset)
Napi::Value AddMemory(const Napi::CallbackInfo& info) {
  const auto vm = HeldAs<Vm>(info, 0, kSetMemory, Kind::kVm);
  const auto slot = static_cast<uint32_t>(Unsigned(info, 1, kSetMemory, "the slot", UINT32_MAX));
  const auto flags = static_cast<uint32_t>(
      Unsigned(info, 2, kSetMemory, "the flags", KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY));
  const uint64_t guest_address = Unsigned(info, 3, kSetMemory, "the guest address");
  const uint64_t size = Unsigned(info, 4, kSetMemory, "the size");
  const int fd = static_cast<int>(Unsigned(info, 5, kSetMemory, "the descriptor", INT32_MAX));
  const uint64_t offset = Unsigned(info, 6, kSetMemory, "the offset in the file");
  const std::lock_guard lock(vm->mutex);
  if (vm->slots.contains(slot)) {
    Throw(info.Env(), EEXIST, kSetMemory, "slot " + std::to_string(slot) + " is taken");
  }
  std::shared_ptr<Mapping> memory = MapFile(info, fd, offset, size, (flags & KVM_MEM_READONLY) != 0);
  const int error = Set(*vm, slot, flags, guest_address, size, memory->address);
  if (error != 0) {
    Throw(info.Env(), error, kSetMemory,
          "cannot put " + std::to_string(size) + " bytes of memory at guest address " + std::to_string(guest_address));
  }
  vm->slots.emplace(slot, Slot{guest_address, std::move(memory)});
  return info.Env().Undefined();
}

/// The entry of a slot; throws ENOENT. The machine's mutex is held.
std::map<uint32_t, Slot>::iterator SlotOf(const Napi::CallbackInfo& info, Vm& vm, const char* call) {
  const auto slot = static_cast<uint32_t>(Unsigned(info, 1, call, "the slot", UINT32_MAX));
  const auto entry = vm.slots.find(slot);
  if (entry == vm.slots.end()) Throw(info.Env(), ENOENT, call, "there is no slot " + std::to_string(slot));
  return entry;
}

/// changeMemory(vm, slot, flags)
Napi::Value ChangeMemory(const Napi::CallbackInfo& info) {
  const auto vm = HeldAs<Vm>(info, 0, kSetMemory, Kind::kVm);
  const auto flags = static_cast<uint32_t>(
      Unsigned(info, 2, kSetMemory, "the flags", KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY));
  const std::lock_guard lock(vm->mutex);
  const auto [slot, entry] = *SlotOf(info, *vm, kSetMemory);
  const int error = Set(*vm, slot, flags, entry.guest_address, entry.memory->size, entry.memory->address);
  if (error != 0) Throw(info.Env(), error, kSetMemory, "cannot change slot " + std::to_string(slot));
  return info.Env().Undefined();
}

/// removeMemory(vm, slot)
Napi::Value RemoveMemory(const Napi::CallbackInfo& info) {
  const auto vm = HeldAs<Vm>(info, 0, kSetMemory, Kind::kVm);
  const std::lock_guard lock(vm->mutex);
  const auto entry = SlotOf(info, *vm, kSetMemory);
  const int error = Set(*vm, entry->first, 0, entry->second.guest_address, 0, nullptr);
  if (error != 0) Throw(info.Env(), error, kSetMemory, "cannot remove slot " + std::to_string(entry->first));
  vm->slots.erase(entry);
  return info.Env().Undefined();
}

/// dirtyLog(vm, slot, bitmap): takes the slot's log, one bit a page, and clears it.
Napi::Value DirtyLog(const Napi::CallbackInfo& info) {
  constexpr const char* call = "KVM_GET_DIRTY_LOG";
  const auto vm = HeldAs<Vm>(info, 0, call, Kind::kVm);
  const Bytes bitmap = ByteArray(info, 2, call);
  const std::lock_guard lock(vm->mutex);
  const auto [slot, entry] = *SlotOf(info, *vm, call);
  // The kernel writes whole 64-bit words.
  const uint64_t needed = (entry.memory->size / kPage + 63) / 64 * 8;
  if (bitmap.size < needed) {
    Throw(info.Env(), EINVAL, call, "the bitmap of slot " + std::to_string(slot) + " has " + std::to_string(needed) + " bytes");
  }
  kvm_dirty_log log = {};
  log.slot = slot;
  log.dirty_bitmap = bitmap.data;
  if (Control(vm->fd, KVM_GET_DIRTY_LOG, &log) < 0) {
    Throw(info.Env(), errno, call, "slot " + std::to_string(slot) + " has no log: start it first");
  }
  return info.Env().Undefined();
}

}  // namespace

void InitMemory(Napi::Object exports) {
  Export<AddMemory>(exports, "addMemory");
  Export<ChangeMemory>(exports, "changeMemory");
  Export<RemoveMemory>(exports, "removeMemory");
  Export<DirtyLog>(exports, "dirtyLog");
}

}  // namespace tsvmm
