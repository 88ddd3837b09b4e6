import { mergeUserTables, parseTable, placeTables } from '@tsvmm/acpi';
import {
  type Board,
  type BoardOptions,
  type BootOptions,
  type BootRegisters,
  type FlashPlacement,
  KernelCommandLine,
  MachineError,
  type PciInterrupt,
  type PciPlacement,
  type PlatformDevices,
  refuseOptions,
  type SerialPlacement,
} from '@tsvmm/arch';
import type { DeviceEnvironment } from '@tsvmm/devices';
import type { VmOptions } from '@tsvmm/hypervisor';
import { type ByteSource, type KernelMemory, type LoadedKernel, loadKernel } from '@tsvmm/kernel-loader';
import type { GuestMemory } from '@tsvmm/vm-memory';
import { bootFirmware } from './boot/firmware.ts';
import { placeInitrd } from './boot/initrd.ts';
import { bootLinux, ELF_SETUP } from './boot/linux.ts';
import { bootMultiboot } from './boot/multiboot.ts';
import { bootPvh } from './boot/pvh.ts';
import {
  ACPI_RSDP,
  COMMAND_LINE,
  COMMAND_LINE_MAXIMUM,
  FLASH_CHIPS,
  GIB_4,
  HIGH_RAM_START,
  IO_APIC,
  LOCAL_APIC,
  MAXIMUM_VCPUS,
  MP_FLOATING_POINTER,
  MP_TABLE,
  PCI_PIN_SOURCES,
  PCI_PORTS,
  PCI_ROOT_PORTS,
  POWER_MANAGEMENT_PORT,
  SCI_SOURCE,
  SERIAL_PORTS,
  SMBIOS_ENTRY_POINT,
} from './layout.ts';
import { type MemoryMap, memoryMap } from './memory-map.ts';
import { platformDevices } from './platform-devices.ts';
import { commonRegisters } from './processor/registers.ts';
import { acpiTables, OEM } from './tables/acpi-tables.ts';
import { mpTable } from './tables/mp-table.ts';
import { smbiosTables } from './tables/smbios.ts';

/**
 * What Linux is told of the machine before what the user has to say. There is no chipset whose quirks a kernel has to look
 * for before it knows PCI; that search would be most of a boot's exits: 38,000 accesses to configuration space by ports on
 * an AMD CPU with an aperture for graphics.
 */
const PARAMETERS = ['pci=noearly'];

/** Kernels that are entered in protected mode look for nothing above 4 GiB. */
const HIGHEST_32_BIT = GIB_4 - 1;

/** The x86_64 machine: a PC with PCI Express, without the chips that only DOS would miss. */
export class X8664Board implements Board {
  readonly architecture = 'x86_64';
  readonly vm: VmOptions;
  readonly serialPorts: readonly SerialPlacement[];
  readonly pci: PciPlacement;
  readonly flash: FlashPlacement | undefined;
  readonly vcpuRegisters: BootRegisters;
  readonly #options: BoardOptions;
  readonly #map: MemoryMap;

