// Waiting for one descriptor, and reading from it without ever blocking.
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace tsvmm {

/// Monotonic time in nanoseconds at which a wait gives up.
class Deadline {
 public:
  /// `timeout_ms` < 0 never expires.
  explicit Deadline(double timeout_ms);
  bool never() const { return at_ < 0; }
  /// Nanoseconds left, at least 0.
  long long remaining() const;

 private:
  long long at_;
};

/// ppoll on one descriptor, restarted after signals. Returns its events, 0 at the deadline, -1 with errno set. A number
/// that is not open is EBADF.
int WaitFor(int fd, short events, const Deadline& deadline);

/// read(2) that fails with EAGAIN instead of blocking, whatever the mode of the open file is.
ssize_t ReadNow(int fd, void* data, size_t size);

}  // namespace tsvmm
