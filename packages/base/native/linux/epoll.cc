// Waiting for many descriptors at once: epoll.
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cmath>

#include "../support.h"
#include "readiness.h"
#include "waiting.h"

namespace tsvmm {

namespace {

constexpr size_t kMaximumEvents = 256;

/// createPoll(): fd
Napi::Value CreatePoll(const Napi::CallbackInfo& info) {
  const int fd = epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) Throw(info.Env(), errno, "epoll_create1", "cannot create an epoll instance");
  return Napi::Number::New(info.Env(), fd);
}

uint32_t EpollEvents(uint32_t interest) {
  uint32_t events = 0;
  if (interest & kReadable) events |= EPOLLIN | EPOLLRDHUP;
  if (interest & kWritable) events |= EPOLLOUT;
  if (interest & kEdgeTriggered) events |= EPOLLET;
  if (interest & kOneShot) events |= EPOLLONESHOT;
  return events;
}

int32_t Readiness(uint32_t events) {
  uint32_t readiness = 0;
  if (events & EPOLLIN) readiness |= kReadable;
  if (events & EPOLLOUT) readiness |= kWritable;
  if (events & EPOLLERR) readiness |= kFailed;
  if (events & (EPOLLHUP | EPOLLRDHUP)) readiness |= kHungUp;
  return static_cast<int32_t>(readiness);
}

Napi::Value Control(const Napi::CallbackInfo& info, int operation, const char* verb) {
  const int poll = Descriptor(info, 0, "epoll_ctl");
  const int fd = Descriptor(info, 1, "epoll_ctl");
  epoll_event event = {};
  if (operation != EPOLL_CTL_DEL) {
    event.events = EpollEvents(static_cast<uint32_t>(Unsigned(info, 2, "epoll_ctl", "the interest", kAllInterest)));
    event.data.u64 = Unsigned(info, 3, "epoll_ctl", "the token", INT32_MAX);
  }
  if (epoll_ctl(poll, operation, fd, &event) != 0) {
    Throw(info.Env(), errno, "epoll_ctl", std::string("cannot ") + verb + " descriptor " + std::to_string(fd));
  }
  return info.Env().Undefined();
}

/// addToPoll(poll, fd, interest, token), changeInPoll(poll, fd, interest, token), removeFromPoll(poll, fd)
Napi::Value AddToPoll(const Napi::CallbackInfo& info) { return Control(info, EPOLL_CTL_ADD, "watch"); }
Napi::Value ChangeInPoll(const Napi::CallbackInfo& info) { return Control(info, EPOLL_CTL_MOD, "change the watch of"); }
Napi::Value RemoveFromPoll(const Napi::CallbackInfo& info) { return Control(info, EPOLL_CTL_DEL, "stop watching"); }

/// waitForPoll(poll, results: Int32Array, timeoutMs): how many (token, readiness) pairs were written.
Napi::Value WaitForPoll(const Napi::CallbackInfo& info) {
  const int poll = Descriptor(info, 0, "epoll_wait");
  size_t length;
  int32_t* results = Int32Elements(info, 1, "epoll_wait", &length);
  const size_t capacity = std::min(length / 2, kMaximumEvents);
  if (capacity == 0) ThrowArgument(info.Env(), "epoll_wait", "the results need room for a token and its readiness");
  const Deadline deadline(Timeout(info, 2, "epoll_wait"));
  epoll_event events[kMaximumEvents];
  for (;;) {
    // Rounded up: waking a millisecond early would only turn into another round.
    const long long left = deadline.never() ? -1 : std::min((deadline.remaining() + 999'999) / 1'000'000, 2'000'000'000LL);
    const int count = epoll_wait(poll, events, static_cast<int>(capacity), static_cast<int>(left));
    if (count < 0) {
      if (errno == EINTR) continue;
      Throw(info.Env(), errno, "epoll_wait", "cannot wait on epoll instance " + std::to_string(poll));
    }
    if (count == 0 && (deadline.never() || deadline.remaining() > 0)) continue;
    for (int i = 0; i < count; i++) {
      results[2 * i] = static_cast<int32_t>(events[i].data.u64);
      results[2 * i + 1] = Readiness(events[i].events);
    }
    return Napi::Number::New(info.Env(), count);
  }
}

}  // namespace

void InitPoll(Napi::Object exports) {
  Export<CreatePoll>(exports, "createPoll");
  Export<AddToPoll>(exports, "addToPoll");
  Export<ChangeInPoll>(exports, "changeInPoll");
  Export<RemoveFromPoll>(exports, "removeFromPoll");
  Export<WaitForPoll>(exports, "waitForPoll");
}

}  // namespace tsvmm
