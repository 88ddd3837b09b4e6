// The calling thread, and time.
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "../support.h"

namespace tsvmm {

namespace {

/// Processors that a mask can name; the kernel's own limit is 8192.
constexpr size_t kMaximumProcessors = 8192;

struct Mask {
  cpu_set_t* set = CPU_ALLOC(kMaximumProcessors);
  size_t size = CPU_ALLOC_SIZE(kMaximumProcessors);
  Mask() { CPU_ZERO_S(size, set); }
  ~Mask() { CPU_FREE(set); }
  Mask(const Mask&) = delete;
  Mask& operator=(const Mask&) = delete;
};

/// threadId(): the kernel's thread id.
Napi::Value ThreadId(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(syscall(SYS_gettid)));
}

/// setThreadName(name)
Napi::Value SetThreadName(const Napi::CallbackInfo& info) {
  const std::string name = Text(info, 0, "prctl", "the name");
  if (name.size() > 15) {
    ThrowArgument(info.Env(), "prctl", "a thread name has at most 15 bytes; '" + name + "' has " + std::to_string(name.size()));
  }
  const int error = pthread_setname_np(pthread_self(), name.c_str());
  if (error != 0) Throw(info.Env(), error, "prctl", "cannot name the thread '" + name + "'");
  return info.Env().Undefined();
}

/// setAffinity(processors: Int32Array)
Napi::Value SetAffinity(const Napi::CallbackInfo& info) {
  size_t count;
  const int32_t* processors = Int32Elements(info, 0, "sched_setaffinity", &count);
  Mask mask;
  for (size_t i = 0; i < count; i++) {
    if (processors[i] < 0 || static_cast<size_t>(processors[i]) >= kMaximumProcessors) {
      ThrowArgument(info.Env(), "sched_setaffinity", "processor " + std::to_string(processors[i]) + " does not exist");
    }
    CPU_SET_S(static_cast<size_t>(processors[i]), mask.size, mask.set);
  }
  if (sched_setaffinity(0, mask.size, mask.set) != 0) {
    Throw(info.Env(), errno, "sched_setaffinity", "cannot bind the thread to the processors asked for");
  }
  return info.Env().Undefined();
}

/// affinity(): number[]
Napi::Value Affinity(const Napi::CallbackInfo& info) {
  Mask mask;
  if (sched_getaffinity(0, mask.size, mask.set) != 0) {
    Throw(info.Env(), errno, "sched_getaffinity", "cannot ask for the thread's processors");
  }
  Napi::Array result = Napi::Array::New(info.Env());
  uint32_t count = 0;
  for (size_t i = 0; i < kMaximumProcessors; i++) {
    if (CPU_ISSET_S(i, mask.size, mask.set)) result.Set(count++, static_cast<double>(i));
  }
  return result;
}

/// monotonicMicroseconds(): number with a fraction.
Napi::Value MonotonicMicroseconds(const Napi::CallbackInfo& info) {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return Napi::Number::New(info.Env(), static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3);
}

/// readMonotonicNanoseconds(words: Int32Array, index): the low word at index, the high word after it.
Napi::Value ReadMonotonicNanoseconds(const Napi::CallbackInfo& info) {
  size_t length;
  int32_t* words = Int32Elements(info, 0, "clock_gettime", &length);
  if (length < 2) ThrowArgument(info.Env(), "clock_gettime", "the result needs two elements");
  const uint64_t index = Unsigned(info, 1, "clock_gettime", "the index", length - 2);
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const uint64_t value = static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
  words[index] = static_cast<int32_t>(static_cast<uint32_t>(value));
  words[index + 1] = static_cast<int32_t>(static_cast<uint32_t>(value >> 32));
  return info.Env().Undefined();
}

}  // namespace

void InitThread(Napi::Object exports) {
  Export<ThreadId>(exports, "threadId");
  Export<SetThreadName>(exports, "setThreadName");
  Export<SetAffinity>(exports, "setAffinity");
  Export<Affinity>(exports, "affinity");
  Export<MonotonicMicroseconds>(exports, "monotonicMicroseconds");
  Export<ReadMonotonicNanoseconds>(exports, "readMonotonicNanoseconds");
}

}  // namespace tsvmm
