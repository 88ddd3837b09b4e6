// Unix sockets that carry descriptors.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "../support.h"
#include "waiting.h"

namespace tsvmm {

namespace {

/// The kernel's SCM_MAX_FD.
constexpr size_t kMaximumDescriptors = 253;

/// The numbers of `SOCKET_TYPES` in src/unix-socket.ts.
constexpr std::array<int, 3> kSocketTypes = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};

int SocketType(const Napi::CallbackInfo& info, size_t index, const char* syscall) {
  return kSocketTypes[Unsigned(info, index, syscall, "the socket type", kSocketTypes.size() - 1)];
}

int NewSocket(Napi::Env env, int type) {
  const int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) Throw(env, errno, "socket", "cannot create a Unix socket");
  return fd;
}

/// A path, or a name of the abstract name space when it begins with a NUL character.
socklen_t Address(const Napi::CallbackInfo& info, size_t index, const char* syscall, sockaddr_un* address,
                  std::string* shown) {
  const std::string path = Text(info, index, syscall, "the path", true);
  const bool abstract = !path.empty() && path[0] == '\0';
  // A path needs its terminating NUL; an abstract name has none.
  const size_t limit = sizeof address->sun_path - (abstract ? 0 : 1);
  if (path.empty() || path.size() > limit || (!abstract && path.find('\0') != std::string::npos)) {
    ThrowArgument(info.Env(), syscall,
                  "a socket path has 1 to " + std::to_string(limit) + " bytes without NUL; '" + path + "' has " +
                      std::to_string(path.size()) + ": use a shorter directory or a relative path");
  }
  *address = {};
  address->sun_family = AF_UNIX;
  std::memcpy(address->sun_path, path.data(), path.size());
  *shown = path;
  if (abstract) (*shown)[0] = '@';
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1));
}

/// createSocketPair(type, ends: Int32Array)
Napi::Value CreateSocketPair(const Napi::CallbackInfo& info) {
  const int type = SocketType(info, 0, "socketpair");
  size_t length;
  int32_t* ends = Int32Elements(info, 1, "socketpair", &length);
  if (length < 2) ThrowArgument(info.Env(), "socketpair", "the result needs two elements");
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    Throw(info.Env(), errno, "socketpair", "cannot create a pair of Unix sockets");
  }
  return info.Env().Undefined();
}

/// bindSocket(path): fd of a datagram socket that receives what is sent to the path.
Napi::Value BindSocket(const Napi::CallbackInfo& info) {
  sockaddr_un address;
  std::string shown;
  const socklen_t length = Address(info, 0, "bind", &address, &shown);
  const int fd = NewSocket(info.Env(), SOCK_DGRAM);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), length) != 0) {
    const int error = errno;
    close(fd);
    Throw(info.Env(), error, "bind", "cannot receive at '" + shown + "'");
  }
  return Napi::Number::New(info.Env(), fd);
}

/// listenSocket(path, type, backlog): fd. A type without connections is refused before there is a file.
Napi::Value ListenSocket(const Napi::CallbackInfo& info) {
  sockaddr_un address;
  std::string shown;
  const socklen_t length = Address(info, 0, "bind", &address, &shown);
  const int type = SocketType(info, 1, "bind");
  if (type == SOCK_DGRAM) ThrowArgument(info.Env(), "listen", "nobody connects to a datagram socket: bind it");
  const auto backlog = static_cast<int>(Unsigned(info, 2, "listen", "the backlog", 65535));
  const int fd = NewSocket(info.Env(), type);
  const char* step = "bind";
  int result = bind(fd, reinterpret_cast<sockaddr*>(&address), length);
  if (result == 0) {
    step = "listen";
    result = listen(fd, backlog);
  }
  if (result != 0) {
    const int error = errno;
    close(fd);
    Throw(info.Env(), error, step, "cannot listen on '" + shown + "'");
  }
  return Napi::Number::New(info.Env(), fd);
}

/// connectSocket(path, type, timeoutMs): fd. Waits while the listener's backlog is full.
Napi::Value ConnectSocket(const Napi::CallbackInfo& info) {
  sockaddr_un address;
  std::string shown;
  const socklen_t length = Address(info, 0, "connect", &address, &shown);
  const int type = SocketType(info, 1, "connect");
  const Deadline deadline(Timeout(info, 2, "connect"));
  const int fd = NewSocket(info.Env(), type);
  int error;
  for (;;) {
    error = connect(fd, reinterpret_cast<sockaddr*>(&address), length) == 0 ? 0 : errno;
    if (error == EINTR) continue;
    if (error != EAGAIN) break;
    // A full backlog cannot be polled for; a blocking attempt bounded by the send timeout waits for it in the kernel.
    const long long left = deadline.never() ? 0 : deadline.remaining() / 1000;
    if (!deadline.never() && left == 0) {
      error = ETIMEDOUT;
      break;
    }
    const timeval timeout = {static_cast<time_t>(left / 1'000'000), static_cast<suseconds_t>(left % 1'000'000)};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    const int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    error = connect(fd, reinterpret_cast<sockaddr*>(&address), length) == 0 ? 0 : errno;
    fcntl(fd, F_SETFL, flags);
    const timeval never = {};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &never, sizeof never);
    if (error != EAGAIN && error != EINTR) break;
  }
  if (error != 0) {
    close(fd);
    Throw(info.Env(), error, "connect", "cannot connect to '" + shown + "'");
  }
  return Napi::Number::New(info.Env(), fd);
}

