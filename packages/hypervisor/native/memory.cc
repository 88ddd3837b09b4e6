// Memory slots. The add-on maps the memory itself, so that a slot does not depend on what JavaScript's collector does.
#include <linux/kvm.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>

#include "objects.h"

// Node 26 has it, Node 24 may not; it is experimental there, so it is neither declared for this Node-API version nor
// required to exist when the add-on is loaded.
extern "C" __attribute__((weak)) napi_status node_api_create_external_sharedarraybuffer(
    napi_env env, void* data, size_t length, void (*finalize)(void* data, void* hint), void* hint,
    napi_value* result);

namespace tsvmm {

namespace {

constexpr const char* kSetMemory = "KVM_SET_USER_MEMORY_REGION";
constexpr uint64_t kPage = 4096;
/// What the MMUs of all architectures map with one entry of the second level.
constexpr uintptr_t kHugePage = uintptr_t{2} << 20;

std::mutex allocations_mutex;
/// What allocateMemory has made, by address. Leaked on purpose: threads may end after the process's destructors have run.
auto& allocations = *new std::map<uintptr_t, std::weak_ptr<Mapping>>();

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

/// Makes a slot of memory that starts at `address`.
void Add(const Napi::CallbackInfo& info, Vm& vm, uint32_t slot, uint32_t flags, Slot entry) {
  const int error = Set(vm, slot, flags, entry.guest_address, entry.size, entry.address);
  if (error != 0) {
    Throw(info.Env(), error, kSetMemory,
          "cannot put " + std::to_string(entry.size) + " bytes of memory at guest address " +
              std::to_string(entry.guest_address));
  }
  vm.slots.emplace(slot, std::move(entry));
}

/// The number of a slot that is not taken. The machine's mutex is held.
uint32_t FreeSlot(const Napi::CallbackInfo& info, const Vm& vm) {
  const auto slot = static_cast<uint32_t>(Unsigned(info, 1, kSetMemory, "the slot", UINT32_MAX));
  if (vm.slots.contains(slot)) {
    Throw(info.Env(), EEXIST, kSetMemory, "slot " + std::to_string(slot) + " is taken");
  }
  return slot;
}

uint32_t Flags(const Napi::CallbackInfo& info) {
  return static_cast<uint32_t>(
      Unsigned(info, 2, kSetMemory, "the flags", KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY));
}

/// addMemory(vm, slot, flags, guestAddress, size, fd, fdOffset)
Napi::Value AddMemory(const Napi::CallbackInfo& info) {
  const auto vm = HeldAs<Vm>(info, 0, kSetMemory, Kind::kVm);
  const uint32_t flags = Flags(info);
  const uint64_t guest_address = Unsigned(info, 3, kSetMemory, "the guest address");
  const uint64_t size = Unsigned(info, 4, kSetMemory, "the size");
  const int fd = static_cast<int>(Unsigned(info, 5, kSetMemory, "the descriptor", INT32_MAX));
  const uint64_t offset = Unsigned(info, 6, kSetMemory, "the offset in the file");
  const std::lock_guard lock(vm->mutex);
  const uint32_t slot = FreeSlot(info, *vm);
  std::shared_ptr<Mapping> memory = MapFile(info, fd, offset, size, (flags & KVM_MEM_READONLY) != 0);
  void* const address = memory->address;
  Add(info, *vm, slot, flags, Slot{guest_address, address, size, std::move(memory)});
  return info.Env().Undefined();
}

/// Memory of this process, at a multiple of a huge page.
std::shared_ptr<Mapping> Allocate(const Napi::CallbackInfo& info, size_t size) {
  const size_t reserved = size + kHugePage;
  void* const start = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) {
    Throw(info.Env(), errno, "mmap", "cannot reserve " + std::to_string(size) + " bytes of guest memory");
  }
  auto* const first = static_cast<uint8_t*>(start);
  auto* const address =
      reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(start) + kHugePage - 1) / kHugePage * kHugePage);
  const auto before = static_cast<size_t>(address - first);
  if (before != 0) munmap(first, before);
  munmap(address + size, reserved - before - size);
  // Advice: a kernel without huge pages goes without. What is forked would have the guest's pages copied as it writes.
  madvise(address, size, MADV_HUGEPAGE);
  madvise(address, size, MADV_DONTFORK);
  return std::make_shared<Mapping>(address, size);
}

