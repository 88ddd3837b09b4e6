// Terminals: raw mode that is undone however the process ends (short of SIGKILL), and the window's size.
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#include <fcntl.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <mutex>

#include "../support.h"

namespace tsvmm {

namespace {

// ---- What is to be restored. Signal handlers read it, so it is fixed memory guarded by atomics alone.

struct RawTerminal {
  std::atomic<bool> active{false};
  int fd = -1;
  dev_t device = 0;
  termios saved = {};
};

std::array<RawTerminal, 8> terminals;

/// Serialises whoever enters and leaves raw mode. Signal handlers never take it.
std::mutex changing;

/// Async-signal-safe. Runs while SIGTTOU is blocked, so that a process in the background is not stopped.
int SetAttributes(int fd, const termios& attributes) {
  sigset_t background, before;
  sigemptyset(&background);
  sigaddset(&background, SIGTTOU);
  pthread_sigmask(SIG_BLOCK, &background, &before);
  int result;
  do {
    result = tcsetattr(fd, TCSANOW, &attributes);
  } while (result != 0 && errno == EINTR);
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return result;
}

/// Async-signal-safe.
void RestoreAll() {
  for (RawTerminal& terminal : terminals) {
    if (terminal.active.load(std::memory_order_acquire)) SetAttributes(terminal.fd, terminal.saved);
  }
}

// ---- Signals that end a process.

constexpr std::array kSignals = {SIGHUP, SIGINT,  SIGQUIT, SIGILL,  SIGTRAP, SIGABRT,
                                 SIGBUS, SIGFPE, SIGSEGV, SIGSYS, SIGTERM};

std::array<struct sigaction, kSignals.size()> previous_actions;
size_t handled_signals = 0;  // bit i: kSignals[i] has our handler

bool IsFunction(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 || (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
}

void Forward(const struct sigaction& action, int signal, siginfo_t* info, void* context) {
  if ((action.sa_flags & SA_SIGINFO) != 0) {
    action.sa_sigaction(signal, info, context);
  } else {
    action.sa_handler(signal);
  }
}

void OnSignal(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  size_t index = 0;
  while (kSignals[index] != signal) index++;
  const struct sigaction& previous = previous_actions[index];
  const bool ends = !IsFunction(previous) || (previous.sa_flags & SA_RESETHAND) != 0;
  if (ends) {
    RestoreAll();
    // What the kernel does for a one-shot handler, or what the signal would have met without us.
    struct sigaction standard = {};
    standard.sa_handler = SIG_DFL;
    sigaction(signal, &standard, nullptr);
    // Raised while it is blocked: it takes effect when this handler returns.
    if (IsFunction(previous)) {
      Forward(previous, signal, info, context);
    } else {
      raise(signal);
    }
  } else {
    // V8 turns a fault of WebAssembly code into a trap, libuv passes a signal on to JavaScript: neither is an end. Whoever
    // gives up puts the standard action back before returning.
    Forward(previous, signal, info, context);
    struct sigaction now;
    if (sigaction(signal, nullptr, &now) == 0 && !IsFunction(now) && now.sa_handler == SIG_DFL) RestoreAll();
  }
  errno = error;
}

bool IsOurs(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == OnSignal;
}

/// Called with `changing` held.
void InstallHandlers() {
  static std::once_flag at_exit;
  std::call_once(at_exit, [] { std::atexit(RestoreAll); });
  for (size_t i = 0; i < kSignals.size(); i++) {
    struct sigaction& previous = previous_actions[i];
    struct sigaction current;
    if (sigaction(kSignals[i], nullptr, &current) != 0 || IsOurs(current)) continue;
    // Who ignores a signal (nohup) goes on ignoring it.
    if (!IsFunction(current) && current.sa_handler == SIG_IGN) continue;
    previous = current;
    struct sigaction action = current;
    action.sa_sigaction = OnSignal;
    action.sa_flags = (current.sa_flags & (SA_ONSTACK | SA_RESTART)) | SA_SIGINFO | SA_ONSTACK;
    if (sigaction(kSignals[i], &action, nullptr) == 0) handled_signals |= size_t{1} << i;
  }
}

/// Called with `changing` held.
void RemoveHandlers() {
  for (size_t i = 0; i < kSignals.size(); i++) {
    if ((handled_signals & size_t{1} << i) == 0) continue;
    struct sigaction current;
    // Whoever came after us stays in charge.
    if (sigaction(kSignals[i], nullptr, &current) == 0 && IsOurs(current)) {
      sigaction(kSignals[i], &previous_actions[i], nullptr);
    }
  }
  handled_signals = 0;
}

// ---- What JavaScript calls.

/// isTerminal(fd): boolean
Napi::Value IsTerminal(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), isatty(Descriptor(info, 0, "isatty")) == 1);
}

/// enterRawMode(fd, keepSignals): a slot for leaveRawMode.
Napi::Value EnterRawMode(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int original = Descriptor(info, 0, "tcsetattr");
  const bool keep_signals = Boolean(info, 1, "tcsetattr", "the choice of keeping signals");
  const std::string what = "cannot put descriptor " + std::to_string(original) + " into raw mode";
  const std::lock_guard lock(changing);

  struct stat status;
  termios saved;
  if (fstat(original, &status) != 0 || tcgetattr(original, &saved) != 0) Throw(env, errno, "tcgetattr", what);
  RawTerminal* free_terminal = nullptr;
  bool first = true;
  for (RawTerminal& terminal : terminals) {
    if (!terminal.active.load()) {
      if (free_terminal == nullptr) free_terminal = &terminal;
      continue;
    }
    first = false;
    if (terminal.device == status.st_rdev) Throw(env, EBUSY, "tcsetattr", what + ": the terminal is in raw mode already");
  }
  if (free_terminal == nullptr) {
    Throw(env, EBUSY, "tcsetattr", what + ": " + std::to_string(terminals.size()) + " terminals are in raw mode already");
  }
  // Our own duplicate: restoring must reach this terminal whatever becomes of the caller's descriptor.
  const int fd = fcntl(original, F_DUPFD_CLOEXEC, 3);
  if (fd < 0) Throw(env, errno, "fcntl", what);

  termios raw = saved;
  cfmakeraw(&raw);
  // Host messages printed beside the guest's output still begin at the left margin.
  raw.c_oflag |= saved.c_oflag & OPOST;
  if (keep_signals) raw.c_lflag |= ISIG;

  free_terminal->fd = fd;
  free_terminal->device = status.st_rdev;
  free_terminal->saved = saved;
  if (first) InstallHandlers();
  free_terminal->active.store(true, std::memory_order_release);
  if (SetAttributes(fd, raw) != 0) {
    const int error = errno;
    free_terminal->active.store(false);
    if (first) RemoveHandlers();
    close(fd);
    Throw(env, error, "tcsetattr", what);
  }
  return Napi::Number::New(env, static_cast<double>(free_terminal - terminals.data()));
}

/// leaveRawMode(slot)
Napi::Value LeaveRawMode(const Napi::CallbackInfo& info) {
  const size_t slot = Unsigned(info, 0, "tcsetattr", "the terminal", terminals.size() - 1);
  const std::lock_guard lock(changing);
  RawTerminal& terminal = terminals[slot];
  if (!terminal.active.load()) ThrowArgument(info.Env(), "tcsetattr", "the terminal is not in raw mode");
  const int result = SetAttributes(terminal.fd, terminal.saved);
  const int error = errno;
  terminal.active.store(false, std::memory_order_release);
  close(terminal.fd);
  bool last = true;
  for (const RawTerminal& other : terminals) last = last && !other.active.load();
  if (last) RemoveHandlers();
  // EIO: the terminal is gone (its window was closed), so there is nothing left to restore.
  if (result != 0 && error != EIO) Throw(info.Env(), error, "tcsetattr", "cannot leave raw mode");
  return info.Env().Undefined();
}

/// windowSize(fd, result: Int32Array): columns and rows in characters, width and height in pixels (0: unknown).
Napi::Value WindowSize(const Napi::CallbackInfo& info) {
  const int fd = Descriptor(info, 0, "ioctl");
  size_t length;
  int32_t* result = Int32Elements(info, 1, "ioctl", &length);
  if (length < 4) ThrowArgument(info.Env(), "ioctl", "the result needs four elements");
  winsize size;
  if (ioctl(fd, TIOCGWINSZ, &size) != 0) {
    Throw(info.Env(), errno, "ioctl", "descriptor " + std::to_string(fd) + " does not tell the size of a window");
  }
  result[0] = size.ws_col;
  result[1] = size.ws_row;
  result[2] = size.ws_xpixel;
  result[3] = size.ws_ypixel;
  return info.Env().Undefined();
}

}  // namespace

void InitTerminal(Napi::Object exports) {
  Export<IsTerminal>(exports, "isTerminal");
  Export<EnterRawMode>(exports, "enterRawMode");
  Export<LeaveRawMode>(exports, "leaveRawMode");
  Export<WindowSize>(exports, "windowSize");
}

}  // namespace tsvmm
