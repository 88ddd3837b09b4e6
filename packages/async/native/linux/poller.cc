#include "poller.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <vector>

#include "thread.h"

namespace tsvmm {

namespace {

/// What the poller's own eventfd is known by; no request is.
constexpr uint64_t kWake = std::numeric_limits<uint64_t>::max();
constexpr int64_t kMillisecond = 1000000;

int64_t Now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<int64_t>(time.tv_sec) * 1000000000 + time.tv_nsec;
}

}  // namespace

Poller::~Poller() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  Wake();
  thread_.join();
  CancelAll();
  close(epoll_);
  close(wake_);
}

void Poller::Start() {
  if (thread_.joinable()) return;
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.u64 = kWake;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event);
  thread_ = StartThread("tsvmm-poll", [this] { Run(); });
}

void Poller::Wake() {
  const uint64_t one = 1;
  // A counter that is full has woken it already.
  [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof one);
}

void Poller::Poll(uint64_t request, int fd, uint32_t events) {
  int error = 0;
  {
    const std::lock_guard lock(mutex_);
    Start();
    const int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    epoll_event event = {};
    event.events = events | EPOLLONESHOT;
    event.data.u64 = request;
    if (duplicate < 0 || epoll_ctl(epoll_, EPOLL_CTL_ADD, duplicate, &event) != 0) {
      error = errno;
      if (duplicate >= 0) close(duplicate);
    } else {
      waiting_.emplace(request, Waiting{duplicate, deadlines_.end()});
    }
  }
  // What epoll does not take, such as a file, is always ready.
  if (error != 0) complete_(request, error == EPERM ? static_cast<int32_t>(events & (EPOLLIN | EPOLLOUT)) : -error);
}

void Poller::Timeout(uint64_t request, int64_t nanoseconds) {
  {
    const std::lock_guard lock(mutex_);
    Start();
    waiting_.emplace(request, Waiting{-1, deadlines_.emplace(Now() + nanoseconds, request)});
  }
  Wake();
}

bool Poller::Remove(uint64_t request) {
  const auto found = waiting_.find(request);
  if (found == waiting_.end()) return false;
  const Waiting& waiting = found->second;
  if (waiting.fd >= 0) {
    epoll_ctl(epoll_, EPOLL_CTL_DEL, waiting.fd, nullptr);
    close(waiting.fd);
  }
  if (waiting.deadline != deadlines_.end()) deadlines_.erase(waiting.deadline);
  waiting_.erase(found);
  return true;
}

bool Poller::Cancel(uint64_t request) {
  {
    const std::lock_guard lock(mutex_);
    if (!Remove(request)) return false;
  }
  complete_(request, -ECANCELED);
  return true;
}

void Poller::CancelAll() {
  std::vector<uint64_t> requests;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [request, waiting] : waiting_) requests.push_back(request);
  }
  for (const uint64_t request : requests) Cancel(request);
}

int Poller::WaitMilliseconds() {
  const std::lock_guard lock(mutex_);
  if (deadlines_.empty()) return -1;
  const int64_t left = std::max<int64_t>(0, deadlines_.begin()->first - Now());
  return static_cast<int>(std::min<int64_t>((left + kMillisecond - 1) / kMillisecond, std::numeric_limits<int>::max()));
}

void Poller::ExpireDeadlines() {
  std::vector<uint64_t> expired;
  {
    const std::lock_guard lock(mutex_);
    const int64_t now = Now();
    while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
      expired.push_back(deadlines_.begin()->second);
      Remove(expired.back());
    }
  }
  for (const uint64_t request : expired) complete_(request, -ETIME);
}

void Poller::Run() {
  while (true) {
    epoll_event events[64];
    const int count = epoll_wait(epoll_, events, 64, WaitMilliseconds());
    for (int i = 0; i < count; i++) {
      const uint64_t request = events[i].data.u64;
      if (request == kWake) {
        uint64_t value;
        [[maybe_unused]] const ssize_t taken = read(wake_, &value, sizeof value);
        continue;
      }
      bool found;
      {
        const std::lock_guard lock(mutex_);
        found = Remove(request);
      }
      if (found) complete_(request, static_cast<int32_t>(events[i].events));
    }
    ExpireDeadlines();
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
  }
}

}  // namespace tsvmm
