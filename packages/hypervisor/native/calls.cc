// Two functions that make the ioctls of the tables. JavaScript fills the structures in; what holds a pointer has a function
// of its own.
#include "calls.h"

#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>
#include <iterator>

namespace tsvmm {

namespace {

constexpr Call kCommonCalls[] = {
    TSVMM_NUMBER(KVM_CHECK_EXTENSION, kSystem),
    {"KVM_CHECK_VM_EXTENSION", KVM_CHECK_EXTENSION, Kind::kVm, Shape::kNumber, 0},
    TSVMM_FIXED(KVM_ENABLE_CAP, kVm),
    TSVMM_FIXED(KVM_IRQ_LINE, kVm),
    TSVMM_FIXED(KVM_IRQFD, kVm),
    TSVMM_FIXED(KVM_IOEVENTFD, kVm),
    TSVMM_FIXED(KVM_SIGNAL_MSI, kVm),
    TSVMM_LIST(KVM_SET_GSI_ROUTING, kVm, 8, kvm_irq_routing_entry),
    TSVMM_FIXED(KVM_GET_MP_STATE, kVcpu),
    TSVMM_FIXED(KVM_SET_MP_STATE, kVcpu),
};

/// A call by its number: the common ones come first.
const Call* CallAt(size_t index) {
  if (index < std::size(kCommonCalls)) return &kCommonCalls[index];
  const std::span<const Call> own = ArchitectureCalls();
  index -= std::size(kCommonCalls);
  return index < own.size() ? &own[index] : nullptr;
}

const Call& CallOf(const Napi::CallbackInfo& info, const Object& object, bool number) {
  const Call* const found = CallAt(Unsigned(info, 1, "ioctl", "the ioctl"));
  if (found == nullptr) Throw(info.Env(), EINVAL, "ioctl", "there is no ioctl of that number");
  const Call& call = *found;
  if (call.target != object.kind || (call.shape == Shape::kNumber) != number) {
    Throw(info.Env(), EINVAL, call.name, "this object does not take the call, or not with such an argument");
  }
  return call;
}

[[noreturn]] void ThrowFailed(const Napi::CallbackInfo& info, const Call& call) {
  Throw(info.Env(), errno, call.name, "the hypervisor refuses");
}

/// Bytes that the kernel may read or write. `size` bytes are there.
uint64_t Needed(const Object& object, const Call& call, const Bytes& bytes) {
  const size_t header = _IOC_SIZE(call.request);
  switch (call.shape) {
    case Shape::kList: {
      if (bytes.size < header) return header;
      uint32_t count;
      std::memcpy(&count, bytes.data, sizeof count);
      return header + uint64_t{count} * call.entry;
    }
    case Shape::kLongList: {
      if (bytes.size < header) return header;
      uint64_t count;
      std::memcpy(&count, bytes.data, sizeof count);
      return count > UINT32_MAX ? UINT64_MAX : header + count * call.entry;
    }
    case Shape::kSized: {
      if (bytes.size < header) return header;
      uint32_t size;
      std::memcpy(&size, bytes.data + sizeof size, sizeof size);
      return std::max<uint64_t>(header, size);
    }
    case Shape::kXsave:
      return std::max(header, static_cast<const Vm&>(*object.parent).xsave_size);
    default:
      return header;
  }
}

/// callNumber(object, ioctl, argument): what it returns.
Napi::Value CallNumber(const Napi::CallbackInfo& info) {
  const auto object = Held(info, 0, "ioctl");
  const Call& call = CallOf(info, *object, true);
  const auto argument = static_cast<unsigned long>(Unsigned(info, 2, call.name, "the argument"));
  const int result = Control(object->fd, call.request, reinterpret_cast<void*>(argument));
  if (result < 0) ThrowFailed(info, call);
  return Napi::Number::New(info.Env(), result);
}

/// callStructure(object, ioctl, bytes): what it returns; the structure is read, written or both, in place.
Napi::Value CallStructure(const Napi::CallbackInfo& info) {
  const auto object = Held(info, 0, "ioctl");
  const Call& call = CallOf(info, *object, false);
  const Bytes bytes = ByteArray(info, 2, call.name);
  const uint64_t needed = Needed(*object, call, bytes);
  if (bytes.size < needed) {
    Throw(info.Env(), EINVAL, call.name,
          "the structure has " + std::to_string(needed) + " bytes, not " + std::to_string(bytes.size));
  }
  const int result = Control(object->fd, call.request, bytes.data);
  if (result < 0) ThrowFailed(info, call);
  return Napi::Number::New(info.Env(), result);
}

/// oneRegister(vcpu, write, idHigh, idLow, bytes): KVM_GET_ONE_REG or KVM_SET_ONE_REG; the id says how long it is.
Napi::Value OneRegister(const Napi::CallbackInfo& info) {
  const bool write = info[1].ToBoolean();
  const char* const name = write ? "KVM_SET_ONE_REG" : "KVM_GET_ONE_REG";
  const auto vcpu = HeldAs<Vcpu>(info, 0, name, Kind::kVcpu);
  kvm_one_reg reg = {};
  reg.id = Unsigned(info, 2, name, "the id", UINT32_MAX) << 32 | Unsigned(info, 3, name, "the id", UINT32_MAX);
  const Bytes bytes = ByteArray(info, 4, name);
  if (bytes.size != uint64_t{1} << ((reg.id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT)) {
    Throw(info.Env(), EINVAL, name, "the register has not " + std::to_string(bytes.size) + " bytes");
  }
  reg.addr = reinterpret_cast<uintptr_t>(bytes.data);
  if (Control(vcpu->fd, write ? KVM_SET_ONE_REG : KVM_GET_ONE_REG, &reg) < 0) {
    Throw(info.Env(), errno, name, "the hypervisor refuses");
  }
  return info.Env().Undefined();
}

/// deviceAttribute(object, operation, group, attributeHigh, attributeLow, bytes): operation 0 has, 1 get, 2 set. Devices in
/// the kernel have attributes, and so do machines and vCPUs.
Napi::Value DeviceAttribute(const Napi::CallbackInfo& info) {
  static constexpr struct {
    const char* name;
    unsigned long request;
  } kOperations[] = {{"KVM_HAS_DEVICE_ATTR", KVM_HAS_DEVICE_ATTR},
                     {"KVM_GET_DEVICE_ATTR", KVM_GET_DEVICE_ATTR},
                     {"KVM_SET_DEVICE_ATTR", KVM_SET_DEVICE_ATTR}};
  const auto& [name, request] = kOperations[Unsigned(info, 1, "KVM_SET_DEVICE_ATTR", "the operation", 2)];
  const auto object = Held(info, 0, name);
  // How long a value is depends on the device; none is longer than this, so that the kernel stays in bounds whatever it is.
  alignas(8) uint8_t value[4096] = {};
  const Bytes bytes = ByteArray(info, 5, name);
  if (bytes.size > sizeof value) Throw(info.Env(), EINVAL, name, "the value is longer than 4096 bytes");
  if (bytes.size != 0) std::memcpy(value, bytes.data, bytes.size);
  kvm_device_attr attribute = {};
  attribute.group = static_cast<uint32_t>(Unsigned(info, 2, name, "the group", UINT32_MAX));
  attribute.attr = Unsigned(info, 3, name, "the attribute", UINT32_MAX) << 32 |
                   Unsigned(info, 4, name, "the attribute", UINT32_MAX);
  attribute.addr = reinterpret_cast<uintptr_t>(value);
  if (Control(object->fd, request, &attribute) < 0) {
    if (request == KVM_HAS_DEVICE_ATTR && errno == ENXIO) return Napi::Boolean::New(info.Env(), false);
    Throw(info.Env(), errno, name, "the hypervisor refuses");
  }
  if (request == KVM_GET_DEVICE_ATTR && bytes.size != 0) std::memcpy(bytes.data, value, bytes.size);
  return Napi::Boolean::New(info.Env(), true);
}

}  // namespace

int Extension(int fd, unsigned long capability) {
  const int value = Control(fd, KVM_CHECK_EXTENSION, reinterpret_cast<void*>(capability));
  return value < 0 ? 0 : value;
}

void InitCalls(Napi::Object exports) {
  Napi::Object names = Napi::Object::New(exports.Env());
  for (size_t i = 0; const Call* const call = CallAt(i); i++) names.Set(call->name, static_cast<double>(i));
  exports.Set("calls", names);
  Export<CallNumber>(exports, "callNumber");
  Export<CallStructure>(exports, "callStructure");
  Export<OneRegister>(exports, "oneRegister");
  Export<DeviceAttribute>(exports, "deviceAttribute");
}

}  // namespace tsvmm
