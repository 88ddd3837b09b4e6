import { readdir } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { defaultCacheDirectory, fetchGuest } from '../../packages/guest-image/src/index.ts';
import { aarch64Platform } from './aarch64.ts';
import { INITRAMFS_PREFIX, packInitramfs } from './initramfs.ts';
import { describeProgress, type LabArchitecture, type LabPlatform, type Userland } from './platform.ts';
import { riscv64Platform } from './riscv64.ts';
import { x86Platform } from './x86-64.ts';

const PLATFORMS: Readonly<Record<LabArchitecture, LabPlatform>> = {
  x86_64: x86Platform,
  aarch64: aarch64Platform,
  riscv64: riscv64Platform,
};

/** All that an L1 is started with. */
export interface Lab extends Userland {
  readonly platform: LabPlatform;
  /** Paths on the host. */
  readonly kernel: string;
  readonly initramfs: string;
}

export interface SetUpOptions {
  /** Told what the work is at, and how far that has come, from 0 to 1. */
  readonly onProgress?: (step: string, fraction: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Where the lab is kept: `$TSVMM_KVM_LAB`, or `kvm-lab` in the cache of tsvmm. */
export function labDirectory(): string {
  const configured = process.env.TSVMM_KVM_LAB;
  return configured && isAbsolute(configured) ? configured : join(defaultCacheDirectory(), 'kvm-lab');
}

/** Whether the lab of an architecture was made before. */
export async function isSetUp(architecture: LabArchitecture): Promise<boolean> {
  const files = await readdir(join(labDirectory(), architecture)).catch(() => []);
  return files.some((name) => name.startsWith(INITRAMFS_PREFIX));
}

/**
 * Makes the lab of an architecture out of Debian packages, or finds it: that takes milliseconds.
 * @throws {LabError} NOT_SET_UP when a program of the host is missing
 * @throws {GuestImageError} when Debian's packages cannot be had
 */
export async function setUp(architecture: LabArchitecture, options: SetUpOptions = {}): Promise<Lab> {
  const { onProgress = () => {}, signal } = options;
  const platform = PLATFORMS[architecture];
  const directory = labDirectory();
  const kernel = await fetchGuest({
    architecture: platform.debianArchitecture,
    signal,
    onProgress: describeProgress(`the kernel of ${architecture}`, onProgress),
  });
  const userland = await platform.prepare({ directory, onProgress, signal });
  const initramfs = await packInitramfs(join(directory, architecture), platform, kernel, signal);
  return { ...userland, platform, kernel: kernel.kernel, initramfs };
}
