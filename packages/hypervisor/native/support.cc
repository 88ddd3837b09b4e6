#include "support.h"

#include <sys/ioctl.h>

#include <cerrno>
#include <cmath>

namespace tsvmm {

namespace {

constexpr double kMaxSafeInteger = 9007199254740991.0;

}  // namespace

void Throw(Napi::Env env, int error, const char* call, const std::string& what) {
  const Napi::Value value = env.GetInstanceData<AddonData>()->create_error.Call(
      {Napi::Number::New(env, error), Napi::String::New(env, call), Napi::String::New(env, what)});
  throw Napi::Error(env, value);
}

uint64_t Unsigned(const Napi::CallbackInfo& info, size_t index, const char* call, const char* name,
                  uint64_t maximum) {
  double value;
  const double limit = maximum > static_cast<uint64_t>(kMaxSafeInteger) ? kMaxSafeInteger
                                                                        : static_cast<double>(maximum);
  if (napi_get_value_double(info.Env(), info[index], &value) != napi_ok || !(value >= 0 && value <= limit) ||
      value != std::floor(value)) {
    Throw(info.Env(), EINVAL, call,
          std::string(name) + " must be an integer from 0 to " + std::to_string(static_cast<uint64_t>(limit)));
  }
  return static_cast<uint64_t>(value);
}

std::string Text(const Napi::CallbackInfo& info, size_t index, const char* call, const char* name) {
  const Napi::Value value = info[index];
  std::string text = value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
  if (text.empty() || text.find('\0') != std::string::npos) {
    Throw(info.Env(), EINVAL, call, std::string(name) + " must be a string without NUL characters, and not empty");
  }
  return text;
}

Bytes ByteArray(const Napi::CallbackInfo& info, size_t index, const char* call) {
  const Napi::Value value = info[index];
  napi_typedarray_type type;
  void* data = nullptr;
  size_t length = 0;
  const napi_status status =
      value.IsTypedArray()
          ? napi_get_typedarray_info(info.Env(), value, &type, &length, &data, nullptr, nullptr)
          : napi_invalid_arg;
  if (status != napi_ok || type != napi_uint8_array) {
    Throw(info.Env(), EINVAL, call, "argument " + std::to_string(index + 1) + " must be a Uint8Array");
  }
  return {static_cast<uint8_t*>(data), length};
}

int Control(int fd, unsigned long request, void* argument) {
  int result;
  do {
    result = ioctl(fd, request, argument);
  } while (result < 0 && errno == EINTR);
  return result;
}

}  // namespace tsvmm
