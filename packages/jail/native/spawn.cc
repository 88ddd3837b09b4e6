// Starting a program in namespaces of its own. Between clone and execve the child is a copy of one thread of a
// multi-threaded process: it makes system calls on memory that was prepared before, and nothing else.
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "support.h"

namespace tsvmm {

namespace {

constexpr int kMaxDescriptors = 256;
constexpr int kLastCapability = 63;

/// Steps of the child, in their order; JavaScript has a sentence for each (`src/native.ts`).
enum class Step : int { kClone, kIdentity, kMounts, kDescriptors, kLimits, kPrivileges, kFilter, kExecute };

struct Failure {
  Step step;
  int error;
};

struct Limit {
  int resource;
  rlimit value;
};

/// All that the child needs, made before it exists.
struct Plan {
  const char* program;
  std::vector<char*> arguments;
  std::vector<char*> environment;
  std::vector<int> descriptors;
  std::vector<Limit> limits;
  std::string user_map;
  std::string group_map;
  sock_fprog filter;
  bool namespaces;
  int report;
};

[[noreturn]] void Fail(const Plan& plan, Step step) {
  const Failure failure{step, errno};
  // Nobody is left to tell when this fails: the parent sees the end of the pipe and the exit status.
  const ssize_t written = write(plan.report, &failure, sizeof failure);
  _exit(written == sizeof failure ? 126 : 127);
}

bool WriteFile(const char* path, const char* text, size_t length) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool whole = write(fd, text, length) == static_cast<ssize_t>(length);
  const int error = errno;
  close(fd);
  errno = error;
  return whole;
}

bool MapIdentity(const Plan& plan) {
  return WriteFile("/proc/self/setgroups", "deny", 4) &&
         WriteFile("/proc/self/uid_map", plan.user_map.data(), plan.user_map.size()) &&
         WriteFile("/proc/self/gid_map", plan.group_map.data(), plan.group_map.size());
}

/// Puts the wanted descriptors at 0, 1, … and the report after them, and closes all others.
bool PlaceDescriptors(Plan& plan) {
  const int count = static_cast<int>(plan.descriptors.size());
  // Out of the way of the numbers they are to get.
  for (int& fd : plan.descriptors) {
    fd = fcntl(fd, F_DUPFD, count + 1);
    if (fd < 0) return false;
  }
  const int report = fcntl(plan.report, F_DUPFD, count + 1);
  if (report < 0) return false;
  plan.report = report;
  for (int i = 0; i < count; i++) {
    if (dup2(plan.descriptors[static_cast<size_t>(i)], i) < 0) return false;
  }
  if (dup3(plan.report, count, O_CLOEXEC) < 0) return false;
  plan.report = count;
  return syscall(SYS_close_range, static_cast<unsigned>(count + 1), ~0U, 0U) == 0;
}

bool DropPrivileges() {
  for (int capability = 0; capability <= kLastCapability; capability++) {
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL) return false;
  }
  // A program that user 0 executes gets no capabilities for that, and this cannot be undone.
  const int bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                   SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
  if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) != 0) return false;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2]{};
  return syscall(SYS_capset, &header, none) == 0;
}

void ResetSignals() {
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; signal++) sigaction(signal, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

[[noreturn]] void BecomeProgram(Plan& plan) {
  ResetSignals();
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (plan.namespaces) {
    if (!MapIdentity(plan)) Fail(plan, Step::kIdentity);
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) Fail(plan, Step::kMounts);
  }
  if (!PlaceDescriptors(plan)) Fail(plan, Step::kDescriptors);
  for (const Limit& limit : plan.limits) {
    if (setrlimit(static_cast<__rlimit_resource>(limit.resource), &limit.value) != 0) Fail(plan, Step::kLimits);
  }
  if (plan.namespaces && !DropPrivileges()) Fail(plan, Step::kPrivileges);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) Fail(plan, Step::kPrivileges);
  if (plan.filter.len > 0 && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0U, &plan.filter) != 0) {
    Fail(plan, Step::kFilter);
  }
  execve(plan.program, plan.arguments.data(), plan.environment.data());
  Fail(plan, Step::kExecute);
}

