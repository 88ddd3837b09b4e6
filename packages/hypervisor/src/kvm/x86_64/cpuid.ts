import { callStructure, KvmError, type NativeSystem, type NativeVcpu } from '../native.ts';

/** Bytes of `struct kvm_cpuid2` before its entries, and of an entry. */
const HEADER = 8;
const ENTRY = 40;
const MAXIMUM_ENTRIES = 4096;
/** Words of `struct kvm_cpuid_entry2`. */
const FUNCTION = 0;
const INDEX = 1;
const FLAGS = 2;
const EAX = 3;
const EBX = 4;
const ECX = 5;
const EDX = 6;

/** KVM_CPUID_FLAG_SIGNIFCANT_INDEX: the sub-leaf matters. */
const SIGNIFICANT_INDEX = 1;

/** Leaf 1: what EBX, ECX and EDX say (Intel SDM 2A, CPUID). A line that CLFLUSH flushes has 8 quadwords. */
const CACHE_LINE = 8 << 8;
const VMX = 1 << 5;
const TSC_DEADLINE = 1 << 24;
const HYPERVISOR = 1 << 31;
const HTT = 1 << 28;
/** Leaf 0x80000001, ECX (AMD APM 3, appendix E). */
const SVM = 1 << 2;
/** Of CPUs without leaf 0x80000008 (Intel SDM 3A, section 4.1.4). */
const DEFAULT_ADDRESS_BITS = 36;
/** Level types of leaves 0xb and 0x1f. */
const LEVEL_SMT = 1;
const LEVEL_CORE = 2;

export interface CpuidOptions {
  readonly vcpuCount: number;
  readonly nested: boolean;
  /** KVM_CAP_TSC_DEADLINE_TIMER: KVM does not list it among what it supports. */
  readonly tscDeadlineTimer: boolean;
}

/** What CPUID says to a guest: what host and KVM support, less what was not asked for, and the vCPU's own place. */
export class Cpuid {
  #entries: readonly Uint32Array[];

