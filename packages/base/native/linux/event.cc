// Counters one can wait for: eventfd and timerfd.
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>

#include "../support.h"
#include "waiting.h"

namespace tsvmm {

namespace {

/// createEvent(initial): fd
Napi::Value CreateEvent(const Napi::CallbackInfo& info) {
  const auto initial = static_cast<unsigned>(Unsigned(info, 0, "eventfd2", "the initial count", UINT32_MAX));
  const int fd = eventfd(initial, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) Throw(info.Env(), errno, "eventfd2", "cannot create an eventfd");
  return Napi::Number::New(info.Env(), fd);
}

/// signalEvent(fd, n): a counter that is full is signalled already, so that is no error.
Napi::Value SignalEvent(const Napi::CallbackInfo& info) {
  const int fd = Descriptor(info, 0, "write");
  const uint64_t value = Unsigned(info, 1, "write", "the count");
  ssize_t count;
  do {
    count = write(fd, &value, sizeof value);
  } while (count < 0 && errno == EINTR);
  if (count < 0 && errno != EAGAIN) {
    Throw(info.Env(), errno, "write", "cannot signal eventfd " + std::to_string(fd));
  }
  return info.Env().Undefined();
}

/// Reads an eight-byte counter; 0 when it is not ready. Throws for anything that is not such a counter.
uint64_t ReadCounterOf(Napi::Env env, int fd) {
  uint64_t value = 0;
  ssize_t count;
  do {
    count = ReadNow(fd, &value, sizeof value);
  } while (count < 0 && errno == EINTR);
  if (count == sizeof value) return value;
  if (count < 0 && errno == EAGAIN) return 0;
  Throw(env, count < 0 ? errno : EINVAL, "read",
        "descriptor " + std::to_string(fd) + " cannot be read as an eventfd or timerfd");
}

/// readCounter(fd): number, 0 when nothing happened since the last reading.
Napi::Value ReadCounter(const Napi::CallbackInfo& info) {
  const int fd = Descriptor(info, 0, "read");
  return Napi::Number::New(info.Env(), static_cast<double>(ReadCounterOf(info.Env(), fd)));
}

/// waitCounter(fd, timeoutMs): number, 0 at the timeout. Blocks the calling thread.
Napi::Value WaitCounter(const Napi::CallbackInfo& info) {
  const int fd = Descriptor(info, 0, "ppoll");
  const Deadline deadline(Timeout(info, 1, "ppoll"));
  for (;;) {
    const uint64_t value = ReadCounterOf(info.Env(), fd);
    if (value != 0) return Napi::Number::New(info.Env(), static_cast<double>(value));
    const int events = WaitFor(fd, POLLIN, deadline);
    if (events < 0) Throw(info.Env(), errno, "ppoll", "cannot wait for descriptor " + std::to_string(fd));
    if (events == 0) return Napi::Number::New(info.Env(), 0);
  }
}

/// createTimer(realtime: boolean): fd
Napi::Value CreateTimer(const Napi::CallbackInfo& info) {
  const bool realtime = Boolean(info, 0, "timerfd_create", "the choice of clock");
  const int fd = timerfd_create(realtime ? CLOCK_REALTIME : CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (fd < 0) Throw(info.Env(), errno, "timerfd_create", "cannot create a timer");
  return Napi::Number::New(info.Env(), fd);
}

/// Nanoseconds as a double: above 2^53 (104 days) they lose the last bits, which no timer resolves anyway.
timespec Nanoseconds(const Napi::CallbackInfo& info, size_t index, const char* name) {
  double value;
  if (napi_get_value_double(info.Env(), info[index], &value) != napi_ok || !(value >= 0 && value < 9e18)) {
    ThrowArgument(info.Env(), "timerfd_settime", std::string(name) + " must be a number of nanoseconds, at least 0");
  }
  const auto whole = static_cast<int64_t>(std::ceil(value));
  return {static_cast<time_t>(whole / 1'000'000'000), static_cast<long>(whole % 1'000'000'000)};
}

/// setTimer(fd, firstNs, periodNs, absolute): firstNs = 0 disarms.
Napi::Value SetTimer(const Napi::CallbackInfo& info) {
  const int fd = Descriptor(info, 0, "timerfd_settime");
  itimerspec value;
  value.it_value = Nanoseconds(info, 1, "the expiration");
  value.it_interval = Nanoseconds(info, 2, "the period");
  const bool absolute = Boolean(info, 3, "timerfd_settime", "the choice of absolute time");
  if (timerfd_settime(fd, absolute ? TFD_TIMER_ABSTIME : 0, &value, nullptr) != 0) {
    Throw(info.Env(), errno, "timerfd_settime", "cannot arm timer " + std::to_string(fd));
  }
  return info.Env().Undefined();
}

}  // namespace

void InitEvent(Napi::Object exports) {
  Export<CreateEvent>(exports, "createEvent");
  Export<SignalEvent>(exports, "signalEvent");
  Export<ReadCounter>(exports, "readCounter");
  Export<WaitCounter>(exports, "waitCounter");
  Export<CreateTimer>(exports, "createTimer");
  Export<SetTimer>(exports, "setTimer");
}

}  // namespace tsvmm
