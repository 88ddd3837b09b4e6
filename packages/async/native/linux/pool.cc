// io_uring in user space: takes the same entries from a submission queue in JavaScript's memory and does what they ask
// on threads, for hosts whose kernel has no rings, or hides them. Only the operations that the executor uses are known.
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "../engine.h"
#include "poller.h"
#include "support.h"
#include "thread.h"

namespace tsvmm {

namespace {

// Newer than the headers of the oldest distribution that this is compiled on.
constexpr uint8_t kUringCommand = 46;
constexpr uint32_t kCancelAny = 1u << 2;
constexpr uint32_t kDiscard = 0x1200;  // BLOCK_URING_CMD_DISCARD

/// The words before the queues, each on a cache line of its own where two sides write.
struct Header {
  std::atomic<uint32_t> completion_head;  // JavaScript's
  uint32_t pad0[15];
  std::atomic<uint32_t> completion_tail;  // ours
  uint32_t pad1[15];
};

/// An entry, and a submission entry's words that have other names in every kernel version's header.
struct Job {
  io_uring_sqe entry;
  uint64_t address3() const {
    uint64_t value;
    std::memcpy(&value, reinterpret_cast<const uint8_t*>(&entry) + 48, sizeof value);
    return value;
  }
  uint32_t command() const { return static_cast<uint32_t>(entry.off); }
};

int32_t Result(ssize_t result) { return result < 0 ? -errno : static_cast<int32_t>(result); }

template <typename Call>
int32_t Repeat(Call call) {
  ssize_t result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return Result(result);
}

/// Without positions: a pipe, a socket, a character device.
bool IsStream(const io_uring_sqe& entry) { return entry.off == static_cast<uint64_t>(-1); }

/// A thread that waited for a stream could not be stopped.
bool WouldBlock(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_NONBLOCK) == 0;
}

bool IsRead(const io_uring_sqe& entry) {
  return entry.opcode == IORING_OP_READ || entry.opcode == IORING_OP_READV;
}

/// Moves bytes. `flags` are those of preadv2, which a position of -1 makes a read at the file's own position.
int32_t Transfer(const io_uring_sqe& entry, int flags) {
  iovec single = {reinterpret_cast<void*>(entry.addr), entry.len};
  const bool vectored = entry.opcode == IORING_OP_READV || entry.opcode == IORING_OP_WRITEV;
  const iovec* vectors = vectored ? reinterpret_cast<const iovec*>(entry.addr) : &single;
  const int count = vectored ? static_cast<int>(entry.len) : 1;
  const bool reading = IsRead(entry);
  const auto position = static_cast<off_t>(entry.off);
  return Repeat([&] {
    return reading ? preadv2(entry.fd, vectors, count, position, flags)
                   : pwritev2(entry.fd, vectors, count, position, flags);
  });
}

int32_t Execute(const Job& job) {
  const io_uring_sqe& entry = job.entry;
  switch (entry.opcode) {
    case IORING_OP_READ:
    case IORING_OP_READV:
    case IORING_OP_WRITE:
    case IORING_OP_WRITEV:
      return Transfer(entry, 0);
    case IORING_OP_FSYNC:
      return Repeat([&]() -> ssize_t {
        return (entry.fsync_flags & IORING_FSYNC_DATASYNC) != 0 ? fdatasync(entry.fd) : fsync(entry.fd);
      });
    case IORING_OP_FALLOCATE:
      return Repeat([&]() -> ssize_t {
        return fallocate(entry.fd, static_cast<int>(entry.len), static_cast<off_t>(entry.off),
                         static_cast<off_t>(entry.addr));
      });
    case kUringCommand: {
      if (job.command() != kDiscard) return -EOPNOTSUPP;
      const uint64_t range[2] = {entry.addr, job.address3()};
      return Repeat([&]() -> ssize_t { return ioctl(entry.fd, BLKDISCARD, range); });
    }
    default:
      return -EINVAL;
  }
}

struct Stream {
  io_uring_sqe entry;
  bool cancelled = false;
};

class Pool final : public Engine {
 public:
  Pool(Napi::Env env, Napi::Value memory, const Bytes& bytes, unsigned submissions, unsigned completions,
       unsigned threads, int event)
      : header_(reinterpret_cast<Header*>(bytes.data)),
        completions_(reinterpret_cast<io_uring_cqe*>(bytes.data + sizeof(Header))),
        submissions_(reinterpret_cast<io_uring_sqe*>(completions_ + completions)),
        submission_mask_(submissions - 1),
        completion_mask_(completions - 1),
        event_(event),
        jobs_(completions),
        poller_(std::make_unique<Poller>([this](uint64_t request, int32_t result) { Ready(request, result); })) {
    napi_create_reference(env, memory, 1, &memory_);
    env_ = env;
    for (unsigned i = 0; i < threads; i++) {
      threads_.push_back(StartThread("tsvmm-pool", [this] { Work(); }));
    }
  }