/// acceptSocket(fd, timeoutMs): fd, or -1 when nobody called until then.
Napi::Value AcceptSocket(const Napi::CallbackInfo& info) {
  const int fd = Descriptor(info, 0, "accept4");
  const Deadline deadline(Timeout(info, 1, "accept4"));
  for (;;) {
    // Looking first keeps a listener that somebody made blocking from blocking.
    const int events = WaitFor(fd, POLLIN, deadline);
    if (events == 0) return Napi::Number::New(info.Env(), -1);
    const int connection = events < 0 ? -1 : accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection >= 0) return Napi::Number::New(info.Env(), connection);
    // The caller may have gone again between the two calls.
    if (events > 0 && (errno == EINTR || errno == EAGAIN || errno == ECONNABORTED)) continue;
    Throw(info.Env(), errno, "accept4", "cannot accept a connection");
  }
}

/// sendOnSocket(fd, bytes, offset, length, fds: Int32Array, fdCount, timeoutMs): bytes sent. With a timeout of 0 it sends
/// what fits now (-1: nothing), otherwise everything or ETIMEDOUT.
Napi::Value SendOnSocket(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int fd = Descriptor(info, 0, "sendmsg");
  const Bytes range = ByteRange(info, 1, "sendmsg");
  size_t capacity;
  const int32_t* fds = Int32Elements(info, 4, "sendmsg", &capacity);
  const auto count = static_cast<size_t>(
      Unsigned(info, 5, "sendmsg", "the number of descriptors", std::min(capacity, kMaximumDescriptors)));
  const double timeout = Timeout(info, 6, "sendmsg");
  const Deadline deadline(timeout);
  if (count > 0 && range.size == 0) {
    ThrowArgument(env, "sendmsg", "descriptors need at least one byte to travel with");
  }
  alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE(kMaximumDescriptors * sizeof(int))> control;
  size_t sent = 0;
  for (;;) {
    iovec vector = {range.data + sent, range.size - sent};
    msghdr message = {};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    // On a stream the descriptors belong to the first byte: what did not fit follows without them.
    if (count > 0 && sent == 0) {
      control.fill(0);
      message.msg_control = control.data();
      message.msg_controllen = CMSG_SPACE(count * sizeof(int));
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(count * sizeof(int));
      std::memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    }
    const ssize_t result = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (result >= 0) {
      sent += static_cast<size_t>(result);
      if (sent == range.size || timeout == 0) return Napi::Number::New(env, static_cast<double>(sent));
      continue;
    }
    int error = errno;
    if (error == EINTR) continue;
    if (error == EAGAIN) {
      if (timeout == 0) return Napi::Number::New(env, sent > 0 ? static_cast<double>(sent) : -1);
      const int events = WaitFor(fd, POLLOUT, deadline);
      if (events > 0) continue;
      error = events == 0 ? ETIMEDOUT : errno;
    }
    Throw(env, error, "sendmsg",
          "sent " + std::to_string(sent) + " of " + std::to_string(range.size) + " bytes and " +
              std::to_string(sent > 0 ? count : 0) + " of " + std::to_string(count) + " descriptors");
  }
}

/// Collects the descriptors of a received message; none of them can leak, even when a step fails.
class ReceivedDescriptors {
 public:
  ~ReceivedDescriptors() {
    for (size_t i = 0; i < count_; i++) close(fds_[i]);
  }

  /// False when there were more than there is room for (the surplus is closed).
  bool Collect(msghdr* message) {
    bool complete = (message->msg_flags & MSG_CTRUNC) == 0;
    for (cmsghdr* header = CMSG_FIRSTHDR(message); header != nullptr; header = CMSG_NXTHDR(message, header)) {
      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
      const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count; i++) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
        if (count_ < fds_.size()) {
          fds_[count_++] = fd;
        } else {
          close(fd);
          complete = false;
        }
      }
    }
    return complete;
  }

  size_t Release(int32_t* target) {
    std::copy_n(fds_.begin(), count_, target);
    return std::exchange(count_, 0);
  }

  size_t count() const { return count_; }

 private:
  std::array<int, kMaximumDescriptors> fds_;
  size_t count_ = 0;
};

