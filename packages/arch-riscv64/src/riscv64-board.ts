import {
  alignUp,
  type Board,
  type BoardOptions,
  type BootOptions,
  type BootRegisters,
  hex,
  KernelCommandLine,
  loadInitrd,
  MachineError,
  type PciPlacement,
  type PlatformDevices,
  platformOf,
  randomSeeds,
  refuseOptions,
  type SerialPlacement,
} from '@tsvmm/arch';
import { toBytes } from '@tsvmm/fdt';
import type { VmOptions } from '@tsvmm/hypervisor';
import { loadKernel } from '@tsvmm/kernel-loader';
import type { GuestMemory } from '@tsvmm/vm-memory';
import { machineDeviceTree } from './device-tree.ts';
import {
  APLIC_ADDRESS,
  APLIC_SOURCES,
  COMMAND_LINE_MAXIMUM,
  FDT_ALIGNMENT,
  FDT_MAXIMUM,
  IMSIC_ADDRESS,
  IMSIC_IDENTITIES,
  INITRD_ALIGNMENT,
  PCI_CAM_ADDRESS,
  PCI_CAM_SIZE,
  PCI_LOW_WINDOW,
  PCI_PIN_SOURCES,
  pciHighWindow,
  RAM_START,
  SERIAL_ADDRESSES,
  SERIAL_SOURCES,
} from './layout.ts';

/** The riscv64 machine: S-mode guests on SBI, AIA interrupt controllers, PCI by CAM, four UARTs. */
export class Riscv64Board implements Board {
  readonly architecture = 'riscv64';
  readonly vm: VmOptions;
  readonly serialPorts: readonly SerialPlacement[];
  readonly pci: PciPlacement;
  readonly vcpuRegisters: BootRegisters = {};
  readonly #options: BoardOptions;

  /** @throws MachineError UNSUPPORTED for what this board does not have, NO_ADDRESS_SPACE for too much memory */
  constructor(options: BoardOptions) {
    const { ramSize, vcpuCount, addressBits, nested } = options;
    refuseOptions('riscv64', options, [
      'firmwareSize',
      'flashSize',
      'fwCfgFiles',
      'pci',
      'acpiTables',
      'smbios',
      'splitIrqchip',
      'its',
    ]);
    this.#options = options;
    this.vm = {
      architecture: 'riscv64',
      ram: [{ guestAddress: RAM_START, size: ramSize }],
      vcpuCount,
      aia: {
        imsicAddress: IMSIC_ADDRESS,
        imsicIdentities: IMSIC_IDENTITIES,
        aplicAddress: APLIC_ADDRESS,
        aplicSources: APLIC_SOURCES,
      },
      ...(nested && { nested }),
    };
    this.serialPorts = SERIAL_ADDRESSES.map((address, index) => ({
      kind: 'uart16550',
      space: 'mmio',
      address,
      source: SERIAL_SOURCES[index] ?? 0,
    }));
    this.pci = {
      configuration: { kind: 'cam', address: PCI_CAM_ADDRESS, size: PCI_CAM_SIZE },
      lowWindow: PCI_LOW_WINDOW,
      highWindow: pciHighWindow(ramSize, addressBits),
      pinSources: PCI_PIN_SOURCES,
      rootPorts: 0,
    };
  }

  /** There are none: clock, power and reset are the firmware's (SBI). */
  createPlatformDevices(): PlatformDevices {
    return { mmio: [], pio: [], [Symbol.dispose]: () => {} };
  }

  /**
   * Kernel, then initrd, then device tree, from low to high addresses; a0 is the hart's id and a1 the device tree
   * (Linux, Documentation/arch/riscv/boot.rst).
   */
  async boot(memory: GuestMemory, options: BootOptions): Promise<BootRegisters> {
    const { image } = options;
    if (image.kind !== 'kernel') {
      throw new MachineError('UNSUPPORTED', 'riscv64 machines have no firmware: start a kernel');
    }
    const commandLine = new KernelCommandLine(COMMAND_LINE_MAXIMUM);
    for (const parameter of options.parameters) {
      commandLine.append(parameter);
    }
    const kernel = await loadKernel(image.source, memory, {
      architecture: 'riscv64',
      ramBase: RAM_START,
      maxUnpackedSize: this.#options.ramSize,
    });
    const initrd =
      image.initrd && (await loadInitrd(memory, image.initrd, alignUp(kernel.end, INITRD_ALIGNMENT)));
    const tree = machineDeviceTree({
      ...this.#options,
      platform: platformOf(options.platform, 'riscv64'),
      commandLine: commandLine.toString(),
      initrd,
      serialPorts: this.serialPorts,
      standardOutput: options.standardOutput,
      pci: this.pci,
      pciInterrupts: options.pciInterrupts,
      seeds: randomSeeds(),
    });
    const blob = toBytes(tree, { maxSize: FDT_MAXIMUM });
    const address = alignUp(initrd?.end ?? kernel.end, FDT_ALIGNMENT);
    if (!memory.contains(address, blob.length)) {
      throw new MachineError(
        'MEMORY_TOO_SMALL',
        `kernel and initrd leave no room for the device tree at ${hex(address)}: raise --mem`,
      );
    }
    memory.copyIn(address, blob);
    return { pc: BigInt(kernel.entry), x10: 0n, x11: BigInt(address) };
  }
}
