// Descriptors: closing, duplicating, pipes, and byte streams that may be non-blocking.
#include <fcntl.h>
#include <poll.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "../support.h"
#include "waiting.h"

namespace tsvmm {

namespace {

constexpr long long kSecond = 1'000'000'000;

long long Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kSecond + now.tv_nsec;
}

}  // namespace

Deadline::Deadline(double timeout_ms) : at_(timeout_ms < 0 ? -1 : timeout_ms == 0 ? 0 : Now() + static_cast<long long>(timeout_ms * 1e6)) {}

long long Deadline::remaining() const { return at_ == 0 ? 0 : std::max(0LL, at_ - Now()); }

int WaitFor(int fd, short events, const Deadline& deadline) {
  pollfd entry = {fd, events, 0};
  for (;;) {
    timespec left;
    if (!deadline.never()) {
      const long long remaining = deadline.remaining();
      left = {static_cast<time_t>(remaining / kSecond), static_cast<long>(remaining % kSecond)};
    }
    const int count = ppoll(&entry, 1, deadline.never() ? nullptr : &left, nullptr);
    if (count > 0) {
      if ((entry.revents & POLLNVAL) == 0) return entry.revents;
      errno = EBADF;
      return -1;
    }
    if (count == 0) return 0;
    if (errno != EINTR) return -1;
  }
}

ssize_t ReadNow(int fd, void* data, size_t size) {
  const iovec vector = {data, size};
  const ssize_t count = preadv2(fd, &vector, 1, -1, RWF_NOWAIT);
  if (count >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)) return count;
  // Terminals and older kernels have no per-call flag: look before reading.
  const int events = WaitFor(fd, POLLIN, Deadline(0));
  if (events < 0) return -1;
  if (events == 0) {
    errno = EAGAIN;
    return -1;
  }
  return read(fd, data, size);
}

namespace {

/// closeDescriptor(fd): Linux releases the number even when close(2) is interrupted, so it is never retried.
Napi::Value CloseDescriptor(const Napi::CallbackInfo& info) {
  const int fd = Descriptor(info, 0, "close");
  if (close(fd) != 0 && errno != EINTR) {
    Throw(info.Env(), errno, "close", "cannot close descriptor " + std::to_string(fd));
  }
  return info.Env().Undefined();
}

/// duplicateDescriptor(fd): fd
Napi::Value DuplicateDescriptor(const Napi::CallbackInfo& info) {
  const int fd = Descriptor(info, 0, "fcntl");
  // Never 0, 1 or 2: what a closed standard stream leaves free must not become somebody's output.
  const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) Throw(info.Env(), errno, "fcntl", "cannot duplicate descriptor " + std::to_string(fd));
  return Napi::Number::New(info.Env(), copy);
}

/// createPipe(ends: Int32Array): the reading and the writing end, both blocking.
Napi::Value CreatePipe(const Napi::CallbackInfo& info) {
  size_t length;
  int32_t* ends = Int32Elements(info, 0, "pipe2", &length);
  if (length < 2) ThrowArgument(info.Env(), "pipe2", "the result needs two elements");
  if (pipe2(ends, O_CLOEXEC) != 0) Throw(info.Env(), errno, "pipe2", "cannot create a pipe");
  return info.Env().Undefined();
}

/// setNonBlocking(fd, value)
Napi::Value SetNonBlocking(const Napi::CallbackInfo& info) {
  const int fd = Descriptor(info, 0, "fcntl");
  const bool value = Boolean(info, 1, "fcntl", "the mode");
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, value ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0) {
    Throw(info.Env(), errno, "fcntl", "cannot change the blocking mode of descriptor " + std::to_string(fd));
  }
  return info.Env().Undefined();
}

/// waitReadable(fd, timeoutMs): boolean; an error or end of stream counts, because reading reports it.
Napi::Value WaitReadable(const Napi::CallbackInfo& info) {
  const int fd = Descriptor(info, 0, "ppoll");
  const int events = WaitFor(fd, POLLIN, Deadline(Timeout(info, 1, "ppoll")));
  if (events < 0) Throw(info.Env(), errno, "ppoll", "cannot wait for descriptor " + std::to_string(fd));
  return Napi::Boolean::New(info.Env(), events != 0);
}

/// readAvailable(fd, bytes, offset, length): bytes read, 0 at the end, -1 when nothing is there yet.
Napi::Value ReadAvailable(const Napi::CallbackInfo& info) {
  const int fd = Descriptor(info, 0, "read");
  const Bytes range = ByteRange(info, 1, "read");
  ssize_t count;
  do {
    count = ReadNow(fd, range.data, range.size);
  } while (count < 0 && errno == EINTR);
  if (count < 0 && errno != EAGAIN) {
    Throw(info.Env(), errno, "read", "cannot read from descriptor " + std::to_string(fd));
  }
  return Napi::Number::New(info.Env(), static_cast<double>(count));
}

/// writeFully(fd, bytes, offset, length, timeoutMs): waits whenever the descriptor is full.
Napi::Value WriteFully(const Napi::CallbackInfo& info) {
  const int fd = Descriptor(info, 0, "write");
  Bytes left = ByteRange(info, 1, "write");
  const size_t total = left.size;
  const Deadline deadline(Timeout(info, 4, "write"));
  while (left.size > 0) {
    const ssize_t count = write(fd, left.data, left.size);
    if (count >= 0) {
      left.data += count;
      left.size -= static_cast<size_t>(count);
      continue;
    }
    int error = errno;
    if (error == EINTR) continue;
    if (error == EAGAIN) {
      const int events = WaitFor(fd, POLLOUT, deadline);
      if (events > 0) continue;
      error = events == 0 ? ETIMEDOUT : errno;
    }
    Throw(info.Env(), error, "write",
          "wrote " + std::to_string(total - left.size) + " of " + std::to_string(total) +
              " bytes to descriptor " + std::to_string(fd));
  }
  return info.Env().Undefined();
}

}  // namespace

void InitDescriptor(Napi::Object exports) {
  Export<CloseDescriptor>(exports, "closeDescriptor");
  Export<DuplicateDescriptor>(exports, "duplicateDescriptor");
  Export<CreatePipe>(exports, "createPipe");
  Export<SetNonBlocking>(exports, "setNonBlocking");
  Export<WaitReadable>(exports, "waitReadable");
  Export<ReadAvailable>(exports, "readAvailable");
  Export<WriteFully>(exports, "writeFully");
}

}  // namespace tsvmm