  ~Pool() override {
    napi_delete_reference(env_, memory_);
    close(event_);
  }

  static size_t Size(unsigned submissions, unsigned completions) {
    return sizeof(Header) + completions * sizeof(io_uring_cqe) + submissions * sizeof(io_uring_sqe);
  }

  int Descriptor() const override { return event_; }

  int Submit(unsigned count) override {
    for (unsigned i = 0; i < count; i++) Take(submissions_[submission_head_++ & submission_mask_]);
    return static_cast<int>(count);
  }

  void Stop() override {
    Cancel(0, true);
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    available_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    poller_.reset();
  }

 private:
  void Take(const io_uring_sqe& entry) {
    const uint64_t request = entry.user_data;
    switch (entry.opcode) {
      case IORING_OP_NOP:
        Complete(request, 0);
        return;
      case IORING_OP_POLL_ADD:
        poller_->Poll(request, entry.fd, entry.poll_events);
        return;
      case IORING_OP_TIMEOUT: {
        const auto* time = reinterpret_cast<const int64_t*>(entry.addr);
        poller_->Timeout(request, time[0] * 1000000000 + time[1]);
        return;
      }
      case IORING_OP_ASYNC_CANCEL:
        Complete(request, Cancel(entry.addr, (entry.cancel_flags & kCancelAny) != 0));
        return;
      case IORING_OP_READ:
      case IORING_OP_READV:
      case IORING_OP_WRITE:
      case IORING_OP_WRITEV: {
        if (IsStream(entry)) {
          if (WouldBlock(entry.fd)) Complete(request, -EINVAL);
          else TransferStream(entry);
          return;
        }
        if (!IsRead(entry)) break;
        // What the page cache has needs no thread.
        const int32_t result = Transfer(entry, RWF_NOWAIT);
        if (result == -EAGAIN || result == -EOPNOTSUPP || result == -EINVAL) break;
        Complete(request, result);
        return;
      }
      default:
        break;
    }
    {
      const std::lock_guard lock(mutex_);
      jobs_[jobs_tail_++ & (jobs_.size() - 1)].entry = entry;
    }
    available_.notify_one();
  }

  /// Moves what a stream takes or has now, or goes on when there is something.
  void TransferStream(const io_uring_sqe& entry) {
    const uint64_t request = entry.user_data;
    const int32_t result = Transfer(entry, 0);
    if (result != -EAGAIN) {
      EndStream(request, result);
      return;
    }
    {
      const std::lock_guard lock(mutex_);
      streams_[request].entry = entry;
    }
    poller_->Poll(request, entry.fd, IsRead(entry) ? EPOLLIN : EPOLLOUT);
    // A cancellation that came before the poller knew the request has found nothing there.
    if (IsStreamCancelled(request)) poller_->Cancel(request);
  }

  bool IsStreamCancelled(uint64_t request) {
    const std::lock_guard lock(mutex_);
    const auto stream = streams_.find(request);
    return stream != streams_.end() && stream->second.cancelled;
  }

  void EndStream(uint64_t request, int32_t result) {
    {
      const std::lock_guard lock(mutex_);
      streams_.erase(request);
    }
    Complete(request, result);
  }

  /// What a request waited for in the poller has come, or it was cancelled.
  void Ready(uint64_t request, int32_t result) {
    std::unique_lock lock(mutex_);
    const auto stream = streams_.find(request);
    const bool is_stream = stream != streams_.end();
    const io_uring_sqe entry = is_stream ? stream->second.entry : io_uring_sqe{};
    lock.unlock();
    if (!is_stream) Complete(request, result);
    else if (result < 0) EndStream(request, result);
    else TransferStream(entry);
  }

