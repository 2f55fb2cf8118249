// Unix sockets that carry descriptors: one non-blocking system call per function. Waiting for readiness is in
// socket_poll.cc; order, ownership and limits are the business of src/fd/.
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>

#include "base/addon.h"
#include "base/layouts.h"
#include "base/limits.h"

namespace cfsbridge {
namespace {

Napi::Value number(Napi::Env env, SocketResult result) { return Napi::Number::New(env, static_cast<int>(result)); }

// Room for the descriptors and for the other ancillary messages an inherited socket may have been told to receive.
constexpr size_t kControlSize = CMSG_SPACE(kMaxFds * sizeof(int)) + 1024;

int socketType(const Napi::Value& value) {
  return value.As<Napi::String>().Utf8Value() == "seqpacket" ? SOCK_SEQPACKET : SOCK_STREAM;
}

sockaddr_un address(const Napi::Value& value) {
  std::string path = byteString(value);
  sockaddr_un result = {};
  result.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof result.sun_path) throwErrno(value.Env(), ENAMETOOLONG, "socket", path);
  memcpy(result.sun_path, path.data(), path.size());
  return result;
}

Napi::Value Socket(const Napi::CallbackInfo& info) {
  int fd = socket(AF_UNIX, socketType(info[0]) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) throwErrno(info.Env(), errno, "socket");
  return Napi::Number::New(info.Env(), fd);
}

Napi::Value Socketpair(const Napi::CallbackInfo& info) {
  int fds[2];
  if (socketpair(AF_UNIX, socketType(info[0]) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
    throwErrno(info.Env(), errno, "socketpair");
  Napi::Array pair = Napi::Array::New(info.Env(), 2);
  pair.Set(0u, fds[0]);
  pair.Set(1u, fds[1]);
  return pair;
}

// False when the listener's queue is full: the kernel offers no readiness for that, the caller tries again.
Napi::Value SocketConnect(const Napi::CallbackInfo& info) {
  sockaddr_un name = address(info[1]);
  int result;
  do {
    result = connect(fdArgument(info, 0), reinterpret_cast<sockaddr*>(&name), sizeof name);
  } while (result < 0 && errno == EINTR);
  if (result < 0 && errno != EAGAIN) throwErrno(info.Env(), errno, "connect", name.sun_path);
  return Napi::Boolean::New(info.Env(), result == 0);
}

// The mode is set on the unbound socket, because bind(2) gives it to the new name: the socket is never wider than
// asked.
Napi::Value SocketBind(const Napi::CallbackInfo& info) {
  sockaddr_un name = address(info[1]);
  int fd = fdArgument(info, 0);
  if (fchmod(fd, info[2].As<Napi::Number>().Uint32Value() & 0777) < 0) throwErrno(info.Env(), errno, "fchmod");
  if (bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof name) < 0)
    throwErrno(info.Env(), errno, "bind", name.sun_path);
  return info.Env().Undefined();
}

Napi::Value SocketListen(const Napi::CallbackInfo& info) {
  if (listen(fdArgument(info, 0), info[1].As<Napi::Number>().Int32Value()) < 0) throwErrno(info.Env(), errno, "listen");
  return info.Env().Undefined();
}

// A listener that came from somebody else may block, and accept4 has no flag against that.
Napi::Value SocketNonBlocking(const Napi::CallbackInfo& info) {
  int fd = fdArgument(info, 0), flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) throwErrno(info.Env(), errno, "fcntl");
  return info.Env().Undefined();
}

Napi::Value SocketAccept(const Napi::CallbackInfo& info) {
  int fd;
  do {
    fd = accept4(fdArgument(info, 0), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
  if (fd < 0 && errno != EAGAIN) throwErrno(info.Env(), errno, "accept4");
  return Napi::Number::New(info.Env(), fd < 0 ? static_cast<int>(SocketResult::WouldBlock) : fd);
}

// What an inherited descriptor is: [domain is AF_UNIX, "stream" | "seqpacket" | "", listening].
Napi::Value SocketFacts(const Napi::CallbackInfo& info) {
  const auto option = [&](int name) {
    int value = 0;
    socklen_t length = sizeof value;
    if (getsockopt(fdArgument(info, 0), SOL_SOCKET, name, &value, &length) < 0)
      throwErrno(info.Env(), errno, "getsockopt");
    return value;
  };
  int type = option(SO_TYPE);
  Napi::Array facts = Napi::Array::New(info.Env(), 3);
  facts.Set(0u, option(SO_DOMAIN) == AF_UNIX);
  facts.Set(1u, type == SOCK_STREAM ? "stream" : type == SOCK_SEQPACKET ? "seqpacket" : "");
  facts.Set(2u, option(SO_ACCEPTCONN) != 0);
  return facts;
}

// send(fd, bytes, offset, fds): one sendmsg. Returns the bytes the kernel took; the descriptors went with the first.
Napi::Value SocketSend(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto bytes = info[1].As<Napi::Uint8Array>();
  size_t offset = static_cast<size_t>(info[2].As<Napi::Number>().Int64Value());
  auto fds = info[3].As<Napi::Array>();
  size_t count = fds.Length();
  if (offset > bytes.ByteLength() || count > kMaxFds) throw Napi::RangeError::New(env, "send: out of range");

  iovec vector = {bytes.Data() + offset, bytes.ByteLength() - offset};
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[kControlSize];
  if (count > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    memset(control, 0, message.msg_controllen);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    std::array<int, kMaxFds> numbers;
    for (uint32_t i = 0; i < count; i++) numbers[i] = fdNumber(fds.Get(i));
    memcpy(CMSG_DATA(header), numbers.data(), count * sizeof(int));
  }
  ssize_t sent;
  do {
    sent = sendmsg(fdArgument(info, 0), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return Napi::Number::New(env, static_cast<double>(sent));
  if (errno == EAGAIN) return number(env, SocketResult::WouldBlock);
  if (errno == ETOOMANYREFS) return number(env, SocketResult::TooManyInFlight);
  throwErrno(env, errno, "sendmsg");
}

// datagram(path, bytes): sends one from a socket of its own, which waits for nothing. A path that starts with @ is in
// the abstract namespace, which the kernel spells with a NUL. False when the receiver's queue is full.
Napi::Value Datagram(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  sockaddr_un name = address(info[0]);
  auto length =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + info[0].As<Napi::String>().Utf16Value().size());
  if (name.sun_path[0] == '@') name.sun_path[0] = '\0';
  auto bytes = info[1].As<Napi::Uint8Array>();
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throwErrno(env, errno, "socket");
  ssize_t sent;
  do {
    sent = sendto(fd, bytes.Data(), bytes.ByteLength(), MSG_DONTWAIT | MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&name),
                  length);
  } while (sent < 0 && errno == EINTR);
  int error = sent < 0 ? errno : 0;
  close(fd);
  if (error != 0 && error != EAGAIN) throwErrno(env, error, "sendto", byteString(info[0]));
  return Napi::Boolean::New(env, error == 0);
}

// receive(fd, buffer, offset, limit, fds, most): one recvmsg of up to `limit` bytes into the buffer at offset.
// Descriptors are appended to `fds`, close-on-exec, also when the kernel dropped others, as it does with those beyond
// `most`, or part of a packet.
Napi::Value SocketReceive(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto buffer = info[1].As<Napi::Uint8Array>();
  size_t offset = static_cast<size_t>(info[2].As<Napi::Number>().Int64Value());
  size_t limit = static_cast<size_t>(info[3].As<Napi::Number>().Int64Value());
  if (limit == 0 || offset > buffer.ByteLength() || limit > buffer.ByteLength() - offset)
    throw Napi::RangeError::New(env, "receive: out of range");
  auto out = info[4].As<Napi::Array>();

  iovec vector = {buffer.Data() + offset, limit};
  alignas(cmsghdr) char control[kControlSize];
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  const uint32_t most = info[5].As<Napi::Number>().Uint32Value();
  message.msg_controllen = most < kMaxFds ? CMSG_LEN(most * sizeof(int)) : sizeof control;
  ssize_t received;
  do {
    received = recvmsg(fdArgument(info, 0), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received < 0) {
    if (errno == EAGAIN) return number(env, SocketResult::WouldBlock);
    throwErrno(env, errno, "recvmsg");
  }

  uint32_t count = out.Length();
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t fds = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < fds; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      out.Set(count++, fd);
    }
  }
  if (message.msg_flags & MSG_CTRUNC) return number(env, SocketResult::ControlTruncated);
  if (message.msg_flags & MSG_TRUNC) return number(env, SocketResult::PacketTruncated);
  return Napi::Number::New(env, static_cast<double>(received));
}

Napi::Value SocketShutdownWrite(const Napi::CallbackInfo& info) {
  if (shutdown(fdArgument(info, 0), SHUT_WR) < 0 && errno != ENOTCONN) throwErrno(info.Env(), errno, "shutdown");
  return info.Env().Undefined();
}

// What the peer has not received of what was sent; 0 when it has everything, with the descriptors.
Napi::Value SocketUnread(const Napi::CallbackInfo& info) {
  int bytes = 0;
  if (ioctl(fdArgument(info, 0), SIOCOUTQ, &bytes) < 0) throwErrno(info.Env(), errno, "ioctl(SIOCOUTQ)");
  return Napi::Number::New(info.Env(), bytes);
}

Napi::Value SocketPeer(const Napi::CallbackInfo& info) {
  ucred peer;
  socklen_t length = sizeof peer;
  if (getsockopt(fdArgument(info, 0), SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
    throwErrno(info.Env(), errno, "getsockopt(SO_PEERCRED)");
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("pid", peer.pid);
  result.Set("uid", peer.uid);
  result.Set("gid", peer.gid);
  return result;
}

}  // namespace

void initSocket(Napi::Env, Napi::Object exports) {
  addFunction<Socket>(exports, "socket");
  addFunction<Socketpair>(exports, "socketpair");
  addFunction<SocketConnect>(exports, "socketConnect");
  addFunction<SocketBind>(exports, "socketBind");
  addFunction<SocketListen>(exports, "socketListen");
  addFunction<SocketNonBlocking>(exports, "socketNonBlocking");
  addFunction<SocketAccept>(exports, "socketAccept");
  addFunction<SocketFacts>(exports, "socketFacts");
  addFunction<SocketSend>(exports, "socketSend");
  addFunction<SocketReceive>(exports, "socketReceive");
  addFunction<Datagram>(exports, "datagram");
  addFunction<SocketShutdownWrite>(exports, "socketShutdownWrite");
  addFunction<SocketUnread>(exports, "socketUnread");
  addFunction<SocketPeer>(exports, "socketPeer");
}

}  // namespace cfsbridge
