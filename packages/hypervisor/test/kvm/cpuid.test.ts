import { describe, expect, it } from 'vitest';
import { MODE_16 } from '../../src/conformance/x86_64-machine.ts';
import type { VmOptions } from '../../src/hypervisor.ts';
import { KvmHypervisor } from '../../src/kvm/kvm-hypervisor.ts';
import type { KvmVcpuBackEnd } from '../../src/kvm/kvm-vcpu.ts';
import { callStructure, type NativeSystem, type NativeVcpu, native } from '../../src/kvm/native.ts';
import { hasX86Kvm } from './support.ts';

interface Leaf {
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

/** `struct kvm_cpuid2` by leaf and sub-leaf. */
function leavesOf(object: NativeSystem | NativeVcpu, call: 'KVM_GET_SUPPORTED_CPUID' | 'KVM_GET_CPUID2') {
  const words = new Uint32Array(2 + 256 * 10);
  words[0] = 256;
  callStructure(object, call, new Uint8Array(words.buffer));
  const leaves = new Map<string, Leaf>();
  for (let index = 0; index < (words[0] ?? 0); index++) {
    const [leaf = 0, sub = 0, , eax = 0, ebx = 0, ecx = 0, edx = 0] = words.subarray(2 + index * 10);
    leaves.set(`${leaf.toString(16)}.${sub}`, { eax, ebx, ecx, edx });
  }
  return (leaf: number, sub = 0): Leaf | undefined => leaves.get(`${leaf.toString(16)}.${sub}`);
}

/** What CPUID says to each vCPU of a machine. */
async function cpuidOf(vcpuCount: number, options: Pick<VmOptions, 'nested'> = {}) {
  using hypervisor = new KvmHypervisor();
  await using vm = await hypervisor.createVm({ ...MODE_16.options, vcpuCount, ...options });
  return Array.from({ length: vcpuCount }, (_, id) => {
    const { handle } = vm.createVcpu(id).descriptor.backEnd as KvmVcpuBackEnd;
    const vcpu = native().shareVcpu(handle);
    const leaf = leavesOf(vcpu, 'KVM_GET_CPUID2');
    native().release(vcpu);
    return leaf;
  });
}

function supported() {
  const system = native().openSystem('/dev/kvm');
  const leaf = leavesOf(system, 'KVM_GET_SUPPORTED_CPUID');
  native().release(system);
  return leaf;
}

function isAccelerated(): boolean {
  using hypervisor = new KvmHypervisor();
  return hypervisor.isAccelerated;
}

const bit = (value: number | undefined, position: number) => ((value ?? 0) >>> position) & 1;

// Bits are those of Intel's SDM 2A (CPUID) and AMD's APM 3, appendix E; what they are set to is what crosvm sets them to.
// A KVM that emulates the CPU shows some of the host's bits whatever it is told.
describe.runIf(hasX86Kvm && isAccelerated())('CPUID', () => {
  it.each([
    { vcpuCount: 1, threadsPerCore: 1, coreShift: 0, packageShift: 0 },
    { vcpuCount: 2, threadsPerCore: 2, coreShift: 1, packageShift: 1 },
    { vcpuCount: 3, threadsPerCore: 1, coreShift: 0, packageShift: 2 },
    { vcpuCount: 4, threadsPerCore: 2, coreShift: 1, packageShift: 2 },
  ])('tells each of $vcpuCount vCPUs its place', async ({ vcpuCount, ...topology }) => {
    const { threadsPerCore, coreShift, packageShift } = topology;
    for (const [id, leaf] of (await cpuidOf(vcpuCount)).entries()) {
      const one = leaf(1);
      // APIC id, logical processors, and cache lines of 8 quadwords.
      expect((one?.ebx ?? 0) >>> 8).toBe((id << 16) | (vcpuCount << 8) | 8);
      expect(bit(one?.edx, 28)).toBe(vcpuCount > 1 ? 1 : 0);
      expect(bit(one?.ecx, 31)).toBe(1);
      for (const levels of [0xb, 0x1f]) {
        if (leaf(levels) === undefined) continue;
        expect(leaf(levels, 0)).toEqual({ eax: coreShift, ebx: threadsPerCore, ecx: 0x100, edx: id });
        expect(leaf(levels, 1)).toEqual({ eax: packageShift, ebx: vcpuCount, ecx: 0x201, edx: id });
        expect(leaf(levels, 2)).toEqual({ eax: 0, ebx: 0, ecx: 2, edx: id });
      }
      for (let sub = 0; ((leaf(4, sub)?.eax ?? 0) & 0x1f) !== 0; sub++) {
        const eax = leaf(4, sub)?.eax ?? 0;
        const sharing = ((eax >>> 5) & 7) < 3 ? threadsPerCore : vcpuCount;
        expect([((eax >>> 14) & 0xfff) + 1, (eax >>> 26) + 1]).toEqual([sharing, vcpuCount / threadsPerCore]);
      }
    }
  });

  it("is the host's in everything else", async () => {
    const host = supported();
    const [leaf] = await cpuidOf(1);
    for (const number of [0, 2, 6, 7, 0xd, 0x4000_0001, 0x8000_0002, 0x8000_0003, 0x8000_0004, 0x8000_0005]) {
      expect(leaf?.(number), number.toString(16)).toEqual(host(number));
    }
  });

  it('has VMX and SVM only for guests that may be hypervisors', async () => {
    const host = supported();
    const features = async (nested: NonNullable<VmOptions['nested']>) => {
      const [leaf] = await cpuidOf(1, { nested });
      return [bit(leaf?.(1)?.ecx, 5), bit(leaf?.(0x8000_0001)?.ecx, 2)];
    };
    expect(await features('off')).toEqual([0, 0]);
    const both = [bit(host(1)?.ecx, 5), bit(host(0x8000_0001)?.ecx, 2)];
    expect(await features('auto')).toEqual(both);
    if (both.includes(1)) expect(await features('on')).toEqual(both);
    else await expect(features('on')).rejects.toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }));
  });
});
