// Readiness on the event loop of the calling thread: uv_poll.
#include <fcntl.h>
#include <unistd.h>
#include <uv.h>

#include <cerrno>

#include "../support.h"
#include "readiness.h"

namespace tsvmm {

namespace {

/// Deleted once libuv has let go of the handle and JavaScript of the object that names it.
struct Watcher {
  uv_poll_t poll;
  napi_env env;
  napi_ref callback = nullptr;
  napi_async_context context = nullptr;
  napi_async_cleanup_hook_handle hook = nullptr;
  /// The watcher's own duplicate, so that closing the original first cannot make it watch a stranger's descriptor.
  int fd;
  bool handle_open = true;
  bool object_alive = true;
  bool stopping = false;
};

void DeleteWhenUnused(Watcher* watcher) {
  if (!watcher->handle_open && !watcher->object_alive) delete watcher;
}

void ReleaseCallback(Watcher* watcher) {
  if (watcher->callback != nullptr) napi_delete_reference(watcher->env, watcher->callback);
  if (watcher->context != nullptr) napi_async_destroy(watcher->env, watcher->context);
  watcher->callback = nullptr;
  watcher->context = nullptr;
}

void Stop(Watcher* watcher) {
  if (watcher->stopping) return;
  watcher->stopping = true;
  uv_poll_stop(&watcher->poll);
  // The callback may be running, so what it needs stays until the loop confirms.
  uv_close(reinterpret_cast<uv_handle_t*>(&watcher->poll), [](uv_handle_t* handle) {
    auto* closed = static_cast<Watcher*>(handle->data);
    ReleaseCallback(closed);
    napi_remove_async_cleanup_hook(closed->hook);
    closed->handle_open = false;
    DeleteWhenUnused(closed);
  });
  close(watcher->fd);
}

void OnCleanup(napi_async_cleanup_hook_handle, void* data) {
  auto* watcher = static_cast<Watcher*>(data);
  // The environment goes away before the loop confirms; nothing calls into it from here on.
  ReleaseCallback(watcher);
  Stop(watcher);
}

void OnReady(uv_poll_t* poll, int status, int events) {
  auto* watcher = static_cast<Watcher*>(poll->data);
  const napi_env env = watcher->env;
  if (watcher->stopping || watcher->callback == nullptr) return;
  uint32_t readiness = 0;
  if (events & UV_READABLE) readiness |= kReadable;
  if (events & UV_WRITABLE) readiness |= kWritable;
  // libuv stops a handle that reports an error. Reading from the descriptor will tell which.
  if (status < 0) readiness |= kFailed;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value callback, receiver, argument, result;
  if (napi_get_reference_value(env, watcher->callback, &callback) == napi_ok &&
      napi_create_uint32(env, readiness, &argument) == napi_ok && napi_get_global(env, &receiver) == napi_ok) {
    napi_make_callback(env, watcher->context, receiver, callback, 1, &argument, &result);
    bool pending = false;
    napi_value error;
    if (napi_is_exception_pending(env, &pending) == napi_ok && pending &&
        napi_get_and_clear_last_exception(env, &error) == napi_ok) {
      napi_fatal_exception(env, error);
    }
  }
  napi_close_handle_scope(env, scope);
}

int LibuvEvents(uint64_t interest) {
  return (interest & kReadable ? UV_READABLE : 0) | (interest & kWritable ? UV_WRITABLE : 0);
}

/// startWatcher(fd, interest, callback: (readiness) => void): an opaque object for the functions below.
Napi::Value StartWatcher(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int original = Descriptor(info, 0, "epoll_ctl");
  const uint64_t interest = Unsigned(info, 1, "epoll_ctl", "the interest", kReadable | kWritable);
  if (interest == 0) ThrowArgument(env, "epoll_ctl", "the interest must be readable, writable or both");
  if (!info[2].IsFunction()) ThrowArgument(env, "epoll_ctl", "the callback must be a function");
  const std::string what = "cannot watch descriptor " + std::to_string(original);
  uv_loop_t* loop;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) Throw(env, ENOTSUP, "epoll_ctl", what);
  const int fd = fcntl(original, F_DUPFD_CLOEXEC, 3);
  if (fd < 0) Throw(env, errno, "fcntl", what);
  auto* watcher = new Watcher();
  watcher->env = env;
  watcher->fd = fd;
  int error = uv_poll_init(loop, &watcher->poll, fd);
  if (error != 0) {
    close(fd);
    delete watcher;
    Throw(env, -error, "epoll_ctl", what);
  }
  watcher->poll.data = watcher;
  napi_create_reference(env, info[2], 1, &watcher->callback);
  napi_async_init(env, nullptr, Napi::String::New(env, "tsvmm:watcher"), &watcher->context);
  napi_add_async_cleanup_hook(env, OnCleanup, watcher, &watcher->hook);
  error = uv_poll_start(&watcher->poll, LibuvEvents(interest), OnReady);
  if (error != 0) {
    watcher->object_alive = false;
    Stop(watcher);
    Throw(env, -error, "epoll_ctl", what);
  }
  return Napi::External<Watcher>::New(env, watcher, [](Napi::Env, Watcher* finalized) {
    finalized->object_alive = false;
    DeleteWhenUnused(finalized);
  });
}

Watcher* WatcherArgument(const Napi::CallbackInfo& info) {
  if (!info[0].IsExternal()) ThrowArgument(info.Env(), "epoll_ctl", "the first argument must be a watcher");
  return info[0].As<Napi::External<Watcher>>().Data();
}

/// stopWatcher(watcher): the callback is not called again. Idempotent.
Napi::Value StopWatcher(const Napi::CallbackInfo& info) {
  Stop(WatcherArgument(info));
  return info.Env().Undefined();
}

/// setWatcherReferenced(watcher, value): whether it keeps the thread's event loop alive.
Napi::Value SetWatcherReferenced(const Napi::CallbackInfo& info) {
  auto* handle = reinterpret_cast<uv_handle_t*>(&WatcherArgument(info)->poll);
  if (Boolean(info, 1, "epoll_ctl", "the choice of keeping the loop alive")) {
    uv_ref(handle);
  } else {
    uv_unref(handle);
  }
  return info.Env().Undefined();
}

}  // namespace

void InitWatcher(Napi::Object exports) {
  Export<StartWatcher>(exports, "startWatcher");
  Export<StopWatcher>(exports, "stopWatcher");
  Export<SetWatcherReferenced>(exports, "setWatcherReferenced");
}

}  // namespace tsvmm