/// receiveOnSocket(fd, bytes, offset, length, fds: Int32Array, maxFds, result: Int32Array, timeoutMs): bytes, 0 at the end
/// of the stream (or for an empty message), -1 at the timeout. result[0] becomes the number of descriptors.
Napi::Value ReceiveOnSocket(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int fd = Descriptor(info, 0, "recvmsg");
  const Bytes range = ByteRange(info, 1, "recvmsg");
  size_t capacity, result_length;
  int32_t* fds = Int32Elements(info, 4, "recvmsg", &capacity);
  const auto maximum = static_cast<size_t>(
      Unsigned(info, 5, "recvmsg", "the number of descriptors", std::min(capacity, kMaximumDescriptors)));
  int32_t* result = Int32Elements(info, 6, "recvmsg", &result_length);
  const Deadline deadline(Timeout(info, 7, "recvmsg"));
  if (result_length < 1) ThrowArgument(env, "recvmsg", "the result needs an element");
  result[0] = 0;
  if (range.size == 0) ThrowArgument(env, "recvmsg", "receiving needs a buffer of at least one byte");
  alignas(cmsghdr) std::array<uint8_t, CMSG_SPACE(kMaximumDescriptors * sizeof(int))> control;
  for (;;) {
    iovec vector = {range.data, range.size};
    msghdr message = {};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    if (maximum > 0) {
      message.msg_control = control.data();
      // CMSG_LEN, not CMSG_SPACE: its padding would have room for one descriptor more than was asked for.
      message.msg_controllen = CMSG_LEN(maximum * sizeof(int));
    }
    const ssize_t count = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (count < 0) {
      int error = errno;
      if (error == EINTR) continue;
      if (error == EAGAIN) {
        const int events = WaitFor(fd, POLLIN, deadline);
        if (events > 0) continue;
        if (events == 0) return Napi::Number::New(env, -1);
        error = errno;
      }
      Throw(env, error, "recvmsg", "cannot receive from socket " + std::to_string(fd));
    }
    ReceivedDescriptors received;
    if (!received.Collect(&message)) {
      Throw(env, EMSGSIZE, "recvmsg",
            "the peer sent more descriptors than the " + std::to_string(maximum) +
                " accepted here or than this process may open; the message is lost and all of them are closed");
    }
    if ((message.msg_flags & MSG_TRUNC) != 0) {
      Throw(env, EMSGSIZE, "recvmsg",
            "the peer sent a message of more than " + std::to_string(range.size) +
                " bytes; it is lost and its descriptors are closed");
    }
    result[0] = static_cast<int32_t>(received.Release(fds));
    return Napi::Number::New(env, static_cast<double>(count));
  }
}

/// shutdownSocket(fd, reading, writing)
Napi::Value ShutdownSocket(const Napi::CallbackInfo& info) {
  const int fd = Descriptor(info, 0, "shutdown");
  const bool reading = Boolean(info, 1, "shutdown", "the choice of reading");
  const bool writing = Boolean(info, 2, "shutdown", "the choice of writing");
  if (!reading && !writing) return info.Env().Undefined();
  const int how = reading ? (writing ? SHUT_RDWR : SHUT_RD) : SHUT_WR;
  if (shutdown(fd, how) != 0) Throw(info.Env(), errno, "shutdown", "cannot shut down socket " + std::to_string(fd));
  return info.Env().Undefined();
}

/// socketPeer(fd, result: Int32Array): process, user and group of who connected.
Napi::Value SocketPeer(const Napi::CallbackInfo& info) {
  const int fd = Descriptor(info, 0, "getsockopt");
  size_t length;
  int32_t* result = Int32Elements(info, 1, "getsockopt", &length);
  if (length < 3) ThrowArgument(info.Env(), "getsockopt", "the result needs three elements");
  ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    Throw(info.Env(), errno, "getsockopt", "cannot ask who is at the other end of socket " + std::to_string(fd));
  }
  result[0] = peer.pid;
  result[1] = static_cast<int32_t>(peer.uid);
  result[2] = static_cast<int32_t>(peer.gid);
  return info.Env().Undefined();
}

}  // namespace

void InitSocket(Napi::Object exports) {
  Export<CreateSocketPair>(exports, "createSocketPair");
  Export<BindSocket>(exports, "bindSocket");
  Export<ListenSocket>(exports, "listenSocket");
  Export<ConnectSocket>(exports, "connectSocket");
  Export<AcceptSocket>(exports, "acceptSocket");
  Export<SendOnSocket>(exports, "sendOnSocket");
  Export<ReceiveOnSocket>(exports, "receiveOnSocket");
  Export<ShutdownSocket>(exports, "shutdownSocket");
  Export<SocketPeer>(exports, "socketPeer");
}

}  // namespace tsvmm
