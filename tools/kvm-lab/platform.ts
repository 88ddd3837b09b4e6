import type { FetchProgress, GuestArchitecture } from '../../packages/guest-image/src/index.ts';

/** The architectures that the lab has a host with KVM for, by the kernel's names. */
export const LAB_ARCHITECTURES = ['x86_64', 'aarch64', 'riscv64'] as const;
export type LabArchitecture = (typeof LAB_ARCHITECTURES)[number];

/** What an L1 of one architecture is made of. There is one file with such an object for each. */
export interface LabPlatform {
  readonly architecture: LabArchitecture;
  readonly debianArchitecture: GuestArchitecture;
  /** vCPUs that the emulator carries well. */
  readonly cpus: number;
  /** Modules that give L1 its /dev/kvm, where that is not built into the kernel. */
  readonly kvmModules: readonly string[];
  /** The kernel's name of the serial port that QEMU gives the machine. */
  readonly console: string;
  /** What L1's kernel is told beside what all are. */
  readonly kernelParameters: readonly string[];
  /** Makes what L1 runs besides its kernel, or finds it. */
  prepare(options: PrepareOptions): Promise<Userland>;
}

export interface PrepareOptions {
  /** Where the lab is kept. */
  readonly directory: string;
  readonly onProgress: (step: string, fraction: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** The programs of a lab: the emulator, and what L1 has as its root. */
export interface Userland {
  /** The emulator and its first arguments: the machine and its CPU, with virtualization. */
  readonly emulator: readonly [program: string, ...parameters: string[]];
  /** The directory that L1 has as its root, read-only below a layer in memory. */
  readonly root: string;
  /** Directories of the host that L1 has at the same place, read-only below a layer in memory. */
  readonly shared: readonly string[];
  /** What commands in L1 have in their environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** Path of Node in L1. */
  readonly node: string;
  /** A program that L1 has in the background for as long as it runs. */
  readonly companion?: readonly string[];
}

const STEPS: Readonly<Record<FetchProgress['phase'], string>> = {
  wait: 'waiting for another process to fetch',
  index: 'asking Debian for',
  download: 'fetching',
  unpack: 'unpacking',
  pack: 'packing',
};

/** Tells what fetching something from Debian is at, in words. */
export function describeProgress(
  what: string,
  onProgress: (step: string, fraction: number) => void,
): (progress: FetchProgress) => void {
  return ({ phase, fraction }) => onProgress(`${STEPS[phase]} ${what}`, fraction);
}
