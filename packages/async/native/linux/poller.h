// Readiness and deadlines for the pool: one thread in epoll_wait.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

namespace tsvmm {

class Poller {
 public:
  /// Gets each request's result, on the poller's thread or the caller's.
  using Complete = std::function<void(uint64_t request, int32_t result)>;

  explicit Poller(Complete complete) : complete_(std::move(complete)) {}
  ~Poller();

  /// Completes with the events of poll(2) that are there, of those in `events`; once.
  void Poll(uint64_t request, int fd, uint32_t events);
  /// Completes with -ETIME after the time, in nanoseconds.
  void Timeout(uint64_t request, int64_t nanoseconds);
  /// Completes a request with -ECANCELED. @returns false when there is none
  bool Cancel(uint64_t request);
  void CancelAll();

 private:
  struct Waiting {
    /// A duplicate, so that several requests can wait for one descriptor; -1 for a timeout.
    int fd;
    std::multimap<int64_t, uint64_t>::iterator deadline;
  };

  void Start();
  void Run();
  void Wake();
  void ExpireDeadlines();
  int WaitMilliseconds();
  /// Forgets a request. The caller holds the mutex.
  bool Remove(uint64_t request);

  const Complete complete_;
  std::mutex mutex_;
  std::map<uint64_t, Waiting> waiting_;
  std::multimap<int64_t, uint64_t> deadlines_;
  int epoll_ = -1;
  int wake_ = -1;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace tsvmm
