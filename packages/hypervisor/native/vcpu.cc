// Running a vCPU, and making it stop.
#include <linux/kvm.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "objects.h"

namespace tsvmm {

namespace {

/// Interrupts KVM_RUN. A real-time signal that neither the C library nor libuv uses.
int KickSignal() { return SIGRTMIN; }

/// A handler that does nothing, installed without SA_RESTART: the call it interrupts fails with EINTR.
int InstallHandler() {
  static const int error = [] {
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    sigemptyset(&action.sa_mask);
    return sigaction(KickSignal(), &action, nullptr) == 0 ? 0 : errno;
  }();
  return error;
}

/// KVM reads `immediate_exit` each time it enters the guest, concurrently with whoever sets it.
std::atomic_ref<uint8_t> ImmediateExit(const Vcpu& vcpu) {
  return std::atomic_ref<uint8_t>(vcpu.run()->immediate_exit);
}

void Detach(Napi::Env env, Holder& holder) {
  holder.run_fd = -1;
  static_cast<Vcpu&>(*holder.object).thread.store(0);
  if (holder.buffer_owner != nullptr) {
    // The buffer lets go of the pages now, not when it is collected; whoever still has a view of it sees nothing.
    holder.buffer_owner->reset();
    holder.buffer_owner = nullptr;
    napi_detach_arraybuffer(env, holder.buffer.Value());
    holder.buffer.Reset();
  }
}

/// enter(): runs the guest until it exits; what the exit is stands in the shared pages. Nothing, or the errno of KVM_RUN.
///
/// Every exit of a guest comes through here, with caches and translations that the switch of worlds has left cold: no value
/// is made for the usual case, and no object looked at but the holder.
napi_value Enter(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
  if (ioctl(static_cast<Holder*>(data)->run_fd, KVM_RUN, nullptr) >= 0) [[likely]] return nullptr;
  napi_value error;
  napi_create_int32(env, errno, &error);
  return error;
}

/// attachVcpu(handle): { vcpu, pages, enter } for the thread that is to run the vCPU. One thread may have it at a time.
Napi::Value AttachVcpu(const Napi::CallbackInfo& info) {
  constexpr const char* call = "attach";
  const Napi::Env env = info.Env();
  auto object = Find(info, 0, call, Kind::kVcpu);
  auto& vcpu = static_cast<Vcpu&>(*object);
  const int error = InstallHandler();
  if (error != 0) Throw(env, error, "sigaction", "cannot handle the signal that stops a vCPU");
  sigset_t kick;
  sigemptyset(&kick);
  sigaddset(&kick, KickSignal());
  pthread_sigmask(SIG_UNBLOCK, &kick, nullptr);

  auto* const owner = new std::shared_ptr<Object>(object);
  napi_value pages;
  const napi_status status = napi_create_external_arraybuffer(
      env, vcpu.pages.address, vcpu.pages.size,
      [](napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<Object>*>(hint); }, owner, &pages);
  if (status != napi_ok) {
    delete owner;
    Throw(env, ENOTSUP, call, "this JavaScript engine does not accept memory from outside");
  }
  pid_t nobody = 0;
  if (!vcpu.thread.compare_exchange_strong(nobody, static_cast<pid_t>(syscall(SYS_gettid)))) {
    owner->reset();
    napi_detach_arraybuffer(env, pages);
    Throw(env, EBUSY, call, "another thread has this vCPU");
  }
  // Whatever way the environment ends, the thread's id must not stay behind.
  auto holder = std::shared_ptr<Holder>(new Holder(), [](Holder* held) {
    if (held->object != nullptr) static_cast<Vcpu&>(*held->object).thread.store(0);
    delete held;
  });
  holder->run_fd = object->fd;
  holder->object = std::move(object);
  holder->before_release = Detach;
  holder->buffer = Napi::Persistent(Napi::ArrayBuffer(env, pages));
  holder->buffer_owner = owner;

  napi_value enter;
  napi_create_function(env, "enter", NAPI_AUTO_LENGTH, Enter, holder.get(), &enter);
  napi_add_finalizer(
      env, enter, new std::shared_ptr<Holder>(holder),
      [](napi_env, void* held, void*) { delete static_cast<std::shared_ptr<Holder>*>(held); }, nullptr, nullptr);
  Napi::Object result = Napi::Object::New(env);
  result.Set("vcpu", Hold(env, holder));
  result.Set("pages", Napi::Value(env, pages));
  result.Set("enter", Napi::Value(env, enter));
  return result;
}

/// Whatever the vCPU's thread does, its next or current KVM_RUN fails with EINTR: a run that has not begun looks at
/// immediate_exit, one that has is interrupted by the signal.
void Interrupt(const Vcpu& vcpu) {
  ImmediateExit(vcpu).store(1);
  const pid_t thread = vcpu.thread.load();
  // A thread that has just ended is no error.
  if (thread != 0) syscall(SYS_tgkill, getpid(), thread, KickSignal());
}

/// kick(vcpu), from any thread: makes the vCPU's thread look whether there is something to do.
Napi::Value Kick(const Napi::CallbackInfo& info) {
  Interrupt(*HeldAs<Vcpu>(info, 0, "tgkill", Kind::kVcpu));
  return info.Env().Undefined();
}

/// requestStop(vcpu), from any thread: a kick, whose reason TakeStop finds.
Napi::Value RequestStop(const Napi::CallbackInfo& info) {
  const auto vcpu = HeldAs<Vcpu>(info, 0, "tgkill", Kind::kVcpu);
  vcpu->stop.store(1);
  Interrupt(*vcpu);
  return info.Env().Undefined();
}

/// takeStop(vcpu), on the vCPU's thread after EINTR: whether somebody asked for a stop since the last time. Clearing
/// immediate_exit first keeps a request that comes in between.
Napi::Value TakeStop(const Napi::CallbackInfo& info) {
  const auto vcpu = HeldAs<Vcpu>(info, 0, "KVM_RUN", Kind::kVcpu);
  ImmediateExit(*vcpu).store(0);
  return Napi::Boolean::New(info.Env(), vcpu->stop.exchange(0) != 0);
}

/// completeExit(vcpu), on the vCPU's thread: lets the kernel take the answer of the last exit without running the guest,
/// so that registers and memory are what the guest will see (KVM API, 5).
Napi::Value CompleteExit(const Napi::CallbackInfo& info) {
  const auto vcpu = HeldAs<Vcpu>(info, 0, "KVM_RUN", Kind::kVcpu);
  const uint8_t before = ImmediateExit(*vcpu).load();
  ImmediateExit(*vcpu).store(1);
  const int result = ioctl(vcpu->fd, KVM_RUN, nullptr);
  const int error = result < 0 ? errno : 0;
  // A stop that was asked for meanwhile set both words: it stays.
  if (before == 0 && vcpu->stop.load() == 0) ImmediateExit(*vcpu).store(0);
  if (vcpu->stop.load() != 0) ImmediateExit(*vcpu).store(1);
  if (error != 0 && error != EINTR && error != EAGAIN) {
    Throw(info.Env(), error, "KVM_RUN", "cannot complete the last exit");
  }
  return info.Env().Undefined();
}

}  // namespace

void InitVcpu(Napi::Object exports) {
  Export<AttachVcpu>(exports, "attachVcpu");
  Export<Kick>(exports, "kick");
  Export<RequestStop>(exports, "requestStop");
  Export<TakeStop>(exports, "takeStop");
  Export<CompleteExit>(exports, "completeExit");
}

}  // namespace tsvmm
