// The ioctls whose argument is a number or one flat structure: a table of their sizes, and two functions that make them.
// JavaScript fills the structures in; what holds a pointer has a function of its own.
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>
#include <iterator>

#include "objects.h"

namespace tsvmm {

namespace {

/// How long the structure is.
enum class Shape {
  /// No structure: a number, or nothing.
  kNumber,
  /// `_IOC_SIZE` of the request.
  kFixed,
  /// A header of `_IOC_SIZE` bytes that begins with a count of 32 bits, and that many entries.
  kList,
  /// The same with a count of 64 bits.
  kLongList,
  /// The machine's XSAVE area.
  kXsave,
};

struct Call {
  const char* name;
  unsigned long request;
  Kind target;
  Shape shape;
  /// Bytes of an entry of a list.
  size_t entry;
};

/// The request with the size that C gives to a structure that ends with an array without length. In C++ some versions of the
/// kernel's headers make such structures longer, and with them the numbers of their requests wrong.
constexpr unsigned long WithSize(unsigned long request, size_t size) {
  return (request & ~(static_cast<unsigned long>(_IOC_SIZEMASK) << _IOC_SIZESHIFT)) | size << _IOC_SIZESHIFT;
}

#define NUMBER(name, target) {#name, name, Kind::target, Shape::kNumber, 0}
#define FIXED(name, target) {#name, name, Kind::target, Shape::kFixed, 0}
#define LIST(name, target, header, entry) \
  {#name, WithSize(name, header), Kind::target, Shape::kList, sizeof(entry)}

constexpr Call kCalls[] = {
    NUMBER(KVM_CHECK_EXTENSION, kSystem),
    {"KVM_CHECK_VM_EXTENSION", KVM_CHECK_EXTENSION, Kind::kVm, Shape::kNumber, 0},
    NUMBER(KVM_CREATE_IRQCHIP, kVm),
    FIXED(KVM_IRQ_LINE, kVm),
    FIXED(KVM_IRQFD, kVm),
    FIXED(KVM_IOEVENTFD, kVm),
    FIXED(KVM_SIGNAL_MSI, kVm),
    LIST(KVM_SET_GSI_ROUTING, kVm, 8, kvm_irq_routing_entry),
    FIXED(KVM_GET_CLOCK, kVm),
    FIXED(KVM_SET_CLOCK, kVm),
    FIXED(KVM_GET_MP_STATE, kVcpu),
    FIXED(KVM_SET_MP_STATE, kVcpu),
    {"KVM_GET_REG_LIST", WithSize(KVM_GET_REG_LIST, 8), Kind::kVcpu, Shape::kLongList, 8},
#if defined(__x86_64__) || defined(__aarch64__)
    FIXED(KVM_GET_VCPU_EVENTS, kVcpu),
    FIXED(KVM_SET_VCPU_EVENTS, kVcpu),
#endif
#if defined(__aarch64__)
    FIXED(KVM_ARM_PREFERRED_TARGET, kVm),
    FIXED(KVM_ARM_VCPU_INIT, kVcpu),
    FIXED(KVM_ARM_VCPU_FINALIZE, kVcpu),
#endif
#if defined(__x86_64__)
    LIST(KVM_GET_SUPPORTED_CPUID, kSystem, 8, kvm_cpuid_entry2),
    LIST(KVM_GET_MSR_INDEX_LIST, kSystem, 4, uint32_t),
    NUMBER(KVM_SET_TSS_ADDR, kVm),
    FIXED(KVM_SET_IDENTITY_MAP_ADDR, kVm),
    FIXED(KVM_CREATE_PIT2, kVm),
    FIXED(KVM_GET_PIT2, kVm),
    {"KVM_SET_PIT2", KVM_SET_PIT2, Kind::kVm, Shape::kFixed, 0},
    FIXED(KVM_GET_IRQCHIP, kVm),
    // Its number says _IOR, which is what it is for user space too: the kernel reads the structure.
    FIXED(KVM_SET_IRQCHIP, kVm),
    FIXED(KVM_GET_REGS, kVcpu),
    FIXED(KVM_SET_REGS, kVcpu),
    FIXED(KVM_GET_SREGS, kVcpu),
    FIXED(KVM_SET_SREGS, kVcpu),
    FIXED(KVM_GET_FPU, kVcpu),
    FIXED(KVM_SET_FPU, kVcpu),
    LIST(KVM_GET_MSRS, kVcpu, 8, kvm_msr_entry),
    LIST(KVM_SET_MSRS, kVcpu, 8, kvm_msr_entry),
    LIST(KVM_GET_CPUID2, kVcpu, 8, kvm_cpuid_entry2),
    LIST(KVM_SET_CPUID2, kVcpu, 8, kvm_cpuid_entry2),
    {"KVM_GET_XSAVE2", WithSize(KVM_GET_XSAVE2, 4096), Kind::kVcpu, Shape::kXsave, 0},
    {"KVM_GET_XSAVE", WithSize(KVM_GET_XSAVE, 4096), Kind::kVcpu, Shape::kFixed, 0},
    {"KVM_SET_XSAVE", WithSize(KVM_SET_XSAVE, 4096), Kind::kVcpu, Shape::kXsave, 0},
    FIXED(KVM_GET_XCRS, kVcpu),
    FIXED(KVM_SET_XCRS, kVcpu),
    FIXED(KVM_GET_DEBUGREGS, kVcpu),
    FIXED(KVM_SET_DEBUGREGS, kVcpu),
    FIXED(KVM_GET_LAPIC, kVcpu),
    FIXED(KVM_SET_LAPIC, kVcpu),
    NUMBER(KVM_NMI, kVcpu),
    NUMBER(KVM_KVMCLOCK_CTRL, kVcpu),
    NUMBER(KVM_GET_TSC_KHZ, kVcpu),
    NUMBER(KVM_SET_TSC_KHZ, kVcpu),
#endif
};

#undef NUMBER
#undef FIXED
#undef LIST

const Call& CallOf(const Napi::CallbackInfo& info, const Object& object, bool number) {
  const Call& call = kCalls[Unsigned(info, 1, "ioctl", "the ioctl", std::size(kCalls) - 1)];
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

/// deviceAttribute(device, operation, group, attribute, bytes): operation 0 has, 1 get, 2 set.
Napi::Value DeviceAttribute(const Napi::CallbackInfo& info) {
  static constexpr struct {
    const char* name;
    unsigned long request;
  } kOperations[] = {{"KVM_HAS_DEVICE_ATTR", KVM_HAS_DEVICE_ATTR},
                     {"KVM_GET_DEVICE_ATTR", KVM_GET_DEVICE_ATTR},
                     {"KVM_SET_DEVICE_ATTR", KVM_SET_DEVICE_ATTR}};
  const auto& [name, request] = kOperations[Unsigned(info, 1, "KVM_SET_DEVICE_ATTR", "the operation", 2)];
  const auto device = HeldAs<Object>(info, 0, name, Kind::kDevice);
  // How long a value is depends on the device; none is longer than this, so that the kernel stays in bounds whatever it is.
  alignas(8) uint8_t value[4096] = {};
  const Bytes bytes = ByteArray(info, 4, name);
  if (bytes.size > sizeof value) Throw(info.Env(), EINVAL, name, "the value is longer than 4096 bytes");
  if (bytes.size != 0) std::memcpy(value, bytes.data, bytes.size);
  kvm_device_attr attribute = {};
  attribute.group = static_cast<uint32_t>(Unsigned(info, 2, name, "the group", UINT32_MAX));
  attribute.attr = Unsigned(info, 3, name, "the attribute");
  attribute.addr = reinterpret_cast<uintptr_t>(value);
  if (Control(device->fd, request, &attribute) < 0) {
    if (request == KVM_HAS_DEVICE_ATTR && errno == ENXIO) return Napi::Boolean::New(info.Env(), false);
    Throw(info.Env(), errno, name, "the hypervisor refuses");
  }
  if (request == KVM_GET_DEVICE_ATTR && bytes.size != 0) std::memcpy(bytes.data, value, bytes.size);
  return Napi::Boolean::New(info.Env(), true);
}

}  // namespace

void InitCalls(Napi::Object exports) {
  Napi::Object names = Napi::Object::New(exports.Env());
  for (size_t i = 0; i < std::size(kCalls); i++) names.Set(kCalls[i].name, static_cast<double>(i));
  exports.Set("calls", names);
  Export<CallNumber>(exports, "callNumber");
  Export<CallStructure>(exports, "callStructure");
  Export<OneRegister>(exports, "oneRegister");
  Export<DeviceAttribute>(exports, "deviceAttribute");
}

}  // namespace tsvmm