  /// Cancels one request, or with `any` all. @returns 0, or -ENOENT when there was none that can be cancelled
  int32_t Cancel(uint64_t request, bool any) {
    bool found = any;
    {
      const std::lock_guard lock(mutex_);
      for (auto& [number, stream] : streams_) {
        if (!any && number != request) continue;
        stream.cancelled = true;
        found = true;
      }
    }
    if (any) poller_->CancelAll();
    else found |= poller_->Cancel(request);
    CancelQueued([&](const Job& job) {
      const bool wanted = any || job.entry.user_data == request;
      found |= wanted;
      return wanted;
    });
    return found ? 0 : -ENOENT;
  }

  /// Completes with -ECANCELED the jobs that no thread has taken yet and `wanted` accepts.
  template <typename Wanted>
  void CancelQueued(Wanted wanted) {
    std::vector<uint64_t> cancelled;
    {
      const std::lock_guard lock(mutex_);
      const size_t mask = jobs_.size() - 1;
      size_t kept = jobs_head_;
      for (size_t i = jobs_head_; i != jobs_tail_; i++) {
        const Job& job = jobs_[i & mask];
        if (wanted(job)) cancelled.push_back(job.entry.user_data);
        else jobs_[kept++ & mask] = job;
      }
      jobs_tail_ = kept;
    }
    for (const uint64_t request : cancelled) Complete(request, -ECANCELED);
  }

  void Work() {
    while (true) {
      Job job;
      {
        std::unique_lock lock(mutex_);
        available_.wait(lock, [this] { return stopping_ || jobs_head_ != jobs_tail_; });
        if (jobs_head_ == jobs_tail_) return;
        job = jobs_[jobs_head_++ & (jobs_.size() - 1)];
      }
      Complete(job.entry.user_data, Execute(job));
    }
  }

  void Complete(uint64_t request, int32_t result) {
    bool was_empty;
    {
      const std::lock_guard lock(completion_mutex_);
      const uint32_t tail = header_->completion_tail.load(std::memory_order_relaxed);
      io_uring_cqe& entry = completions_[tail & completion_mask_];
      entry.user_data = request;
      entry.res = result;
      entry.flags = 0;
      header_->completion_tail.store(tail + 1);
      // JavaScript stores the head before it looks at the tail for the last time: one of the two sees the other.
      was_empty = header_->completion_head.load() == tail;
    }
    if (!was_empty) return;
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(event_, &one, sizeof one);
  }

  Header* const header_;
  io_uring_cqe* const completions_;
  const io_uring_sqe* const submissions_;
  const uint32_t submission_mask_;
  const uint32_t completion_mask_;
  const int event_;
  uint32_t submission_head_ = 0;
  napi_env env_;
  napi_ref memory_ = nullptr;

  std::mutex completion_mutex_;
  std::mutex mutex_;
  std::condition_variable available_;
  /// A ring; there is room for as many as can be under way.
  std::vector<Job> jobs_;
  /// Transfers that wait for their streams, from then until they end.
  std::map<uint64_t, Stream> streams_;
  size_t jobs_head_ = 0;
  size_t jobs_tail_ = 0;
  bool stopping_ = false;
  std::unique_ptr<Poller> poller_;
  std::vector<std::thread> threads_;
};

/// openPool(memory: Uint8Array, entries, completionEntries, threads): an engine. Both counts are powers of two.
/// `memory` holds the completion queue's head (word 0) and tail (word 16), from byte 128 on its entries, then those of
/// the submission queue, and is kept. The descriptor, an eventfd, is signalled when the completion queue is no longer empty.
Napi::Value OpenPool(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const char* call = "pthread_create";
  const Bytes memory = ByteArray(info, 0, call);
  const auto submissions = static_cast<unsigned>(Unsigned(info, 1, call, "the entries", 32768));
  const auto completions = static_cast<unsigned>(Unsigned(info, 2, call, "the completions", 65536));
  const auto threads = static_cast<unsigned>(Unsigned(info, 3, call, "the threads", 256));
  const auto is_power = [](unsigned value) { return value != 0 && (value & (value - 1)) == 0; };
  if (!is_power(submissions) || !is_power(completions) || completions < submissions || threads == 0 ||
      memory.size < Pool::Size(submissions, completions)) {
    Throw(env, EINVAL, call, "the queues must have powers of two of entries that fit in the memory, and threads");
  }
  const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event < 0) Throw(env, errno, "eventfd", "cannot create a pool of threads");
  return HoldEngine(env, std::make_unique<Pool>(env, info[0], memory, submissions, completions, threads, event));
}

}  // namespace

void InitPool(Napi::Object exports) { Export<OpenPool>(exports, "openPool"); }

}  // namespace tsvmm
