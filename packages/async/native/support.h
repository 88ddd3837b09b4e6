// What every file of the add-on shares: checked arguments, errors with the system call and its errno, and objects that
// are put to rest before their thread's memory goes.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace tsvmm {

using Method = Napi::Value (*)(const Napi::CallbackInfo&);

/// State of one JavaScript environment (the main thread or a worker).
struct AddonData {
  /// JavaScript's `(errno, syscall, what) => SystemError`.
  Napi::FunctionReference create_error;
};

/// The whole of a typed array.
struct Bytes {
  uint8_t* data;
  size_t size;
};

/// Throws a SystemError: `what` says in words what was attempted, `error` is an errno.
[[noreturn]] void Throw(Napi::Env env, int error, const char* syscall, const std::string& what);

/// An integer in [0, maximum].
uint64_t Unsigned(const Napi::CallbackInfo& info, size_t index, const char* syscall, const char* name,
                  uint64_t maximum);

/// The whole of a Uint8Array.
Bytes ByteArray(const Napi::CallbackInfo& info, size_t index, const char* syscall);

/// What takes requests and moves bytes of JavaScript's memory on its own: the kernel's ring, or a pool of threads.
class Engine {
 public:
  virtual ~Engine() = default;
  /// What is readable while there are completions; the engine's own.
  virtual int Descriptor() const = 0;
  /// Takes `count` more entries of the submission queue. @returns how many it took, or a negative errno
  virtual int Submit(unsigned count) = 0;
  /// Cancels what can be cancelled and returns when nothing is under way: no byte of JavaScript's memory changes any
  /// more. Called once, on the thread that submits.
  virtual void Stop() = 0;
};

/// An external for JavaScript. The engine is stopped by closeEngine, at the latest when its thread's environment ends,
/// before the memory that requests name is freed.
Napi::Value HoldEngine(Napi::Env env, std::unique_ptr<Engine> engine);

template <Method method>
void Export(Napi::Object exports, const char* name) {
  exports.Set(name, Napi::Function::New<method>(exports.Env(), name));
}

// One initialiser a concern.
void InitEngines(Napi::Object exports);
void InitPool(Napi::Object exports);
void InitRing(Napi::Object exports);

}  // namespace tsvmm
