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

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  tsvmm::InitSupport(env, exports);
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
