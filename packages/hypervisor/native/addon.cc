#include "support.h"

namespace {

/// setErrorFactory(create: (errno, call, what) => Error): called once by each thread that loads the add-on.
Napi::Value SetErrorFactory(const Napi::CallbackInfo& info) {
  if (!info[0].IsFunction()) throw Napi::TypeError::New(info.Env(), "the error factory must be a function");
  info.Env().GetInstanceData<tsvmm::AddonData>()->create_error = Napi::Persistent(info[0].As<Napi::Function>());
  return info.Env().Undefined();
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new tsvmm::AddonData());
  tsvmm::Export<SetErrorFactory>(exports, "setErrorFactory");
  tsvmm::InitCalls(exports);
  tsvmm::InitMemory(exports);
  tsvmm::InitObjects(exports);
  tsvmm::InitVcpu(exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(NODE_GYP_MODULE_NAME, Init)
