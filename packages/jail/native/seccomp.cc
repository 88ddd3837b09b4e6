// Filters of system calls, and the supervisor's side of them (seccomp(2), seccomp_unotify(2)).
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "support.h"

namespace tsvmm {

namespace {

/// installFilter(program, listen): applies an array of `struct sock_filter` to all threads of this process, for ever. With
/// `listen` the result is a descriptor on which the calls that the filter asks about arrive; else -1.
Napi::Value InstallFilter(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Bytes program = ByteArray(info, 0, "seccomp");
  const bool listen = Boolean(info, 1, "seccomp", "whether to listen");
  if (program.size == 0 || program.size % sizeof(sock_filter) != 0 ||
      program.size / sizeof(sock_filter) > BPF_MAXINSNS) {
    ThrowArgument(env, "seccomp", "a filter has 1 to 4096 instructions of eight bytes");
  }
  const sock_fprog filter{static_cast<unsigned short>(program.size / sizeof(sock_filter)),
                          reinterpret_cast<sock_filter*>(program.data)};
  const unsigned flags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH |
                         (listen ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0);
  const long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
  if (result < 0) Throw(env, errno, "seccomp", "cannot install the filter of system calls");
  return Napi::Number::New(env, listen ? static_cast<double>(result) : -1);
}

/// receiveCall(listener, result: Float64Array(9)): a call that waits for a decision, as its id (two 32-bit halves, low
/// first), its number, and its arguments (rounded to 53 bits, for messages). False when it was given up meanwhile.
Napi::Value ReceiveCall(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int listener = Descriptor(info, 0, "ioctl");
  size_t length;
  double* const result = Float64Elements(info, 1, "ioctl", &length);
  if (length < 9) ThrowArgument(env, "ioctl", "the result needs nine elements");
  seccomp_notif call;
  int status;
  do {
    // The kernel wants it zeroed, at each attempt.
    std::memset(&call, 0, sizeof call);
    status = ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call);
  } while (status < 0 && errno == EINTR);
  if (status < 0 && errno == ENOENT) return Napi::Boolean::New(env, false);
  if (status < 0) Throw(env, errno, "ioctl", "cannot receive a system call to decide on");
  result[0] = static_cast<uint32_t>(call.id);
  result[1] = static_cast<double>(call.id >> 32);
  result[2] = call.data.nr;
  for (int i = 0; i < 6; i++) result[3 + i] = static_cast<double>(call.data.args[i]);
  return Napi::Boolean::New(env, true);
}

/// permitCall(listener, idLow, idHigh): lets a waiting call be made as if there were no filter. False when it was given up.
Napi::Value PermitCall(const Napi::CallbackInfo& info) {
  const int listener = Descriptor(info, 0, "ioctl");
  const uint64_t low = Unsigned(info, 1, "ioctl", "the low half of the id", UINT32_MAX);
  const uint64_t high = Unsigned(info, 2, "ioctl", "the high half of the id", UINT32_MAX);
  seccomp_notif_resp answer{};
  answer.id = high << 32 | low;
  answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  const bool sent = ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0;
  if (!sent && errno != ENOENT) Throw(info.Env(), errno, "ioctl", "cannot answer a system call");
  return Napi::Boolean::New(info.Env(), sent);
}

}  // namespace

void InitSeccomp(Napi::Object exports) {
  Export<InstallFilter>(exports, "installFilter");
  Export<ReceiveCall>(exports, "receiveCall");
  Export<PermitCall>(exports, "permitCall");
}

}  // namespace tsvmm
