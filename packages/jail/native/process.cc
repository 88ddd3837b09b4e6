// What happens to a process that was spawned: signals, and its end.
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "support.h"

namespace tsvmm {

namespace {

/// signalProcess(pidfd, signal): false when it has ended.
Napi::Value SignalProcess(const Napi::CallbackInfo& info) {
  const int pidfd = Descriptor(info, 0, "pidfd_send_signal");
  const auto signal = static_cast<int>(Unsigned(info, 1, "pidfd_send_signal", "the signal", NSIG));
  const bool sent = syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0;
  if (!sent && errno != ESRCH) Throw(info.Env(), errno, "pidfd_send_signal", "cannot signal a jailed process");
  return Napi::Boolean::New(info.Env(), sent);
}

/// waitProcess(pidfd, result: Int32Array(2)): how a process ended that is readable in its pidfd: its exit status or -1, and
/// the signal that killed it or 0. Collects it: this is called once.
Napi::Value WaitProcess(const Napi::CallbackInfo& info) {
  const int pidfd = Descriptor(info, 0, "waitid");
  size_t length;
  int32_t* const result = Int32Elements(info, 1, "waitid", &length);
  if (length < 2) ThrowArgument(info.Env(), "waitid", "the result needs two elements");
  siginfo_t end{};
  int status;
  do {
    status = waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd), &end, WEXITED);
  } while (status < 0 && errno == EINTR);
  if (status < 0) Throw(info.Env(), errno, "waitid", "cannot tell how a jailed process ended");
  const bool exited = end.si_code == CLD_EXITED;
  result[0] = exited ? end.si_status : -1;
  result[1] = exited ? 0 : end.si_status;
  return info.Env().Undefined();
}

}  // namespace

void InitProcess(Napi::Object exports) {
  Export<SignalProcess>(exports, "signalProcess");
  Export<WaitProcess>(exports, "waitProcess");
}

}  // namespace tsvmm
