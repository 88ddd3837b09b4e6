import { describe, expect, it } from 'vitest';
import { callNumber, callStructure, type NativeSystem, native } from '../../src/kvm/native.ts';
import { hasX86Kvm } from './support.ts';

const failing = (call: string, errno: string) => expect.objectContaining({ call, errno });

describe('the add-on', () => {
  it('says which call failed, and how', () => {
    expect(() => native().openSystem('/nowhere/kvm')).toThrow(failing('open', 'ENOENT'));
    expect(() => native().openSystem('/dev/null')).toThrow(failing('KVM_GET_API_VERSION', 'ENOTTY'));
    expect(() => native().openSystem('')).toThrow(failing('open', 'ENOENT'));
    expect(() => native().openSystem('/dev/kvm\0')).toThrow(failing('open', 'EINVAL'));
    expect(() => native().attachVcpu(0xffff_ffff)).toThrow(failing('attach', 'EBADF'));
    expect(() => native().attachVm(-1)).toThrow(failing('attach', 'EINVAL'));
  });

  it('takes nothing for an object of its own that is not', () => {
    for (const impostor of [undefined, null, 3, {}, native, new Uint8Array(8)]) {
      const object = impostor as unknown as NativeSystem;
      expect(() => callNumber(object, 'KVM_CHECK_EXTENSION', 0)).toThrow(failing('ioctl', 'EINVAL'));
      expect(() => native().createVm(object, 0)).toThrow(failing('KVM_CREATE_VM', 'EINVAL'));
      expect(() => native().release(object)).toThrow(failing('close', 'EINVAL'));
    }
  });

  if (hasX86Kvm) {
    it('checks what it is given before the kernel sees it', () => {
      const system = native().openSystem('/dev/kvm');
      const vm = native().createVm(system, 0);
      const vcpu = native().createVcpu(vm, 0);
      const bytes = (length: number) => new Uint8Array(length);
      // Shorter than the structure.
      expect(() => callStructure(vcpu, 'KVM_GET_REGS', bytes(143))).toThrow(
        failing('KVM_GET_REGS', 'EINVAL'),
      );
      expect(() => callStructure(vcpu, 'KVM_GET_XSAVE2', bytes(4095))).toThrow(
        failing('KVM_GET_XSAVE2', 'EINVAL'),
      );
      // Shorter than its own count says.
      const list = Uint32Array.of(2, 0, 0x10, 0, 0, 0);
      expect(() => callStructure(vcpu, 'KVM_GET_MSRS', new Uint8Array(list.buffer))).toThrow(
        failing('KVM_GET_MSRS', 'EINVAL'),
      );
      list[0] = 0xffff_ffff;
      expect(() => callStructure(vcpu, 'KVM_SET_MSRS', new Uint8Array(list.buffer))).toThrow(
        failing('KVM_SET_MSRS', 'EINVAL'),
      );
      // For another kind of object, or with another kind of argument.
      expect(() => callStructure(vm, 'KVM_GET_REGS', bytes(144))).toThrow(failing('KVM_GET_REGS', 'EINVAL'));
      expect(() => native().createVcpu(vcpu as never, 0)).toThrow(failing('KVM_CREATE_VCPU', 'EINVAL'));
      const { KVM_GET_REGS = -1 } = native().calls;
      expect(() => native().callNumber(vcpu, KVM_GET_REGS, 0)).toThrow(failing('KVM_GET_REGS', 'EINVAL'));
      for (const call of [-1, 0.5, 1000, Number.NaN]) {
        expect(() => native().callStructure(vcpu, call, bytes(8))).toThrow(failing('ioctl', 'EINVAL'));
      }
      expect(() => callStructure(vcpu, 'KVM_GET_REGS', new ArrayBuffer(144) as never)).toThrow(
        failing('KVM_GET_REGS', 'EINVAL'),
      );
      // Registers by id do not exist on x86; one of 8 bytes is refused before KVM is asked.
      expect(() => native().oneRegister(vcpu, false, 0x0030_0000, 0, bytes(4))).toThrow(
        failing('KVM_GET_ONE_REG', 'EINVAL'),
      );
      expect(() => native().dirtyLog(vm, 0, bytes(8))).toThrow(failing('KVM_GET_DIRTY_LOG', 'ENOENT'));
      expect(() => native().changeMemory(vm, 7, 0)).toThrow(failing('KVM_SET_USER_MEMORY_REGION', 'ENOENT'));
      // After it was let go.
      native().release(vcpu);
      native().release(vcpu);
      expect(() => callStructure(vcpu, 'KVM_GET_REGS', bytes(144))).toThrow(failing('ioctl', 'EBADF'));
      expect(() => native().requestStop(vcpu)).toThrow(failing('tgkill', 'EBADF'));
      native().release(vm);
      native().release(system);
    });

    it('makes slots only of memory that it has allocated, which lives as long as they', () => {
      const system = native().openSystem('/dev/kvm');
      const vm = native().createVm(system, 0);
      const add = (bytes: Uint8Array) => native().addAllocated(vm, 0, 0, 0, bytes);
      const refusal = failing('KVM_SET_USER_MEMORY_REGION', 'EINVAL');
      expect(() => add(new Uint8Array(4096))).toThrow(refusal);
      const buffer = native().allocateMemory(8192);
      if (buffer !== undefined) {
        expect(() => add(new Uint8Array(buffer, 8192))).toThrow(refusal);
        expect(() => add(new Uint8Array(buffer, 1, 4096))).toThrow(refusal);
        add(new Uint8Array(buffer, 4096));
        expect(() => add(new Uint8Array(buffer))).toThrow(failing('KVM_SET_USER_MEMORY_REGION', 'EEXIST'));
        native().changeMemory(vm, 0, 1);
        native().removeMemory(vm, 0);
      }
      for (const size of [0, 4095, -1]) {
        expect(() => native().allocateMemory(size)).toThrow(failing('mmap', 'EINVAL'));
      }
      native().release(vm);
      native().release(system);
    });

    it('refuses a bitmap that is shorter than the log', () => {
      const system = native().openSystem('/dev/kvm');
      const vm = native().createVm(system, 0);
      expect(() => native().addMemory(vm, 0, 0, 0, 0x1000, 2, 0)).toThrow();
      native().release(vm);
      native().release(system);
    });
  }
});