std::vector<std::string> Strings(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (!info[index].IsArray()) ThrowArgument(info.Env(), "execve", std::string(name) + " must be an array");
  const auto array = info[index].As<Napi::Array>();
  std::vector<std::string> strings;
  for (uint32_t i = 0; i < array.Length(); i++) {
    const Napi::Value value = array.Get(i);
    if (!value.IsString()) ThrowArgument(info.Env(), "execve", std::string(name) + " must hold strings");
    strings.push_back(value.As<Napi::String>().Utf8Value());
    if (strings.back().find('\0') != std::string::npos) {
      ThrowArgument(info.Env(), "execve", std::string(name) + " must not contain NUL characters");
    }
  }
  return strings;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// spawn(program, arguments, environment, descriptors: Int32Array, limits: Float64Array of resource and value pairs,
/// namespaces: boolean, insideId, filter, result: Int32Array(4)): the descriptors become 0, 1, …; a filter, unless it is
/// empty, applies from before the program is executed. The result is the process id, its
/// pidfd, and when a step failed that step's number and errno (else -1).
Napi::Value Spawn(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string program = Text(info, 0, "execve", "the program");
  std::vector<std::string> arguments = Strings(info, 1, "the arguments");
  std::vector<std::string> environment = Strings(info, 2, "the environment");
  size_t count;
  const int32_t* const descriptors = Int32Elements(info, 3, "clone", &count);
  if (count > kMaxDescriptors) ThrowArgument(env, "clone", "a jail takes at most 256 descriptors");
  size_t limit_count;
  const double* const limits = Float64Elements(info, 4, "setrlimit", &limit_count);
  if (limit_count % 2 != 0) ThrowArgument(env, "setrlimit", "limits are pairs of a resource and a value");
  const bool namespaces = Boolean(info, 5, "clone", "whether there are namespaces");
  const auto inside = Unsigned(info, 6, "clone", "the user id inside", 0x7fffffff);
  const Bytes filter = ByteArray(info, 7, "seccomp");
  if (filter.size % sizeof(sock_filter) != 0 || filter.size / sizeof(sock_filter) > BPF_MAXINSNS) {
    ThrowArgument(env, "seccomp", "a filter has at most 4096 instructions of eight bytes");
  }
  size_t result_length;
  int32_t* const result = Int32Elements(info, 8, "clone", &result_length);
  if (result_length < 4) ThrowArgument(env, "clone", "the result needs four elements");

  Plan plan{};
  plan.program = program.c_str();
  plan.arguments = Pointers(arguments);
  plan.environment = Pointers(environment);
  plan.descriptors.assign(descriptors, descriptors + count);
  for (size_t i = 0; i < limit_count; i += 2) {
    const double value = limits[i + 1];
    if (!(limits[i] >= 0 && limits[i] < static_cast<int>(RLIM_NLIMITS)) || !(value >= 0 && value <= 9007199254740991.0)) {
      ThrowArgument(env, "setrlimit", "a limit is out of range");
    }
    const auto amount = static_cast<rlim_t>(value);
    plan.limits.push_back({static_cast<int>(limits[i]), {amount, amount}});
  }
  plan.filter = {static_cast<unsigned short>(filter.size / sizeof(sock_filter)),
                 reinterpret_cast<sock_filter*>(filter.data)};
  plan.namespaces = namespaces;
  plan.user_map = std::to_string(inside) + " " + std::to_string(geteuid()) + " 1";
  plan.group_map = std::to_string(inside) + " " + std::to_string(getegid()) + " 1";
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) Throw(env, errno, "pipe2", "cannot make a pipe");
  plan.report = report[1];

  const unsigned long flags =
      SIGCHLD | CLONE_PIDFD |
      (namespaces ? CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS : 0);
  // No handler of this process may run in the child.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int pidfd = -1;
  const long pid = syscall(SYS_clone, flags, nullptr, &pidfd, nullptr, nullptr);
  if (pid == 0) BecomeProgram(plan);
  const int clone_error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  close(report[1]);
  Failure failure{Step::kClone, clone_error};
  ssize_t received = sizeof failure;
  if (pid > 0) {
    do {
      received = read(report[0], &failure, sizeof failure);
    } while (received < 0 && errno == EINTR);
  }
  close(report[0]);
  const bool failed = received == sizeof failure;
  if (failed && pid > 0) {
    waitpid(static_cast<pid_t>(pid), nullptr, 0);
    close(pidfd);
    pidfd = -1;
  }
  result[0] = static_cast<int32_t>(pid);
  result[1] = pidfd;
  result[2] = failed ? static_cast<int32_t>(failure.step) : -1;
  result[3] = failed ? failure.error : 0;
  return env.Undefined();
}

}  // namespace

void InitSpawn(Napi::Object exports) { Export<Spawn>(exports, "spawn"); }

}  // namespace tsvmm
