// The kernel's io_uring: setting up, entering, and coming to rest. What is in the queues is JavaScript's business.
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <vector>

#include "../engine.h"
#include "support.h"

namespace tsvmm {

namespace {

// Newer than the headers of the oldest distribution that this is compiled on.
constexpr unsigned kSetupCoopTaskrun = 1u << 8;
constexpr unsigned kSetupTaskrunFlag = 1u << 9;
constexpr unsigned kSetupSingleIssuer = 1u << 12;
constexpr unsigned kRegisterSyncCancel = 24;
constexpr uint32_t kCancelAny = 1u << 2;

/// struct io_uring_sync_cancel_reg
struct SyncCancel {
  uint64_t address = 0;
  int32_t fd = -1;
  uint32_t flags = kCancelAny;
  int64_t timeout[2] = {-1, -1};
  uint64_t reserved[4] = {};
};

int Setup(unsigned entries, io_uring_params* parameters) {
  return static_cast<int>(syscall(__NR_io_uring_setup, entries, parameters));
}

int Enter(int fd, unsigned submit, unsigned wait, unsigned flags) {
  const long result = syscall(__NR_io_uring_enter, fd, submit, wait, flags, nullptr, 0);
  return result < 0 ? -errno : static_cast<int>(result);
}

int Register(int fd, unsigned operation, void* argument, unsigned count) {
  const long result = syscall(__NR_io_uring_register, fd, operation, argument, count);
  return result < 0 ? -errno : static_cast<int>(result);
}

class Ring final : public Engine {
 public:
  /// Takes over `fd` and the mapping of the completion queue's ring.
  Ring(int fd, const io_uring_params& parameters, void* mapping, size_t size)
      : fd_(fd), mapping_(mapping), size_(size) {
    auto* bytes = static_cast<uint8_t*>(mapping);
    head_ = reinterpret_cast<std::atomic<uint32_t>*>(bytes + parameters.cq_off.head);
    tail_ = reinterpret_cast<std::atomic<uint32_t>*>(bytes + parameters.cq_off.tail);
  }

  ~Ring() override {
    munmap(mapping_, size_);
    close(fd_);
  }

  int Descriptor() const override { return fd_; }

  int Submit(unsigned count) override {
    const int taken = Enter(fd_, count, 0, 0);
    if (taken > 0) submitted_ += static_cast<uint32_t>(taken);
    return taken;
  }

  void Stop() override {
    SyncCancel everything;
    while (!IsIdle() && Register(fd_, kRegisterSyncCancel, &everything, 1) == -EINTR) {
    }
    // Every entry that was submitted has one completion. Nobody looks at them any more.
    while (!IsIdle()) {
      head_->store(tail_->load(std::memory_order_acquire), std::memory_order_release);
      const int result = Enter(fd_, 0, 1, IORING_ENTER_GETEVENTS);
      if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY) break;
    }
  }

 private:
  bool IsIdle() const { return tail_->load(std::memory_order_acquire) == submitted_; }

  const int fd_;
  void* const mapping_;
  const size_t size_;
  std::atomic<uint32_t>* head_;
  std::atomic<uint32_t>* tail_;
  uint32_t submitted_ = 0;
};

/// openRing(entries, completionEntries, layout: Uint8Array of a struct io_uring_params): an engine. `layout` receives
/// what the kernel says of the queues.
Napi::Value OpenRing(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto entries = static_cast<unsigned>(Unsigned(info, 0, "io_uring_setup", "the entries", 32768));
  const auto completions = static_cast<unsigned>(Unsigned(info, 1, "io_uring_setup", "the completions", 65536));
  const Bytes layout = ByteArray(info, 2, "io_uring_setup");
  if (layout.size != sizeof(io_uring_params)) {
    Throw(env, EINVAL, "io_uring_setup",
          "the layout must have " + std::to_string(sizeof(io_uring_params)) + " bytes");
  }
  io_uring_params parameters = {};
  // All calls come from one thread, which looks for completions itself: the kernel need not interrupt it for them, but is to
  // say when there are some.
  parameters.flags = IORING_SETUP_CQSIZE | kSetupSingleIssuer | kSetupCoopTaskrun | kSetupTaskrunFlag;
  parameters.cq_entries = completions;
  const std::string what = "cannot create a ring of " + std::to_string(entries) + " entries";
  const int fd = Setup(entries, &parameters);
  if (fd < 0) Throw(env, errno, "io_uring_setup", what);
  const size_t size = parameters.cq_off.cqes + parameters.cq_entries * sizeof(io_uring_cqe);
  void* mapping = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_CQ_RING);
  if (mapping == MAP_FAILED) {
    const int error = errno;
    close(fd);
    Throw(env, error, "mmap", what);
  }
  auto ring = std::make_unique<Ring>(fd, parameters, mapping, size);
  SyncCancel nothing;
  const int result = Register(fd, kRegisterSyncCancel, &nothing, 1);
  if (result < 0 && result != -ENOENT) Throw(env, -result, "io_uring_register", "this kernel's rings cannot be stopped");
  std::memcpy(layout.data, &parameters, sizeof parameters);
  return HoldEngine(env, std::move(ring));
}

/// supportedOperations(fd, supported: Uint8Array): sets byte n to 1 when the ring has operation n.
Napi::Value SupportedOperations(const Napi::CallbackInfo& info) {
  constexpr unsigned kMost = 256;
  const auto fd = static_cast<int>(Unsigned(info, 0, "io_uring_register", "descriptor", INT32_MAX));
  const Bytes supported = ByteArray(info, 1, "io_uring_register");
  std::vector<uint64_t> memory((sizeof(io_uring_probe) + kMost * sizeof(io_uring_probe_op)) / sizeof(uint64_t) + 1);
  auto* probe = reinterpret_cast<io_uring_probe*>(memory.data());
  const int result = Register(fd, IORING_REGISTER_PROBE, probe, kMost);
  if (result < 0) Throw(info.Env(), -result, "io_uring_register", "cannot ask the ring for its operations");
  for (unsigned i = 0; i < std::min<size_t>(probe->ops_len, supported.size); i++) {
    const io_uring_probe_op& operation = probe->ops[i];
    if (operation.op < supported.size) supported.data[operation.op] = (operation.flags & IO_URING_OP_SUPPORTED) != 0;
  }
  return info.Env().Undefined();
}

}  // namespace

void InitRing(Napi::Object exports) {
  Export<OpenRing>(exports, "openRing");
  Export<SupportedOperations>(exports, "supportedOperations");
}

}  // namespace tsvmm
