// Checked arguments and errors are those of @tsvmm/base's add-on, compiled into this one.
#include "support.cc"

namespace tsvmm {

void InitEngines(Napi::Object exports);
void InitPool(Napi::Object exports);
void InitRing(Napi::Object exports);

}  // namespace tsvmm

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  tsvmm::InitSupport(env, exports);
  tsvmm::InitEngines(exports);
  tsvmm::InitPool(exports);
  tsvmm::InitRing(exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(NODE_GYP_MODULE_NAME, Init)
