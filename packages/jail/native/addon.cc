// Checked arguments and errors are those of @tsvmm/base's add-on, compiled into this one.
#include "support.cc"

namespace tsvmm {

void InitEnclose(Napi::Object exports);
void InitProcess(Napi::Object exports);
void InitSeccomp(Napi::Object exports);
void InitSpawn(Napi::Object exports);

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
  tsvmm::InitEnclose(exports);
  tsvmm::InitProcess(exports);
  tsvmm::InitSeccomp(exports);
  tsvmm::InitSpawn(exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(NODE_GYP_MODULE_NAME, Init)
