// The bits of `Readiness` in src/readiness.ts.
#pragma once

#include <cstdint>

namespace tsvmm {

constexpr uint32_t kReadable = 1;
constexpr uint32_t kWritable = 2;
constexpr uint32_t kFailed = 4;
constexpr uint32_t kHungUp = 8;
constexpr uint32_t kEdgeTriggered = 16;
constexpr uint32_t kOneShot = 32;
constexpr uint32_t kAllInterest = 63;

}  // namespace tsvmm
