// Opening and creating KVM's objects, and letting go of them.
#include "objects.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <unordered_map>

#include "calls.h"

#ifndef KVM_SET_USER_MEMORY_REGION2
#define KVM_CAP_USER_MEMORY2 231
#define KVM_SET_USER_MEMORY_REGION2 _IOC(_IOC_WRITE, KVMIO, 0x49, 160)
#endif

namespace tsvmm {

int Control(int fd, unsigned long request, void* argument) {
  int result;
  do {
    result = ioctl(fd, request, argument);
  } while (result < 0 && errno == EINTR);
  return result;
}

namespace {

constexpr napi_type_tag kHolderTag = {0x7c0c1b0ad8f94d39, 0x9a3e5f6c21b7e884};

std::mutex registry_mutex;
/// Leaked on purpose: threads may end after the process's destructors have run.
auto& registry = *new std::unordered_map<uint32_t, std::weak_ptr<Object>>();
uint32_t next_handle = 1;

std::shared_ptr<Holder>* HolderOf(const Napi::CallbackInfo& info, size_t index, const char* call) {
  const Napi::Value value = info[index];
  bool ours = false;
  void* data = nullptr;
  if (!value.IsExternal() || napi_check_object_type_tag(info.Env(), value, &kHolderTag, &ours) != napi_ok ||
      !ours || napi_get_value_external(info.Env(), value, &data) != napi_ok) {
    Throw(info.Env(), EINVAL, call, "argument " + std::to_string(index + 1) + " must be an object of KVM's");
  }
  return static_cast<std::shared_ptr<Holder>*>(data);
}

/// openSystem(path): /dev/kvm or another path of the same device.
Napi::Value OpenSystem(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = Text(info, 0, "open", "the path");
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) Throw(env, errno, "open", "cannot open " + path);
  const int version = Control(fd, KVM_GET_API_VERSION, nullptr);
  const int run_size = version < 0 ? -1 : Control(fd, KVM_GET_VCPU_MMAP_SIZE, nullptr);
  const int error = errno;
  if (version != KVM_API_VERSION || run_size < static_cast<int>(sizeof(kvm_run))) {
    close(fd);
    if (version >= 0 && run_size >= 0) {
      Throw(env, ENOTSUP, "KVM_GET_API_VERSION",
            path + " has API version " + std::to_string(version) + ", this program needs " +
                std::to_string(KVM_API_VERSION));
    }
    Throw(env, error, version < 0 ? "KVM_GET_API_VERSION" : "KVM_GET_VCPU_MMAP_SIZE", path + " is not KVM's device");
  }
  return Hold(env, std::make_shared<System>(fd, static_cast<size_t>(run_size)));
}

/// createVm(system, type): a machine; `type` is what the architecture gives to KVM_CREATE_VM.
Napi::Value CreateVm(const Napi::CallbackInfo& info) {
  const auto system = HeldAs<System>(info, 0, "KVM_CREATE_VM", Kind::kSystem);
  const auto type = static_cast<unsigned long>(Unsigned(info, 1, "KVM_CREATE_VM", "the type of machine"));
  const int fd = Control(system->fd, KVM_CREATE_VM, reinterpret_cast<void*>(type));
  if (fd < 0) Throw(info.Env(), errno, "KVM_CREATE_VM", "cannot create a machine");
  const unsigned long set_memory =
      Extension(fd, KVM_CAP_USER_MEMORY2) != 0 ? KVM_SET_USER_MEMORY_REGION2 : KVM_SET_USER_MEMORY_REGION;
  const auto vm = std::make_shared<Vm>(fd, system, set_memory, XsaveSize(fd));
  Register(vm);
  return Hold(info.Env(), vm);
}

/// createVcpu(vm, id)
Napi::Value CreateVcpu(const Napi::CallbackInfo& info) {
  const auto vm = HeldAs<Vm>(info, 0, "KVM_CREATE_VCPU", Kind::kVm);
  const auto id = static_cast<unsigned long>(Unsigned(info, 1, "KVM_CREATE_VCPU", "the id", UINT32_MAX));
  const size_t size = std::static_pointer_cast<System>(vm->parent)->run_size;
  const int fd = Control(vm->fd, KVM_CREATE_VCPU, reinterpret_cast<void*>(id));
  if (fd < 0) Throw(info.Env(), errno, "KVM_CREATE_VCPU", "cannot create vCPU " + std::to_string(id));
  void* const pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (pages == MAP_FAILED) {
    const int error = errno;
    close(fd);
    Throw(info.Env(), error, "mmap", "cannot map the shared pages of vCPU " + std::to_string(id));
  }
  const auto vcpu = std::make_shared<Vcpu>(fd, vm, pages, size);
  Register(vcpu);
  return Hold(info.Env(), vcpu);
}

/// createDevice(vm, type): a device in the kernel (KVM_CREATE_DEVICE), such as an interrupt controller.
Napi::Value CreateDevice(const Napi::CallbackInfo& info) {
  const auto vm = HeldAs<Vm>(info, 0, "KVM_CREATE_DEVICE", Kind::kVm);
  kvm_create_device create = {};
  create.type = static_cast<uint32_t>(Unsigned(info, 1, "KVM_CREATE_DEVICE", "the type", UINT32_MAX));
  if (Control(vm->fd, KVM_CREATE_DEVICE, &create) < 0) {
    Throw(info.Env(), errno, "KVM_CREATE_DEVICE", "cannot create a device of type " + std::to_string(create.type));
  }
  return Hold(info.Env(), std::make_shared<Object>(Kind::kDevice, static_cast<int>(create.fd), vm));
}

/// attachVm(handle): a machine that another thread made.
Napi::Value AttachVm(const Napi::CallbackInfo& info) {
  return Hold(info.Env(), Find(info, 0, "attach", Kind::kVm));
}

/// shareVcpu(handle): a vCPU that another thread runs, to kick it.
Napi::Value ShareVcpu(const Napi::CallbackInfo& info) {
  return Hold(info.Env(), Find(info, 0, "attach", Kind::kVcpu));
}

/// handleOf(object): the number by which another thread finds a machine or vCPU.
Napi::Value HandleOf(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), Held(info, 0, "attach")->handle);
}

