// What every file of the add-on shares: checked arguments, and errors that carry the ioctl and its errno.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace tsvmm {

using Method = Napi::Value (*)(const Napi::CallbackInfo&);

/// State of one JavaScript environment (the main thread or a worker).
struct AddonData {
  /// JavaScript's `(errno, call, what) => Error`.
  Napi::FunctionReference create_error;
};

/// The whole of a typed array. It stays valid until the native call returns to JavaScript.
struct Bytes {
  uint8_t* data;
  size_t size;
};

/// Throws JavaScript's error: `call` is an ioctl or system call, `what` says in words what was attempted.
[[noreturn]] void Throw(Napi::Env env, int error, const char* call, const std::string& what);

/// An integer in [0, maximum]; a maximum above 2^53 - 1 is lowered to it.
uint64_t Unsigned(const Napi::CallbackInfo& info, size_t index, const char* call, const char* name,
                  uint64_t maximum = 9007199254740991ULL);

std::string Text(const Napi::CallbackInfo& info, size_t index, const char* call, const char* name);

/// The whole of a Uint8Array.
Bytes ByteArray(const Napi::CallbackInfo& info, size_t index, const char* call);

/// `ioctl`, repeated when a signal came first. KVM_RUN is the one call for which that would be wrong.
int Control(int fd, unsigned long request, void* argument);

template <Method method>
void Export(Napi::Object exports, const char* name) {
  exports.Set(name, Napi::Function::New<method>(exports.Env(), name));
}

// One initialiser a concern.
void InitCalls(Napi::Object exports);
void InitMemory(Napi::Object exports);
void InitObjects(Napi::Object exports);
void InitVcpu(Napi::Object exports);

}  // namespace tsvmm
