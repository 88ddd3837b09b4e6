// Checked arguments and errors are those of @tsvmm/base's add-on, compiled into this one.
#include "support.cc"

namespace tsvmm {

void InitEnclose(Napi::Object exports);
void InitProcess(Napi::Object exports);
void InitSeccomp(Napi::Object exports);
void InitSpawn(Napi::Object exports);

}  // namespace tsvmm

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  tsvmm::InitSupport(env, exports);
  tsvmm::InitEnclose(exports);
  tsvmm::InitProcess(exports);
  tsvmm::InitSeccomp(exports);
  tsvmm::InitSpawn(exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(NODE_GYP_MODULE_NAME, Init)
