#include "support.h"

namespace tsvmm {

// One initialiser a concern; each platform implements them in its own directory.
void InitDescriptor(Napi::Object exports);
void InitEvent(Napi::Object exports);
void InitFile(Napi::Object exports);
void InitMemory(Napi::Object exports);
void InitPoll(Napi::Object exports);
void InitSocket(Napi::Object exports);
void InitTerminal(Napi::Object exports);
void InitThread(Napi::Object exports);
void InitWatcher(Napi::Object exports);

}  // namespace tsvmm

namespace {

/// setErrorFactory(create: (errno, syscall, what) => Error): called once by each thread that loads the add-on.
Napi::Value SetErrorFactory(const Napi::CallbackInfo& info) {
  if (!info[0].IsFunction()) throw Napi::TypeError::New(info.Env(), "the error factory must be a function");
  info.Env().GetInstanceData<tsvmm::AddonData>()->create_error = Napi::Persistent(info[0].As<Napi::Function>());
  return info.Env().Undefined();
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new tsvmm::AddonData());
  tsvmm::Export<SetErrorFactory>(exports, "setErrorFactory");
  tsvmm::InitDescriptor(exports);
  tsvmm::InitEvent(exports);
  tsvmm::InitFile(exports);
  tsvmm::InitMemory(exports);
  tsvmm::InitPoll(exports);
  tsvmm::InitSocket(exports);
  tsvmm::InitTerminal(exports);
  tsvmm::InitThread(exports);
  tsvmm::InitWatcher(exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(NODE_GYP_MODULE_NAME, Init)
