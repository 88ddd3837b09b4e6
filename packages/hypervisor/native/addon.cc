// Checked arguments and errors are those of @tsvmm/base's add-on, compiled into this one.
#include "support.cc"

namespace tsvmm {

void InitCalls(Napi::Object exports);
void InitMemory(Napi::Object exports);
void InitObjects(Napi::Object exports);
void InitVcpu(Napi::Object exports);

}  // namespace tsvmm

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  tsvmm::InitSupport(env, exports);
  tsvmm::InitCalls(exports);
  tsvmm::InitMemory(exports);
  tsvmm::InitObjects(exports);
  tsvmm::InitVcpu(exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(NODE_GYP_MODULE_NAME, Init)
