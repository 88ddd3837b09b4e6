// Files and block devices: what Node's own file system module does not offer.
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "../support.h"

namespace tsvmm {

namespace {

/// Vectors handed to the kernel at a time (IOV_MAX is 1024; 256 keep the frame small).
constexpr size_t kBatch = 256;

using Transfer = ssize_t (*)(int fd, const iovec* vectors, int count, off_t position);

/// (fd, position, bytes, segments: Float64Array, count): bytes transferred. Each segment is an offset and a length in
/// `bytes`. All are checked before the first byte moves.
Napi::Value TransferSegments(const Napi::CallbackInfo& info, const char* syscall, Transfer transfer, bool writing) {
  const Napi::Env env = info.Env();
  const int fd = Descriptor(info, 0, syscall);
  const uint64_t start = Unsigned(info, 1, syscall, "the position");
  const Bytes memory = ByteArray(info, 2, syscall);
  size_t available;
  const double* segments = Float64Elements(info, 3, syscall, &available);
  const auto count = static_cast<size_t>(Unsigned(info, 4, syscall, "the number of segments", available / 2));

  const auto segment = [&](size_t index) -> Bytes {
    const double offset = segments[2 * index];
    const double length = segments[2 * index + 1];
    const auto size = static_cast<double>(memory.size);
    if (!(offset >= 0 && length >= 0 && offset <= size && length <= size - offset) || offset != std::floor(offset) ||
        length != std::floor(length)) {
      ThrowArgument(env, syscall,
                    "segment " + std::to_string(index) + " (offset " + std::to_string(offset) + ", length " +
                        std::to_string(length) + ") does not lie in a memory of " + std::to_string(memory.size) +
                        " bytes");
    }
    return {memory.data + static_cast<size_t>(offset), static_cast<size_t>(length)};
  };
  for (size_t i = 0; i < count; i++) segment(i);

  uint64_t total = 0;
  size_t index = 0;
  size_t skip = 0;  // bytes of segments[index] that are done
  while (index < count) {
    iovec vectors[kBatch];
    size_t filled = 0;
    uint64_t wanted = 0;
    for (size_t i = index; i < count && filled < kBatch; i++) {
      // Read again: another thread may share the segment array, and only what is checked here is used.
      Bytes bytes = segment(i);
      if (i == index) {
        const size_t done = std::min(skip, bytes.size);
        bytes = {bytes.data + done, bytes.size - done};
      }
      vectors[filled++] = {bytes.data, bytes.size};
      wanted += bytes.size;
    }
    ssize_t moved = wanted == 0 ? 0 : transfer(fd, vectors, static_cast<int>(filled), static_cast<off_t>(start + total));
    if (moved < 0) {
      if (errno == EINTR) continue;
      Throw(env, errno, syscall,
            std::to_string(total) + " bytes were transferred at position " + std::to_string(start) +
                " of descriptor " + std::to_string(fd) + " before the failure");
    }
    if (moved == 0 && wanted != 0) {
      if (!writing) break;
      Throw(env, EIO, syscall, "descriptor " + std::to_string(fd) + " accepts no more bytes");
    }
    total += static_cast<uint64_t>(moved);
    for (size_t i = 0; i < filled; i++) {
      const auto length = static_cast<ssize_t>(vectors[i].iov_len);
      if (moved < length) {
        skip = (i == 0 ? skip : 0) + static_cast<size_t>(moved);
        break;
      }
      moved -= length;
      skip = 0;
      index++;
    }
  }
  return Napi::Number::New(env, static_cast<double>(total));
}

/// readSegments(...): fewer bytes than asked for only at the end of the file.
Napi::Value ReadSegments(const Napi::CallbackInfo& info) {
  return TransferSegments(info, "preadv", preadv, false);
}

/// writeSegments(...): all bytes, or it throws.
Napi::Value WriteSegments(const Napi::CallbackInfo& info) {
  return TransferSegments(info, "pwritev", pwritev, true);
}

/// allocateFile(fd, mode, offset, length): 0 allocate, 1 punch a hole, 2 zero the range; the latter two keep the size.
Napi::Value AllocateFile(const Napi::CallbackInfo& info) {
  static constexpr int kModes[] = {0, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                   FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
  const int fd = Descriptor(info, 0, "fallocate");
  const uint64_t mode = Unsigned(info, 1, "fallocate", "the mode", 2);
  const uint64_t offset = Unsigned(info, 2, "fallocate", "the offset");
  const uint64_t length = Unsigned(info, 3, "fallocate", "the length");
  if (length == 0) return info.Env().Undefined();
  int result;
  do {
    result = fallocate(fd, kModes[mode], static_cast<off_t>(offset), static_cast<off_t>(length));
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    Throw(info.Env(), errno, "fallocate",
          "cannot change the allocation of " + std::to_string(length) + " bytes at offset " + std::to_string(offset));
  }
  return info.Env().Undefined();
}

/// seekFile(fd, hole, offset): the first offset from there on of a hole, or of data; -1 where no data follows.
Napi::Value SeekFile(const Napi::CallbackInfo& info) {
  const int fd = Descriptor(info, 0, "lseek");
  const bool hole = Boolean(info, 1, "lseek", "the choice of holes");
  const uint64_t offset = Unsigned(info, 2, "lseek", "the offset");
  const off_t found = lseek(fd, static_cast<off_t>(offset), hole ? SEEK_HOLE : SEEK_DATA);
  if (found < 0 && errno != ENXIO) {
    Throw(info.Env(), errno, "lseek", "cannot look for data and holes in descriptor " + std::to_string(fd));
  }
  return Napi::Number::New(info.Env(), static_cast<double>(found));
}

/// fileAttributes(path: Uint8Array without a NUL): names and values of the extended attributes in turn, as Buffers.
/// Symbolic links are not followed. A file system without attributes has none.
Napi::Value FileAttributes(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Bytes bytes = ByteArray(info, 0, "llistxattr");
  const std::string path(reinterpret_cast<const char*>(bytes.data), bytes.size);
  if (path.find('\0') != std::string::npos) ThrowArgument(env, "llistxattr", "the path has a NUL");
  const Napi::Array result = Napi::Array::New(env);
  ssize_t length;
  std::vector<char> names;
  // Attributes may come between asking for the length and reading.
  do {
    length = llistxattr(path.c_str(), nullptr, 0);
    if (length <= 0) break;
    names.resize(static_cast<size_t>(length));
    length = llistxattr(path.c_str(), names.data(), names.size());
  } while (length < 0 && errno == ERANGE);
  if (length < 0 && errno != ENOTSUP) Throw(env, errno, "llistxattr", "cannot list the attributes of " + path);
  uint32_t count = 0;
  std::vector<char> value;
  for (ssize_t at = 0; at < length;) {
    const char* name = names.data() + at;
    const size_t name_length = strnlen(name, static_cast<size_t>(length - at));
    at += static_cast<ssize_t>(name_length) + 1;
    ssize_t size;
    do {
      size = lgetxattr(path.c_str(), name, nullptr, 0);
      if (size <= 0) break;
      value.resize(static_cast<size_t>(size));
      size = lgetxattr(path.c_str(), name, value.data(), value.size());
    } while (size < 0 && errno == ERANGE);
    if (size < 0) {
      if (errno == ENODATA) continue;
      Throw(env, errno, "lgetxattr", "cannot read the attribute " + std::string(name) + " of " + path);
    }
    result.Set(count++, Napi::Buffer<char>::Copy(env, name, name_length));
    result.Set(count++, Napi::Buffer<char>::Copy(env, value.data(), static_cast<size_t>(size)));
  }
  return result;
}

/// syncFile(fd, dataOnly)
Napi::Value SyncFile(const Napi::CallbackInfo& info) {
  const int fd = Descriptor(info, 0, "fdatasync");
  const bool data_only = Boolean(info, 1, "fdatasync", "the choice of data only");
  const char* syscall = data_only ? "fdatasync" : "fsync";
  int result;
  do {
    result = data_only ? fdatasync(fd) : fsync(fd);
  } while (result != 0 && errno == EINTR);
  if (result != 0) Throw(info.Env(), errno, syscall, "cannot bring descriptor " + std::to_string(fd) + " to stable storage");
  return info.Env().Undefined();
}

/// lockRange(fd, kind, start, length): boolean, false when somebody else holds a conflicting lock. kind: 0 unlock,
/// 1 shared, 2 exclusive. Open file description locks: they belong to the open file, not to the process.
Napi::Value LockRange(const Napi::CallbackInfo& info) {
  static constexpr short kKinds[] = {F_UNLCK, F_RDLCK, F_WRLCK};
  const int fd = Descriptor(info, 0, "fcntl");
  struct flock lock = {};
  lock.l_type = kKinds[Unsigned(info, 1, "fcntl", "the kind of lock", 2)];
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(Unsigned(info, 2, "fcntl", "the start"));
  lock.l_len = static_cast<off_t>(Unsigned(info, 3, "fcntl", "the length"));
  if (fcntl(fd, F_OFD_SETLK, &lock) == 0) return Napi::Boolean::New(info.Env(), true);
  if (errno == EAGAIN || errno == EACCES) return Napi::Boolean::New(info.Env(), false);
  Throw(info.Env(), errno, "fcntl", "cannot lock descriptor " + std::to_string(fd));
}

/// isRangeLocked(fd, kind, start, length): whether a lock of somebody else keeps lockRange from succeeding.
Napi::Value IsRangeLocked(const Napi::CallbackInfo& info) {
  static constexpr short kKinds[] = {F_UNLCK, F_RDLCK, F_WRLCK};
  const int fd = Descriptor(info, 0, "fcntl");
  struct flock lock = {};
  lock.l_type = kKinds[Unsigned(info, 1, "fcntl", "the kind of lock", 2)];
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(Unsigned(info, 2, "fcntl", "the start"));
  lock.l_len = static_cast<off_t>(Unsigned(info, 3, "fcntl", "the length"));
  if (fcntl(fd, F_OFD_GETLK, &lock) != 0) {
    Throw(info.Env(), errno, "fcntl", "cannot see the locks of descriptor " + std::to_string(fd));
  }
  return Napi::Boolean::New(info.Env(), lock.l_type != F_UNLCK);
}

/// lockFile(fd, kind): boolean; flock(2) on the whole file, kinds as above.
Napi::Value LockFile(const Napi::CallbackInfo& info) {
  static constexpr int kKinds[] = {LOCK_UN, LOCK_SH, LOCK_EX};
  const int fd = Descriptor(info, 0, "flock");
  const uint64_t kind = Unsigned(info, 1, "flock", "the kind of lock", 2);
  int result;
  do {
    result = flock(fd, kKinds[kind] | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return Napi::Boolean::New(info.Env(), true);
  if (errno == EWOULDBLOCK) return Napi::Boolean::New(info.Env(), false);
  Throw(info.Env(), errno, "flock", "cannot lock descriptor " + std::to_string(fd));
}

/// blockDeviceSize(fd): bytes
Napi::Value BlockDeviceSize(const Napi::CallbackInfo& info) {
  const int fd = Descriptor(info, 0, "ioctl");
  uint64_t size = 0;
  if (ioctl(fd, BLKGETSIZE64, &size) != 0) {
    Throw(info.Env(), errno, "ioctl", "descriptor " + std::to_string(fd) + " does not tell the size of a block device");
  }
  return Napi::Number::New(info.Env(), static_cast<double>(size));
}

/// discardBlocks(fd, zero, offset, length): BLKDISCARD, or BLKZEROOUT.
Napi::Value DiscardBlocks(const Napi::CallbackInfo& info) {
  const int fd = Descriptor(info, 0, "ioctl");
  const bool zero = Boolean(info, 1, "ioctl", "the choice of zeroing");
  const uint64_t range[2] = {Unsigned(info, 2, "ioctl", "the offset"), Unsigned(info, 3, "ioctl", "the length")};
  if (ioctl(fd, zero ? BLKZEROOUT : BLKDISCARD, range) != 0) {
    Throw(info.Env(), errno, "ioctl",
          std::string("cannot ") + (zero ? "zero " : "discard ") + std::to_string(range[1]) + " bytes at offset " +
              std::to_string(range[0]) + " of block device " + std::to_string(fd));
  }
  return info.Env().Undefined();
}

}  // namespace

void InitFile(Napi::Object exports) {
  Export<ReadSegments>(exports, "readSegments");
  Export<WriteSegments>(exports, "writeSegments");
  Export<AllocateFile>(exports, "allocateFile");
  Export<SeekFile>(exports, "seekFile");
  Export<FileAttributes>(exports, "fileAttributes");
  Export<SyncFile>(exports, "syncFile");
  Export<LockRange>(exports, "lockRange");
  Export<IsRangeLocked>(exports, "isRangeLocked");
  Export<LockFile>(exports, "lockFile");
  Export<BlockDeviceSize>(exports, "blockDeviceSize");
  Export<DiscardBlocks>(exports, "discardBlocks");
}

}  // namespace tsvmm
