// Taking the file system away from a process that has loaded all it needs.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "support.h"

namespace tsvmm {

namespace {

/// Any directory will do: what is mounted there becomes the root, and the directory goes with the old one.
constexpr const char* kMountPoint = "/proc";

/// Runs in a process of its own, in the namespaces of the jailed one. pivot_root moves the root of every process that
/// shares the mount namespace (pivot_root(2), NOTES: "pivot_root(".", ".")").
bool ReplaceRoot(int pidfd, const char* root) {
  if (setns(pidfd, CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
  const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
  const int mounted = root[0] == '\0' ? mount("jail", kMountPoint, "tmpfs", flags, "size=4k,nr_inodes=2,mode=555")
                                      : mount(root, kMountPoint, nullptr, MS_BIND, nullptr);
  return mounted == 0 && chdir(kMountPoint) == 0 && syscall(SYS_pivot_root, ".", ".") == 0 &&
         umount2(".", MNT_DETACH) == 0 && chdir("/") == 0;
}

/// enclose(pidfd, root): gives the process, which has a user and a mount namespace of its own, the directory `root` for its
/// root; an empty read-only one when it is ''.
Napi::Value Enclose(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int pidfd = Descriptor(info, 0, "setns");
  const std::string root = Text(info, 1, "pivot_root", "the root directory");
  const char* const path = root.c_str();
  const pid_t pid = fork();
  // A copy of one thread: it makes system calls only. Every errno fits in an exit status.
  if (pid == 0) _exit(ReplaceRoot(pidfd, path) ? 0 : errno);
  if (pid < 0) Throw(env, errno, "fork", "cannot start the helper that replaces the root");
  int status;
  pid_t ended;
  do {
    ended = waitpid(pid, &status, 0);
  } while (ended < 0 && errno == EINTR);
  if (ended < 0) Throw(env, errno, "waitpid", "cannot wait for the helper that replaces the root");
  const int error = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
  if (error != 0) Throw(env, error, "pivot_root", "cannot take the file system away from the jailed process");
  return env.Undefined();
}

}  // namespace

void InitEnclose(Napi::Object exports) { Export<Enclose>(exports, "enclose"); }

}  // namespace tsvmm