  /** @throws MachineError for options that make no machine */
  constructor(options: BoardOptions) {
    const { vcpuCount, addressBits, splitIrqchip = false, nested = 'auto' } = options;
    refuseOptions('x86_64', options, ['its']);
    if (vcpuCount > MAXIMUM_VCPUS) {
      throw new MachineError(
        'UNSUPPORTED',
        `${vcpuCount} vCPUs: APIC ids have 8 bits, so an x86_64 machine has up to ${MAXIMUM_VCPUS}`,
      );
    }
    if (options.firmwareSize === undefined) refuseOptions('without --bios, x86_64', options, ['flashSize']);
    this.#options = options;
    this.#map = memoryMap(options);
    const irqchip = splitIrqchip ? 'split' : 'kernel';
    this.vm = { architecture: 'x86_64', ram: this.#map.ram, vcpuCount, irqchip, nested };
    this.serialPorts = SERIAL_PORTS.map((port) => ({ kind: 'uart16550', space: 'pio', ...port }));
    const { configuration, lowWindow, highWindow, spareWindow, flash } = this.#map;
    this.flash = flash && { address: flash.start, ...FLASH_CHIPS };
    this.pci = {
      configuration: {
        kind: 'ecam',
        address: configuration.start,
        size: configuration.end - configuration.start,
      },
      configurationPorts: PCI_PORTS,
      lowWindow,
      highWindow,
      ...(spareWindow && { spareWindow }),
      pinSources: PCI_PIN_SOURCES,
      rootPorts: PCI_ROOT_PORTS,
    };
    const devices = { start: Math.min(lowWindow.start, configuration.start), end: GIB_4 };
    this.vcpuRegisters = commonRegisters(devices, addressBits);
  }

  createPlatformDevices(
    environment: DeviceEnvironment,
    onFailure: (error: unknown) => void,
  ): PlatformDevices {
    const { ramSize, splitIrqchip = false } = this.#options;
    const { lowRamEnd } = this.#map;
    return platformDevices(environment, onFailure, {
      ...this.#options,
      memory: { low: lowRamEnd, high: ramSize - lowRamEnd },
      // The kernel has one beside the interrupt controllers that it has.
      timer: splitIrqchip,
    });
  }

  async boot(memory: GuestMemory, options: BootOptions): Promise<BootRegisters> {
    const { image, parameters } = options;
    if (image.kind === 'firmware') {
      await bootFirmware(memory, image.source, this.#firmware());
      return {};
    }
    const kernel = await loadKernel(image.source, this.#kernelMemory(memory), {
      architecture: 'x86_64',
      ramBase: 0,
      maxUnpackedSize: this.#options.ramSize,
    });
    const setup = kernel.linux ?? ELF_SETUP;
    this.#writeTables(memory, options.pciInterrupts);
    writeCommandLine(
      memory,
      [...PARAMETERS, ...parameters],
      Math.min(COMMAND_LINE_MAXIMUM - 1, setup.commandLineMaximum),
    );
    return await this.#enter(memory, kernel, image.initrd);
  }

  /** What tells the guest of the machine: ACPI's tables, the MP table for those that do not read them, and SMBIOS'. */
  #writeTables(memory: GuestMemory, pciInterrupts: readonly PciInterrupt[]): void {
    const { vcpuCount, platform, acpiTables: files = [], smbios = {} } = this.#options;
    const { configuration, lowWindow, highWindow } = this.#map;
    const theirs = files.map(parseTable);
    const own = acpiTables({
      vcpuCount,
      powerManagementPort: POWER_MANAGEMENT_PORT,
      hasRtc: platform?.rtc !== false,
      configuration,
      lowWindow,
      highWindow,
      pciInterrupts,
    });
    const tables = mergeUserTables(own, theirs, OEM);
    const images = [
      placeTables({ address: ACPI_RSDP, size: SMBIOS_ENTRY_POINT - ACPI_RSDP, oem: OEM, tables }),
      smbiosTables(SMBIOS_ENTRY_POINT, HIGH_RAM_START - SMBIOS_ENTRY_POINT, smbios),
    ];
    // Whoever brings a FADT of his own knows better than the MP table what hardware there is.
    if (!theirs.some(({ signature }) => signature === 'FACP')) {
      images.push(
        ...mpTable({
          address: MP_TABLE,
          size: MP_FLOATING_POINTER - MP_TABLE,
          floatingPointerAddress: MP_FLOATING_POINTER,
          vcpuCount,
          localApicAddress: LOCAL_APIC,
          ioApicAddress: IO_APIC,
          sciSource: SCI_SOURCE,
          pciInterrupts,
        }),
      );
    }
    for (const { address, bytes } of images) memory.copyIn(address, bytes);
  }

  /** By the protocol that the kernel has: Multiboot if it asks for it, PVH if it offers it, Linux's otherwise. */
  async #enter(
    memory: GuestMemory,
    kernel: LoadedKernel,
    source: ByteSource | undefined,
  ): Promise<BootRegisters> {
    const { entry, end, pvhEntry, isMultiboot, format } = kernel;
    const { e820 } = this.#map;
    const initrdBelow = async (highest: number) =>
      source && (await placeInitrd(memory, source, end, highest));
    if (isMultiboot) {
      return bootMultiboot(memory, entry, await initrdBelow(HIGHEST_32_BIT), this.#map);
    }
    if (pvhEntry !== undefined) {
      return bootPvh(memory, pvhEntry, await initrdBelow(HIGHEST_32_BIT), e820);
    }
    const setup = kernel.linux ?? { ...ELF_SETUP, is64Bit: format === 'elf64' };
    const initrd = await initrdBelow(setup.initrdAddressMaximum);
    return bootLinux(memory, { entry, setup, initrd, e820 });
  }

  /** Where kernels may be: above the tables that are written below 1 MiB, and below the PCI hole. */
  #kernelMemory(memory: GuestMemory): KernelMemory {
    const { lowRamEnd } = this.#map;
    return {
      contains: (address, length) => address >= HIGH_RAM_START && address + length <= lowRamEnd,
      copyIn: (address, source) => memory.copyIn(address, source),
      fill: (address, length, value) => memory.fill(address, length, value),
    };
  }

  #firmware() {
    const { firmware } = this.#map;
    if (firmware === undefined) {
      throw new MachineError(
        'UNSUPPORTED',
        'the machine was made without room for firmware: give firmwareSize',
      );
    }
    return firmware;
  }
}

function writeCommandLine(memory: GuestMemory, parameters: readonly string[], maximum: number): void {
  const line = new KernelCommandLine(maximum);
  for (const parameter of parameters) line.append(parameter);
  memory.copyIn(COMMAND_LINE, new TextEncoder().encode(`${line}\0`));
}