/// allocateMemory(size): a SharedArrayBuffer over zeroed memory of this process in huge pages where there are some, for
/// addAllocated; undefined when this Node cannot make one over foreign memory.
Napi::Value AllocateMemory(const Napi::CallbackInfo& info) {
  const auto size = static_cast<size_t>(Unsigned(info, 0, "mmap", "the size"));
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  if (size == 0 || size % page != 0) {
    Throw(info.Env(), EINVAL, "mmap", "memory of a machine consists of whole pages of " + std::to_string(page) + " bytes");
  }
  if (node_api_create_external_sharedarraybuffer == nullptr) return info.Env().Undefined();
  auto* const owner = new std::shared_ptr<Mapping>(Allocate(info, size));
  napi_value buffer;
  const napi_status status = node_api_create_external_sharedarraybuffer(
      info.Env(), (*owner)->address, size,
      [](void*, void* hint) { delete static_cast<std::shared_ptr<Mapping>*>(hint); }, owner, &buffer);
  if (status != napi_ok) {
    delete owner;
    Throw(info.Env(), ENOTSUP, "mmap", "this JavaScript engine does not accept memory from outside");
  }
  const std::lock_guard lock(allocations_mutex);
  std::erase_if(allocations, [](const auto& entry) { return entry.second.expired(); });
  allocations.insert_or_assign(reinterpret_cast<uintptr_t>((*owner)->address), *owner);
  return Napi::Value(info.Env(), buffer);
}

/// addAllocated(vm, slot, flags, guestAddress, bytes): a slot over a part of what allocateMemory made. It stays mapped for
/// as long as the slot is there, whatever becomes of the buffer.
Napi::Value AddAllocated(const Napi::CallbackInfo& info) {
  const auto vm = HeldAs<Vm>(info, 0, kSetMemory, Kind::kVm);
  const uint32_t flags = Flags(info);
  const uint64_t guest_address = Unsigned(info, 3, kSetMemory, "the guest address");
  const Bytes bytes = ByteArray(info, 4, kSetMemory);
  const auto start = reinterpret_cast<uintptr_t>(bytes.data);
  std::shared_ptr<Mapping> memory;
  {
    const std::lock_guard lock(allocations_mutex);
    const auto next = allocations.upper_bound(start);
    if (next != allocations.begin()) memory = std::prev(next)->second.lock();
  }
  const auto base = memory == nullptr ? 0 : reinterpret_cast<uintptr_t>(memory->address);
  if (memory == nullptr || bytes.size == 0 || start - base > memory->size || bytes.size > memory->size - (start - base)) {
    Throw(info.Env(), EINVAL, kSetMemory, "the memory must be part of what was allocated for a machine");
  }
  const std::lock_guard lock(vm->mutex);
  Add(info, *vm, FreeSlot(info, *vm), flags, Slot{guest_address, bytes.data, bytes.size, std::move(memory)});
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
  const uint32_t flags = Flags(info);
  const std::lock_guard lock(vm->mutex);
  const auto [slot, entry] = *SlotOf(info, *vm, kSetMemory);
  const int error = Set(*vm, slot, flags, entry.guest_address, entry.size, entry.address);
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
  const uint64_t needed = (entry.size / kPage + 63) / 64 * 8;
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
  Export<AllocateMemory>(exports, "allocateMemory");
  Export<AddAllocated>(exports, "addAllocated");
  Export<ChangeMemory>(exports, "changeMemory");
  Export<RemoveMemory>(exports, "removeMemory");
  Export<DirtyLog>(exports, "dirtyLog");
}

}  // namespace tsvmm
