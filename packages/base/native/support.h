// What every file of an add-on shares: checked arguments, and errors that carry the system call and its errno. The other
// packages' add-ons compile it too, from here.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace tsvmm {

using Method = Napi::Value (*)(const Napi::CallbackInfo&);

/// Prepares one JavaScript environment (the main thread or a worker): the first thing an add-on's entry does. Exports
/// `setErrorFactory(create: (errno, syscall, what) => Error)`, which each thread that loads the add-on calls once.
void InitSupport(Napi::Env env, Napi::Object exports);

/// A checked range of a typed array. It stays valid until the native call returns to JavaScript.
struct Bytes {
  uint8_t* data;
  size_t size;
};

/// Throws what the error factory makes: `what` says in words what was attempted, `error` is an errno.
[[noreturn]] void Throw(Napi::Env env, int error, const char* syscall, const std::string& what);

/// Throws such an error, EINVAL, that names the argument.
[[noreturn]] void ThrowArgument(Napi::Env env, const char* syscall, const std::string& what);

/// An open descriptor number; whether it is open is for the system call to say.
int Descriptor(const Napi::CallbackInfo& info, size_t index, const char* syscall);

/// An integer in [0, maximum]; a maximum above 2^53 - 1 is lowered to it.
uint64_t Unsigned(const Napi::CallbackInfo& info, size_t index, const char* syscall, const char* name,
                  uint64_t maximum = 9007199254740991ULL);

bool Boolean(const Napi::CallbackInfo& info, size_t index, const char* syscall, const char* name);

/// Text without NUL characters inside, unless `allow_nul` (abstract socket names begin with one).
std::string Text(const Napi::CallbackInfo& info, size_t index, const char* syscall, const char* name,
                 bool allow_nul = false);

/// Milliseconds; negative means for ever.
double Timeout(const Napi::CallbackInfo& info, size_t index, const char* syscall);

/// The whole of a Uint8Array.
Bytes ByteArray(const Napi::CallbackInfo& info, size_t index, const char* syscall);

/// A Uint8Array, byte offset and byte length in three consecutive arguments, as the range they name.
Bytes ByteRange(const Napi::CallbackInfo& info, size_t index, const char* syscall);

/// The elements of an Int32Array or Float64Array and how many there are.
int32_t* Int32Elements(const Napi::CallbackInfo& info, size_t index, const char* syscall, size_t* length);
double* Float64Elements(const Napi::CallbackInfo& info, size_t index, const char* syscall, size_t* length);

template <Method method>
void Export(Napi::Object exports, const char* name) {
  exports.Set(name, Napi::Function::New<method>(exports.Env(), name));
}

}  // namespace tsvmm
