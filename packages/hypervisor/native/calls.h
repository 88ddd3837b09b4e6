// The ioctls whose argument is a number or one flat structure, as tables of their sizes: one of those that every
// architecture has, and one of each architecture's own, in `calls-ARCHITECTURE.cc`.
#pragma once

#include <linux/kvm.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "objects.h"

namespace tsvmm {

/// How long the structure is.
enum class Shape {
  /// No structure: a number, or nothing.
  kNumber,
  /// `_IOC_SIZE` of the request.
  kFixed,
  /// A header of `_IOC_SIZE` bytes that begins with a count of 32 bits, and that many entries.
  kList,
  /// The same with a count of 64 bits.
  kLongList,
  /// The machine's XSAVE area.
  kXsave,
  /// A header of `_IOC_SIZE` bytes whose second word says how long the whole is.
  kSized,
};

struct Call {
  const char* name;
  unsigned long request;
  Kind target;
  Shape shape;
  /// Bytes of an entry of a list.
  size_t entry;
};

/// The request with the size that C gives to a structure that ends with an array without length. In C++ some versions of the
/// kernel's headers make such structures longer, and with them the numbers of their requests wrong.
constexpr unsigned long WithSize(unsigned long request, size_t size) {
  return (request & ~(static_cast<unsigned long>(_IOC_SIZEMASK) << _IOC_SIZESHIFT)) | size << _IOC_SIZESHIFT;
}

#define TSVMM_NUMBER(name, target) {#name, name, Kind::target, Shape::kNumber, 0}
#define TSVMM_FIXED(name, target) {#name, name, Kind::target, Shape::kFixed, 0}
#define TSVMM_LIST(name, target, header, entry) \
  {#name, WithSize(name, header), Kind::target, Shape::kList, sizeof(entry)}

/// The calls that only this architecture has.
std::span<const Call> ArchitectureCalls();

/// Bytes of a vCPU's XSAVE area in a machine; 0 on an architecture without one.
size_t XsaveSize(int machine);

/// KVM_CHECK_EXTENSION, where a failure means that there is no such thing.
int Extension(int fd, unsigned long capability);

}  // namespace tsvmm
