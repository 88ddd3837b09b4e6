#include "engine.h"

#include <cerrno>

#include "support.h"

namespace tsvmm {

namespace {

constexpr napi_type_tag kEngineTag = {0x5f3d8b6a2c914e07, 0xb1e64d0c7a2f9835};

struct Holder {
  std::unique_ptr<Engine> engine;
};

void StopEngine(void* data) {
  auto* holder = static_cast<Holder*>(data);
  if (holder->engine == nullptr) return;
  holder->engine->Stop();
  holder->engine.reset();
}

Holder* HeldEngine(const Napi::CallbackInfo& info, const char* syscall) {
  bool ours = false;
  void* data = nullptr;
  if (!info[0].IsExternal() || napi_check_object_type_tag(info.Env(), info[0], &kEngineTag, &ours) != napi_ok ||
      !ours || napi_get_value_external(info.Env(), info[0], &data) != napi_ok) {
    Throw(info.Env(), EINVAL, syscall, "argument 1 must be an engine");
  }
  return static_cast<Holder*>(data);
}

/// submit(engine, count): how many entries of the submission queue were taken, or a negative errno.
Napi::Value Submit(const Napi::CallbackInfo& info) {
  Holder* holder = HeldEngine(info, "io_uring_enter");
  const auto count = static_cast<unsigned>(Unsigned(info, 1, "io_uring_enter", "the count", 65536));
  if (holder->engine == nullptr) Throw(info.Env(), EBADF, "io_uring_enter", "the engine was closed");
  return Napi::Number::New(info.Env(), holder->engine->Submit(count));
}

/// descriptorOf(engine): what is readable while there are completions. It lives as long as the engine.
Napi::Value DescriptorOf(const Napi::CallbackInfo& info) {
  Holder* holder = HeldEngine(info, "dup");
  if (holder->engine == nullptr) Throw(info.Env(), EBADF, "dup", "the engine was closed");
  return Napi::Number::New(info.Env(), holder->engine->Descriptor());
}

/// closeEngine(engine): returns when nothing is under way any more. Closing twice does nothing.
Napi::Value CloseEngine(const Napi::CallbackInfo& info) {
  Holder* holder = HeldEngine(info, "close");
  napi_remove_env_cleanup_hook(info.Env(), StopEngine, holder);
  StopEngine(holder);
  return info.Env().Undefined();
}

/// addressOf(bytes: Uint8Array): where its first byte is in this process's addresses, which user space has 2^47 of.
Napi::Value AddressOf(const Napi::CallbackInfo& info) {
  const Bytes bytes = ByteArray(info, 0, "mmap");
  return Napi::Number::New(info.Env(), static_cast<double>(reinterpret_cast<uintptr_t>(bytes.data)));
}

}  // namespace

Napi::Value HoldEngine(Napi::Env env, std::unique_ptr<Engine> engine) {
  auto* holder = new Holder{std::move(engine)};
  napi_add_env_cleanup_hook(env, StopEngine, holder);
  auto external = Napi::External<Holder>::New(env, holder, [](Napi::Env finalizing, Holder* unreachable) {
    napi_remove_env_cleanup_hook(finalizing, StopEngine, unreachable);
    StopEngine(unreachable);
    delete unreachable;
  });
  napi_type_tag_object(env, external, &kEngineTag);
  return external;
}

void InitEngines(Napi::Object exports) {
  Export<AddressOf>(exports, "addressOf");
  Export<DescriptorOf>(exports, "descriptorOf");
  Export<Submit>(exports, "submit");
  Export<CloseEngine>(exports, "closeEngine");
}

}  // namespace tsvmm
