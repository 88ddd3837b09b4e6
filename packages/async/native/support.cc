#include "support.h"

#include <cerrno>
#include <cmath>

namespace tsvmm {

void Throw(Napi::Env env, int error, const char* syscall, const std::string& what) {
  const Napi::Value value = env.GetInstanceData<AddonData>()->create_error.Call(
      {Napi::Number::New(env, error), Napi::String::New(env, syscall), Napi::String::New(env, what)});
  throw Napi::Error(env, value);
}

uint64_t Unsigned(const Napi::CallbackInfo& info, size_t index, const char* syscall, const char* name,
                  uint64_t maximum) {
  double value;
  const auto limit = static_cast<double>(maximum);
  if (napi_get_value_double(info.Env(), info[index], &value) != napi_ok || !(value >= 0 && value <= limit) ||
      value != std::floor(value)) {
    Throw(info.Env(), EINVAL, syscall, std::string(name) + " must be an integer from 0 to " + std::to_string(maximum));
  }
  return static_cast<uint64_t>(value);
}

Bytes ByteArray(const Napi::CallbackInfo& info, size_t index, const char* syscall) {
  const Napi::Value value = info[index];
  napi_typedarray_type type;
  void* data = nullptr;
  size_t length = 0;
  // The array buffer is not asked for: it may be shared, which this Node-API version cannot represent.
  const napi_status status =
      value.IsTypedArray()
          ? napi_get_typedarray_info(info.Env(), value, &type, &length, &data, nullptr, nullptr)
          : napi_invalid_arg;
  if (status != napi_ok || type != napi_uint8_array) {
    Throw(info.Env(), EINVAL, syscall, "argument " + std::to_string(index + 1) + " must be a Uint8Array");
  }
  return {static_cast<uint8_t*>(data), length};
}

}  // namespace tsvmm
