// What JavaScript holds and submits to, whichever way it does the work. It is put to rest before its thread's memory goes.
#pragma once

#include <napi.h>

#include <memory>

namespace tsvmm {

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

}  // namespace tsvmm