/// release(object): this holder lets go; the last one closes it. Once is enough, and more do no harm.
Napi::Value Release(const Napi::CallbackInfo& info) {
  Holder& holder = **HolderOf(info, 0, "close");
  if (holder.object != nullptr) {
    if (holder.before_release != nullptr) holder.before_release(info.Env(), holder);
    holder.object.reset();
  }
  return info.Env().Undefined();
}

}  // namespace

Object::Object(Kind kind, int fd, std::shared_ptr<Object> parent) : kind(kind), fd(fd), parent(std::move(parent)) {}

Object::~Object() {
  if (handle != 0) {
    const std::lock_guard lock(registry_mutex);
    registry.erase(handle);
  }
  close(fd);
}

Mapping::~Mapping() { munmap(address, size); }

Vm::~Vm() = default;

void Register(const std::shared_ptr<Object>& object) {
  const std::lock_guard lock(registry_mutex);
  object->handle = next_handle++;
  registry.emplace(object->handle, object);
}

Napi::Value Hold(Napi::Env env, std::shared_ptr<Holder> holder) {
  auto external = Napi::External<std::shared_ptr<Holder>>::New(
      env, new std::shared_ptr<Holder>(std::move(holder)),
      [](Napi::Env, std::shared_ptr<Holder>* held) { delete held; });
  external.TypeTag(&kHolderTag);
  return external;
}

Napi::Value Hold(Napi::Env env, std::shared_ptr<Object> object) {
  auto holder = std::make_shared<Holder>();
  holder->object = std::move(object);
  return Hold(env, std::move(holder));
}

std::shared_ptr<Object> Held(const Napi::CallbackInfo& info, size_t index, const char* call) {
  const std::shared_ptr<Object>& object = (*HolderOf(info, index, call))->object;
  if (object == nullptr) Throw(info.Env(), EBADF, call, "the object was disposed before");
  return object;
}

std::shared_ptr<Object> Find(const Napi::CallbackInfo& info, size_t index, const char* call, Kind kind) {
  const auto handle = static_cast<uint32_t>(Unsigned(info, index, call, "the handle", UINT32_MAX));
  std::shared_ptr<Object> object;
  {
    const std::lock_guard lock(registry_mutex);
    const auto found = registry.find(handle);
    if (found != registry.end()) object = found->second.lock();
  }
  if (object == nullptr || object->kind != kind) {
    Throw(info.Env(), EBADF, call, "the machine was disposed before this thread attached to it");
  }
  return object;
}

void InitObjects(Napi::Object exports) {
  Export<OpenSystem>(exports, "openSystem");
  Export<CreateVm>(exports, "createVm");
  Export<CreateVcpu>(exports, "createVcpu");
  Export<CreateDevice>(exports, "createDevice");
  Export<AttachVm>(exports, "attachVm");
  Export<ShareVcpu>(exports, "shareVcpu");
  Export<HandleOf>(exports, "handleOf");
  Export<Release>(exports, "release");
}

}  // namespace tsvmm
