import { join } from 'node:path';
import { privateQemu } from './emulator.ts';
import type { LabPlatform } from './platform.ts';
import { debianUserland } from './userland.ts';

/** Without what the emulator is slow with: vectors, and levels of page tables that nothing here needs. */
const CPU = 'rv64,v=false,sv57=off,sv48=off,smaia=on,ssaia=on';

/** L1 has the H extension and AIA with interrupt files for guests. */
export const riscv64Platform: LabPlatform = {
  architecture: 'riscv64',
  debianArchitecture: 'riscv64',
  // A second hart makes the first spend its time on fences.
  cpus: 1,
  kvmModules: ['kvm'],
  console: 'ttyS0',
  kernelParameters: [],
  async prepare(options) {
    const qemu = await privateQemu(options);
    const firmware = join(qemu.directory, 'usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin');
    const machine = ['-machine', 'virt,aia=aplic-imsic,aia-guests=3', '-cpu', CPU, '-bios', firmware];
    return {
      ...(await debianUserland('riscv64', options)),
      emulator: [...qemu.command('qemu-system-riscv64'), ...machine],
    };
  },
};
