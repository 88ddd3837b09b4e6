#include "support.h"

#include <cerrno>
#include <cmath>
#include <limits>

namespace tsvmm {

namespace {

/// State of one JavaScript environment.
struct AddonData {
  /// JavaScript's `(errno, syscall, what) => Error`.
  Napi::FunctionReference create_error;
};

Napi::Value SetErrorFactory(const Napi::CallbackInfo& info) {
  if (!info[0].IsFunction()) throw Napi::TypeError::New(info.Env(), "the error factory must be a function");
  info.Env().GetInstanceData<AddonData>()->create_error = Napi::Persistent(info[0].As<Napi::Function>());
  return info.Env().Undefined();
}

constexpr double kMaxSafeInteger = 9007199254740991.0;

void* Elements(const Napi::CallbackInfo& info, size_t index, const char* syscall, napi_typedarray_type wanted,
               const char* type_name, size_t* length) {
  const Napi::Value value = info[index];
  napi_typedarray_type type;
  void* data = nullptr;
  // The array buffer is not asked for: it may be shared, which this Node-API version cannot represent.
  const napi_status status =
      value.IsTypedArray()
          ? napi_get_typedarray_info(info.Env(), value, &type, length, &data, nullptr, nullptr)
          : napi_invalid_arg;
  if (status != napi_ok || type != wanted) {
    ThrowArgument(info.Env(), syscall, "argument " + std::to_string(index + 1) + " must be a " + type_name);
  }
  return data;
}

}  // namespace

void InitSupport(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new AddonData());
  Export<SetErrorFactory>(exports, "setErrorFactory");
}

void Throw(Napi::Env env, int error, const char* syscall, const std::string& what) {
  const Napi::Value value = env.GetInstanceData<AddonData>()->create_error.Call(
      {Napi::Number::New(env, error), Napi::String::New(env, syscall), Napi::String::New(env, what)});
  throw Napi::Error(env, value);
}

void ThrowArgument(Napi::Env env, const char* syscall, const std::string& what) {
  Throw(env, EINVAL, syscall, what);
}

int Descriptor(const Napi::CallbackInfo& info, size_t index, const char* syscall) {
  return static_cast<int>(Unsigned(info, index, syscall, "descriptor", std::numeric_limits<int>::max()));
}

uint64_t Unsigned(const Napi::CallbackInfo& info, size_t index, const char* syscall, const char* name,
                  uint64_t maximum) {
  double value;
  const double limit = maximum > static_cast<uint64_t>(kMaxSafeInteger) ? kMaxSafeInteger
                                                                        : static_cast<double>(maximum);
  if (napi_get_value_double(info.Env(), info[index], &value) != napi_ok ||
      !(value >= 0 && value <= limit) || value != std::floor(value)) {
    ThrowArgument(info.Env(), syscall,
                  std::string(name) + " must be an integer from 0 to " +
                      std::to_string(static_cast<uint64_t>(limit)));
  }
  return static_cast<uint64_t>(value);
}

bool Boolean(const Napi::CallbackInfo& info, size_t index, const char* syscall, const char* name) {
  bool value;
  if (napi_get_value_bool(info.Env(), info[index], &value) != napi_ok) {
    ThrowArgument(info.Env(), syscall, std::string(name) + " must be a boolean");
  }
  return value;
}

std::string Text(const Napi::CallbackInfo& info, size_t index, const char* syscall, const char* name,
                 bool allow_nul) {
  const Napi::Value value = info[index];
  if (!value.IsString()) ThrowArgument(info.Env(), syscall, std::string(name) + " must be a string");
  std::string text = value.As<Napi::String>().Utf8Value();
  if (!allow_nul && text.find('\0') != std::string::npos) {
    ThrowArgument(info.Env(), syscall, std::string(name) + " must not contain NUL characters");
  }
  return text;
}

double Timeout(const Napi::CallbackInfo& info, size_t index, const char* syscall) {
  double value;
  if (napi_get_value_double(info.Env(), info[index], &value) != napi_ok || std::isnan(value)) {
    ThrowArgument(info.Env(), syscall, "the timeout must be a number of milliseconds");
  }
  // Whatever exceeds a century is for ever, and stays clear of overflow in nanoseconds.
  return value > 3.2e12 ? -1 : value;
}

Bytes ByteArray(const Napi::CallbackInfo& info, size_t index, const char* syscall) {
  size_t length = 0;
  void* data = Elements(info, index, syscall, napi_uint8_array, "Uint8Array", &length);
  return {static_cast<uint8_t*>(data), length};
}

Bytes ByteRange(const Napi::CallbackInfo& info, size_t index, const char* syscall) {
  const Bytes whole = ByteArray(info, index, syscall);
  const uint64_t offset = Unsigned(info, index + 1, syscall, "the byte offset");
  const uint64_t length = Unsigned(info, index + 2, syscall, "the byte length");
  if (offset > whole.size || length > whole.size - offset) {
    ThrowArgument(info.Env(), syscall,
                  "byte offset " + std::to_string(offset) + " with length " + std::to_string(length) +
                      " does not fit in a buffer of " + std::to_string(whole.size) + " bytes");
  }
  return {whole.data + offset, static_cast<size_t>(length)};
}

int32_t* Int32Elements(const Napi::CallbackInfo& info, size_t index, const char* syscall, size_t* length) {
  return static_cast<int32_t*>(Elements(info, index, syscall, napi_int32_array, "Int32Array", length));
}

double* Float64Elements(const Napi::CallbackInfo& info, size_t index, const char* syscall, size_t* length) {
  return static_cast<double*>(Elements(info, index, syscall, napi_float64_array, "Float64Array", length));
}

}  // namespace tsvmm