  /** @param words `struct kvm_cpuid2` */
  private constructor(words: Uint32Array) {
    this.#entries = Array.from({ length: words[0] ?? 0 }, (_, index) => {
      const start = (HEADER + index * ENTRY) / 4;
      return words.slice(start, start + ENTRY / 4);
    });
  }

  /** KVM_GET_SUPPORTED_CPUID; the array grows until the answer fits. */
  static supported(system: NativeSystem): Cpuid {
    for (let entries = 64; ; entries *= 2) {
      const words = new Uint32Array((HEADER + entries * ENTRY) / 4);
      words[0] = entries;
      try {
        callStructure(system, 'KVM_GET_SUPPORTED_CPUID', new Uint8Array(words.buffer));
        return new Cpuid(words);
      } catch (error) {
        if (!(error instanceof KvmError) || error.errno !== 'E2BIG' || entries >= MAXIMUM_ENTRIES)
          throw error;
      }
    }
  }

  /** Whether the CPU has virtualization extensions that a guest can be given. */
  get hasNesting(): boolean {
    const leaf1 = this.#find(1);
    const extended = this.#find(0x8000_0001);
    return (
      (leaf1 !== undefined && ((leaf1[ECX] ?? 0) & VMX) !== 0) ||
      (extended !== undefined && ((extended[ECX] ?? 0) & SVM) !== 0)
    );
  }

  /** Bits of a guest-physical address: leaf 0x80000008, EAX bits 7:0. */
  get addressBits(): number {
    const eax = this.#find(0x8000_0008)?.[EAX] ?? 0;
    return eax & 0xff || DEFAULT_ADDRESS_BITS;
  }

  /** Makes it one vCPU's. */
  personalize(id: number, options: CpuidOptions): void {
    const { vcpuCount, nested, tscDeadlineTimer } = options;
    const topology = topologyOf(vcpuCount);
    // KVM only says that these leaves exist; their levels are for user space to fill in.
    this.#entries = this.#entries.flatMap((entry) => {
      const leaf = entry[FUNCTION] ?? 0;
      if (leaf !== 0xb && leaf !== 0x1f) return [entry];
      return entry[INDEX] === 0 ? topologyLevels(leaf, id, topology) : [];
    });
    for (const entry of this.#entries) {
      switch (entry[FUNCTION]) {
        case 1: {
          const brand = (entry[EBX] ?? 0) & 0xff;
          entry[EBX] = brand | CACHE_LINE | (Math.min(vcpuCount, 255) << 16) | (id << 24);
          entry[ECX] =
            ((entry[ECX] ?? 0) & ~(nested ? 0 : VMX)) | HYPERVISOR | (tscDeadlineTimer ? TSC_DEADLINE : 0);
          entry[EDX] = vcpuCount > 1 ? (entry[EDX] ?? 0) | HTT : (entry[EDX] ?? 0) & ~HTT;
          break;
        }
        case 4:
        case 0x8000_001d:
          personalizeCache(entry, vcpuCount, topology);
          break;
        case 0x8000_0001:
          if (!nested) entry[ECX] = (entry[ECX] ?? 0) & ~SVM;
          break;
        case 0x8000_0008:
          // ECX: bits 7:0 threads less 1, bits 15:12 bits of an APIC id.
          entry[ECX] = ((entry[ECX] ?? 0) & ~0xf0ff) | (topology.packageShift << 12) | (vcpuCount - 1);
          break;
        case 0x8000_001e:
          entry[EAX] = id;
          entry[EBX] =
            (Math.floor(id / topology.threadsPerCore) & 0xff) | ((topology.threadsPerCore - 1) << 8);
          entry[ECX] = 0;
          break;
      }
    }
  }

  /** KVM_SET_CPUID2 */
  apply(vcpu: NativeVcpu): void {
    const words = new Uint32Array((HEADER + this.#entries.length * ENTRY) / 4);
    words[0] = this.#entries.length;
    for (const [index, entry] of this.#entries.entries()) words.set(entry, (HEADER + index * ENTRY) / 4);
    callStructure(vcpu, 'KVM_SET_CPUID2', new Uint8Array(words.buffer));
  }

  #find(leaf: number): Uint32Array | undefined {
    return this.#entries.find((entry) => entry[FUNCTION] === leaf && entry[INDEX] === 0);
  }
}

interface Topology {
  readonly threadsPerCore: number;
  /** How many low bits of the APIC id number the threads of a core, and all threads of the package. */
  readonly coreShift: number;
  readonly packageShift: number;
  readonly threads: number;
}

/** One package; an even number of vCPUs makes cores of two threads, an odd one cores of one. */
function topologyOf(vcpuCount: number): Topology {
  const threadsPerCore = vcpuCount % 2 === 0 ? 2 : 1;
  return {
    threadsPerCore,
    coreShift: threadsPerCore - 1,
    packageShift: Math.ceil(Math.log2(vcpuCount)),
    threads: vcpuCount,
  };
}

/** Intel leaf 4 and AMD leaf 0x8000001d: threads that share a cache (bits 25:14), cores of the package (bits 31:26). */
function personalizeCache(entry: Uint32Array, vcpuCount: number, topology: Topology): void {
  const eax = entry[EAX] ?? 0;
  if ((eax & 0x1f) === 0) return;
  const level = (eax >>> 5) & 7;
  const sharing = level < 3 ? topology.threadsPerCore : vcpuCount;
  const cores = entry[FUNCTION] === 4 ? Math.min(vcpuCount / topology.threadsPerCore, 64) - 1 : 0;
  entry[EAX] = (eax & 0x3fff) | ((sharing - 1) << 14) | (cores << 26);
}

/** Leaves 0xb and 0x1f: the levels of the topology, and one that says that there are no more. */
function topologyLevels(leaf: number, id: number, topology: Topology): Uint32Array[] {
  const { coreShift, packageShift, threadsPerCore, threads } = topology;
  const levels = [
    { shift: coreShift, threads: threadsPerCore, type: LEVEL_SMT },
    { shift: packageShift, threads, type: LEVEL_CORE },
    { shift: 0, threads: 0, type: 0 },
  ];
  return levels.map((level, index) => {
    const entry = new Uint32Array(ENTRY / 4);
    entry[FUNCTION] = leaf;
    entry[INDEX] = index;
    entry[FLAGS] = SIGNIFICANT_INDEX;
    entry[EAX] = level.shift;
    entry[EBX] = level.threads;
    entry[ECX] = (level.type << 8) | index;
    entry[EDX] = id;
    return entry;
  });
}
