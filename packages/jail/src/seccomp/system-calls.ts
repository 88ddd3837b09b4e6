import { JailError } from '../errors.ts';
import { GENERIC } from './numbers/generic.ts';
import { X86_64 } from './numbers/x86-64.ts';

/** The architectures whose system calls are known here, by the names the kernel has for them. */
export type JailArchitecture = 'x86_64' | 'aarch64' | 'riscv64';

/** Numbers of all system calls by name, for each architecture. */
export const SYSTEM_CALLS: Readonly<Record<JailArchitecture, ReadonlyMap<string, number>>> = {
  x86_64: new Map(Object.entries(X86_64)),
  // arch/arm64 still has the one call that newer architectures were made without.
  aarch64: new Map(Object.entries({ ...GENERIC, renameat: 38 })),
  riscv64: new Map(Object.entries({ ...GENERIC, riscv_hwprobe: 258, riscv_flush_icache: 259 })),
};

/** What the kernel calls system call `number`; its number in words when it is newer than these tables. */
export function systemCallName(architecture: JailArchitecture, number: number): string {
  for (const [name, candidate] of SYSTEM_CALLS[architecture]) {
    if (candidate === number) return name;
  }
  return `system call ${number}`;
}

const HOSTS: Readonly<Partial<Record<NodeJS.Architecture, JailArchitecture>>> = {
  x64: 'x86_64',
  arm64: 'aarch64',
  riscv64: 'riscv64',
};

/** @throws JailError UNSUPPORTED_ARCHITECTURE */
export function hostArchitecture(): JailArchitecture {
  const architecture = HOSTS[process.arch];
  if (architecture === undefined) {
    throw new JailError(
      'UNSUPPORTED_ARCHITECTURE',
      `there are no filters of system calls for ${process.arch}: run without sandboxes (--disable-sandbox)`,
    );
  }
  return architecture;
}
