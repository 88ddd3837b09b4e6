// Memory: memfd, mappings inside and outside of V8's buffers, discarding, residency.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "../support.h"

// Node 26 has it, Node 24 may not; it is experimental there, so it is neither declared for this Node-API version nor
// required to exist when the add-on is loaded.
extern "C" __attribute__((weak)) napi_status node_api_create_external_sharedarraybuffer(
    napi_env env, void* data, size_t length, void (*finalize)(void* data, void* hint), void* hint,
    napi_value* result);

namespace tsvmm {

namespace {

size_t PageSize() {
  static const auto size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

/// createMemory(name, size, seal, hugePageShift): fd. hugePageShift = 0 for ordinary pages, else log2 of the page size.
Napi::Value CreateMemory(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string name = Text(info, 0, "memfd_create", "the name");
  const uint64_t size = Unsigned(info, 1, "memfd_create", "the size");
  const bool seal = Boolean(info, 2, "memfd_create", "the choice of sealing");
  const auto huge = static_cast<unsigned>(Unsigned(info, 3, "memfd_create", "the huge page shift", 40));
  unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  if (huge != 0) flags |= MFD_HUGETLB | huge << MAP_HUGE_SHIFT;
  const std::string what = "cannot create memory '" + name + "' of " + std::to_string(size) + " bytes" +
                           (huge != 0 ? " in huge pages" : "");
  const int fd = memfd_create(name.c_str(), flags);
  if (fd < 0) Throw(env, errno, "memfd_create", what);
  const char* step = "ftruncate";
  int result = ftruncate(fd, static_cast<off_t>(size));
  if (result == 0 && seal) {
    step = "fcntl";
    result = fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
  }
  if (result != 0) {
    const int error = errno;
    close(fd);
    Throw(env, error, step, what);
  }
  return Napi::Number::New(env, fd);
}

/// isSizeSealed(fd): whether nobody can shrink the file under a mapping any more (which would be a SIGBUS).
Napi::Value IsSizeSealed(const Napi::CallbackInfo& info) {
  const int seals = fcntl(Descriptor(info, 0, "fcntl"), F_GET_SEALS);
  // EINVAL: a file system without seals.
  if (seals < 0 && errno != EINVAL) Throw(info.Env(), errno, "fcntl", "cannot read the seals");
  return Napi::Boolean::New(info.Env(), seals >= 0 && (seals & F_SEAL_SHRINK) != 0);
}

struct Source {
  int fd;
  off_t offset;
};

/// A descriptor and offset that back `length` bytes; a range past the end of a file would be a SIGBUS later.
Source CheckedSource(const Napi::CallbackInfo& info, size_t index, size_t length) {
  const int fd = Descriptor(info, index, "mmap");
  const uint64_t offset = Unsigned(info, index + 1, "mmap", "the offset in the file");
  if (length == 0) ThrowArgument(info.Env(), "mmap", "an empty range cannot be mapped");
  if (offset % PageSize() != 0) {
    ThrowArgument(info.Env(), "mmap",
                  "offset " + std::to_string(offset) + " in the file is not a multiple of the page size, " +
                      std::to_string(PageSize()));
  }
  struct stat status;
  if (fstat(fd, &status) != 0) {
    Throw(info.Env(), errno, "fstat", "cannot map descriptor " + std::to_string(fd));
  }
  if (S_ISREG(status.st_mode)) {
    // A mapping ends with a whole page; only a file's last page may be partial.
    const auto size = static_cast<uint64_t>(status.st_size);
    if (offset > size || length > size - offset) {
      ThrowArgument(info.Env(), "mmap",
                    std::to_string(length) + " bytes from offset " + std::to_string(offset) +
                        " reach past the end of a file of " + std::to_string(size) + " bytes");
    }
  }
  return {fd, static_cast<off_t>(offset)};
}

/// A range of a buffer that consists of whole pages, which is what the MMU can be told about.
Bytes WholePages(const Napi::CallbackInfo& info, size_t index, const char* syscall) {
  const Bytes range = ByteRange(info, index, syscall);
  if (reinterpret_cast<uintptr_t>(range.data) % PageSize() != 0 || range.size % PageSize() != 0) {
    ThrowArgument(info.Env(), syscall,
                  "the range must begin and end at multiples of the page size, " + std::to_string(PageSize()) +
                      ", inside of page-aligned memory such as that of a WebAssembly.Memory");
  }
  return range;
}

/// mapInto(bytes, offset, length, fd, fdOffset, readOnly)
Napi::Value MapInto(const Napi::CallbackInfo& info) {
  const Bytes range = WholePages(info, 0, "mmap");
  const Source source = CheckedSource(info, 3, range.size);
  const bool read_only = Boolean(info, 5, "mmap", "the choice of a read-only mapping");
  if (mmap(range.data, range.size, read_only ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, source.fd,
           source.offset) == MAP_FAILED) {
    Throw(info.Env(), errno, "mmap",
          "cannot map " + std::to_string(range.size) + " bytes of descriptor " + std::to_string(source.fd));
  }
  return info.Env().Undefined();
}

/// unmapFrom(bytes, offset, length): puts fresh zero pages of the process in the place of a mapping.
Napi::Value UnmapFrom(const Napi::CallbackInfo& info) {
  const Bytes range = WholePages(info, 0, "mmap");
  if (range.size != 0 && mmap(range.data, range.size, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED) {
    Throw(info.Env(), errno, "mmap", "cannot replace a mapping of " + std::to_string(range.size) + " bytes");
  }
  return info.Env().Undefined();
}

/// A mapping at an address of the kernel's choice.
void* NewMapping(const Napi::CallbackInfo& info, size_t* length) {
  *length = static_cast<size_t>(Unsigned(info, 2, "mmap", "the length"));
  const Source source = CheckedSource(info, 0, *length);
  const bool read_only = Boolean(info, 3, "mmap", "the choice of a read-only mapping");
  void* address = mmap(nullptr, *length, read_only ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED, source.fd,
                       source.offset);
  if (address == MAP_FAILED) {
    Throw(info.Env(), errno, "mmap",
          "cannot map " + std::to_string(*length) + " bytes of descriptor " + std::to_string(source.fd));
  }
  return address;
}

void Unmap(void* address, void* length) { munmap(address, reinterpret_cast<uintptr_t>(length)); }

/// mapBuffer(fd, fdOffset, length, readOnly): ArrayBuffer, unmapped when it is collected.
Napi::Value MapBuffer(const Napi::CallbackInfo& info) {
  size_t length;
  void* address = NewMapping(info, &length);
  napi_value buffer;
  const napi_status status = napi_create_external_arraybuffer(
      info.Env(), address, length, [](napi_env, void* data, void* hint) { Unmap(data, hint); },
      reinterpret_cast<void*>(length), &buffer);
  if (status != napi_ok) {
    Unmap(address, reinterpret_cast<void*>(length));
    Throw(info.Env(), ENOTSUP, "mmap", "this JavaScript engine does not accept memory from outside");
  }
  return Napi::Value(info.Env(), buffer);
}

/// mapShared(fd, fdOffset, length, readOnly): SharedArrayBuffer, unmapped when the last thread let go of it; undefined
/// when this Node cannot make one over foreign memory.
Napi::Value MapShared(const Napi::CallbackInfo& info) {
  if (node_api_create_external_sharedarraybuffer == nullptr) return info.Env().Undefined();
  size_t length;
  void* address = NewMapping(info, &length);
  napi_value buffer;
  const napi_status status = node_api_create_external_sharedarraybuffer(
      info.Env(), address, length, Unmap, reinterpret_cast<void*>(length), &buffer);
  if (status != napi_ok) {
    Unmap(address, reinterpret_cast<void*>(length));
    Throw(info.Env(), ENOTSUP, "mmap", "this JavaScript engine does not accept memory from outside");
  }
  return Napi::Value(info.Env(), buffer);
}

/// discardMemory(bytes, offset, length): the range reads as zero afterwards and uses no host memory.
Napi::Value DiscardMemory(const Napi::CallbackInfo& info) {
  const Bytes range = WholePages(info, 0, "madvise");
  if (range.size == 0) return info.Env().Undefined();
  // MADV_REMOVE frees pages of a shared file for everybody who maps it; private memory refuses it.
  int result = madvise(range.data, range.size, MADV_REMOVE);
  if (result != 0 && errno == EINVAL) result = madvise(range.data, range.size, MADV_DONTNEED);
  if (result != 0) {
    Throw(info.Env(), errno, "madvise", "cannot discard " + std::to_string(range.size) + " bytes");
  }
  return info.Env().Undefined();
}

/// adviseMemory(bytes, offset, length, advice): 0 huge pages, 1 no huge pages, 2 leave out of core dumps.
Napi::Value AdviseMemory(const Napi::CallbackInfo& info) {
  static constexpr int kAdvice[] = {MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTDUMP};
  const Bytes range = WholePages(info, 0, "madvise");
  const uint64_t advice = Unsigned(info, 3, "madvise", "the advice", 2);
  if (madvise(range.data, range.size, kAdvice[advice]) != 0) {
    Throw(info.Env(), errno, "madvise", "cannot advise on " + std::to_string(range.size) + " bytes");
  }
  return info.Env().Undefined();
}

/// residentPages(bytes, offset, length): how many pages of the range are in the host's memory.
Napi::Value ResidentPages(const Napi::CallbackInfo& info) {
  const Bytes range = WholePages(info, 0, "mincore");
  std::vector<unsigned char> pages(std::min<size_t>(range.size / PageSize(), 1 << 16));
  size_t resident = 0;
  for (size_t done = 0; done < range.size;) {
    const size_t length = std::min(range.size - done, pages.size() * PageSize());
    if (mincore(range.data + done, length, pages.data()) != 0) {
      Throw(info.Env(), errno, "mincore", "cannot look at " + std::to_string(range.size) + " bytes");
    }
    const auto count = static_cast<ptrdiff_t>(length / PageSize());
    resident += static_cast<size_t>(
        std::count_if(pages.begin(), pages.begin() + count, [](unsigned char page) { return (page & 1) != 0; }));
    done += length;
  }
  return Napi::Number::New(info.Env(), static_cast<double>(resident));
}

}  // namespace

void InitMemory(Napi::Object exports) {
  exports.Set("pageSize", static_cast<double>(PageSize()));
  Export<CreateMemory>(exports, "createMemory");
  Export<IsSizeSealed>(exports, "isSizeSealed");
  Export<MapInto>(exports, "mapInto");
  Export<UnmapFrom>(exports, "unmapFrom");
  Export<MapBuffer>(exports, "mapBuffer");
  Export<MapShared>(exports, "mapShared");
  Export<DiscardMemory>(exports, "discardMemory");
  Export<AdviseMemory>(exports, "adviseMemory");
  Export<ResidentPages>(exports, "residentPages");
}

}  // namespace tsvmm
