import { privateQemu } from './emulator.ts';
import type { LabPlatform } from './platform.ts';
import { debianUserland } from './userland.ts';

/** L1 starts at EL2. KVM is part of the kernel. */
export const aarch64Platform: LabPlatform = {
  architecture: 'aarch64',
  debianArchitecture: 'arm64',
  cpus: 2,
  kvmModules: [],
  console: 'ttyAMA0',
  kernelParameters: [],
  async prepare(options) {
    const qemu = await privateQemu(options);
    const machine = ['-machine', 'virt,virtualization=on,gic-version=3', '-cpu', 'neoverse-n1'];
    return {
      ...(await debianUserland('arm64', options, ['qemu-efi-aarch64', 'u-boot-qemu'])),
      emulator: [...qemu.command('qemu-system-aarch64'), ...machine],
    };
  },
};
