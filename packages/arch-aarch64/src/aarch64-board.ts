import {
  AddressAllocator,
  type AddressRange,
  alignUp,
  type Board,
  type BoardOptions,
  type BootImage,
  type BootOptions,
  type BootRegisters,
  type FlashPlacement,
  hex,
  KernelCommandLine,
  loadFirmware,
  loadInitrd,
  MachineError,
  type PciPlacement,
  type PlatformDevices,
  platformOf,
  randomSeeds,
  refuseOptions,
  type SerialPlacement,
} from '@tsvmm/arch';
import {
  attachPrimeCellRtc,
  type BusEntry,
  DeviceClock,
  type DeviceEnvironment,
  describeFwCfg,
  describePrimeCellRtc,
  FW_CFG_LENGTH,
  PL011_LENGTH,
  UART16550_LENGTH,
} from '@tsvmm/devices';
import { toBytes } from '@tsvmm/fdt';
import type { RamRegion, VmOptions } from '@tsvmm/hypervisor';
import { loadKernel } from '@tsvmm/kernel-loader';
import type { GuestMemory } from '@tsvmm/vm-memory';
import { machineDeviceTree } from './device-tree.ts';
import {
  type AddressMap,
  COMMAND_LINE_MAXIMUM,
  FDT_ALIGNMENT,
  FDT_MAXIMUM,
  FIRMWARE_FDT_MAXIMUM,
  FIRMWARE_MAP,
  FIRMWARE_PAGE,
  FLASH_CHIPS,
  GIC_DISTRIBUTOR_SIZE,
  GIC_ITS_SIZE,
  GIC_REDISTRIBUTOR_SIZE,
  INITRD_ALIGNMENT,
  KERNEL_MAP,
  PCI_PIN_SOURCES,
  pciHighWindow,
  RTC_SIZE,
  RTC_SOURCE,
  SPI_COUNT,
  VARIABLES_SIZE,
} from './layout.ts';

/** PSTATE (Arm ARM, section C5.2): mode, and all of D, A, I and F masked. */
const MODE_EL1H = 0x5n;
const MODE_EL2H = 0x9n;
const ALL_MASKED = 0x3c0n;

/** Bytes of the UARTs' registers. */
const SERIAL_SIZES = { uart16550: UART16550_LENGTH, pl011: PL011_LENGTH } as const;

/** What was loaded, and where. */
interface Payload {
  readonly image: AddressRange;
  readonly entry: number;
  readonly initrd: AddressRange | undefined;
}

/**
 * The aarch64 machine: GICv3 with ITS, or GICv2; PSCI; PCI; UARTs and a clock. It is laid out for a kernel as crosvm does
 * it, and for firmware as firmware expects it.
 */
export class Aarch64Board implements Board {
  readonly architecture = 'aarch64';
  readonly vm: VmOptions;
  readonly serialPorts: readonly SerialPlacement[];
  readonly pci: PciPlacement;
  readonly flash: FlashPlacement | undefined;
  readonly vcpuRegisters: BootRegisters = {};
  readonly #options: BoardOptions;
  readonly #map: AddressMap;

  /** @throws MachineError UNSUPPORTED for what this board does not have, NO_ADDRESS_SPACE, OVERLAP, MEMORY_TOO_SMALL for memory, firmware or a place for PCI that the layout has no room for */
  constructor(options: BoardOptions) {
    const { ramSize, vcpuCount, addressBits, firmwareSize, pci, its = true, nested } = options;
    refuseOptions('aarch64', options, ['acpiTables', 'smbios', 'splitIrqchip']);
    if (firmwareSize === undefined)
      refuseOptions('without --bios, aarch64', options, ['flashSize', 'fwCfgFiles']);
    this.#options = options;
    const map = firmwareSize === undefined ? KERNEL_MAP : FIRMWARE_MAP;
    this.#map = map;
    this.flash = flashPlacement(map, options.flashSize);
    const { gic } = map;
    this.vm = {
      architecture: 'aarch64',
      ram: [...firmwareMemory(map, options), { guestAddress: map.ramStart, size: ramSize }],
      vcpuCount,
      gic: {
        distributorAddress: gic.distributorAddress,
        redistributorAddress: gic.redistributorAddress(vcpuCount),
        cpuInterfaceAddress: gic.cpuInterface.address,
        ...(its && { itsAddress: gic.itsAddress }),
        sources: SPI_COUNT,
      },
      ...(nested && { nested }),
    };
    this.serialPorts = map.serialPorts;
    const { pciConfiguration } = map;
    const { configuration } = pci ?? {};
    this.pci = {
      configuration: configuration
        ? { ...pciConfiguration, address: configuration.start, size: configuration.end - configuration.start }
        : pciConfiguration,
      lowWindow: pci?.memory ?? map.pciLowWindow,
      highWindow: pciHighWindow(map, ramSize, addressBits),
      pinSources: PCI_PIN_SOURCES,
      rootPorts: 0,
    };
    checkLowAddresses(map, this.pci, vcpuCount);
  }

  createPlatformDevices(
    environment: DeviceEnvironment,
    onFailure: (error: unknown) => void,
  ): PlatformDevices {
    const mmio: BusEntry[] = [];
    using cleanup = new DisposableStack();
    if (this.#hasRtc) {
      const { part, address } = this.#map.rtc;
      const rtc = describePrimeCellRtc({ part, interrupt: RTC_SOURCE });
      mmio.push({ start: address, length: RTC_SIZE, device: rtc });
      cleanup.use(new DeviceClock(attachPrimeCellRtc(rtc, environment), onFailure));
    }
    const { fwCfgFiles: files = [] } = this.#options;
    const { fwCfgAddress } = this.#map;
    if (fwCfgAddress !== undefined) {
      const device = describeFwCfg({ registers: 'memory', files });
      mmio.push({ start: fwCfgAddress, length: FW_CFG_LENGTH.memory, device });
    }
    const owned = cleanup.move();
    return { mmio, pio: [], [Symbol.dispose]: () => owned.dispose() };
  }

  /**
   * A kernel goes to the start of RAM, the initrd behind it, the device tree to the end; firmware goes where the CPU comes
   * out of reset, and finds the device tree at the start of RAM. Either has its address in x0 (Linux,
   * Documentation/arch/arm64/booting.rst).
   */
  async boot(memory: GuestMemory, options: BootOptions): Promise<BootRegisters> {
    const { image } = options;
    const platform = platformOf(options.platform, 'aarch64');
    const commandLine = new KernelCommandLine(COMMAND_LINE_MAXIMUM);
    for (const parameter of options.parameters) {
      commandLine.append(parameter);
    }
    const payload = await this.#load(memory, image);
    const tree = machineDeviceTree({
      map: this.#map,
      platform,
      ramSize: this.#options.ramSize,
      commandLine: commandLine.toString(),
      image: payload.image,
      initrd: payload.initrd,
      standardOutput: options.standardOutput,
      pci: this.pci,
      pciInterrupts: options.pciInterrupts,
      rtc: this.#hasRtc,
      flash: this.flash && { placement: this.flash, size: this.#options.flashSize ?? 0 },
      seeds: randomSeeds(),
    });
    const isFirmware = image.kind === 'firmware';
    const address = isFirmware ? this.#map.ramStart : this.#endOfRam(payload);
    memory.copyIn(address, toBytes(tree, { maxSize: isFirmware ? FIRMWARE_FDT_MAXIMUM : FDT_MAXIMUM }));
    return {
      pc: BigInt(payload.entry),
      x0: BigInt(address),
      pstate: ALL_MASKED | (platform.hasEl2 ? MODE_EL2H : MODE_EL1H),
    };
  }

  get #hasRtc(): boolean {
    return this.#options.platform?.rtc !== false;
  }

  async #load(memory: GuestMemory, image: BootImage): Promise<Payload> {
    const { ramStart, firmware: reset } = this.#map;
    if (image.kind === 'firmware') {
      if (reset === undefined) {
        throw new MachineError(
          'UNSUPPORTED',
          'the machine was made without room for firmware: give firmwareSize',
        );
      }
      const firmware = await loadFirmware(memory, image.source, reset.start);
      return { image: firmware, entry: firmware.start, initrd: undefined };
    }
    const kernel = await loadKernel(image.source, memory, {
      architecture: 'aarch64',
      ramBase: ramStart,
      // Its addresses are offsets into RAM, as crosvm has it.
      elfOffset: ramStart,
      maxUnpackedSize: this.#options.ramSize,
    });
    const initrd =
      image.initrd && (await loadInitrd(memory, image.initrd, alignUp(kernel.end, INITRD_ALIGNMENT)));
    return { image: { start: kernel.start, end: kernel.end }, entry: kernel.entry, initrd };
  }

  /** Where the device tree goes when it is the last thing in RAM. */
  #endOfRam({ image, initrd }: Payload): number {
    const last = this.#map.ramStart + this.#options.ramSize - FDT_MAXIMUM;
    const address = last - (last % FDT_ALIGNMENT);
    if (address < (initrd ?? image).end) {
      throw new MachineError(
        'MEMORY_TOO_SMALL',
        `kernel and initrd leave no room for the device tree at ${hex(address)}: raise --mem`,
      );
    }
    return address;
  }
}

/**
 * Where firmware is in memory, and where it looks for its variables: each word of a device would be an exit.
 *
 * @throws MachineError MEMORY_TOO_SMALL
 */
function firmwareMemory({ firmware, flash }: AddressMap, options: BoardOptions): RamRegion[] {
  const { firmwareSize: size, flashSize } = options;
  if (firmware === undefined || flash === undefined || size === undefined) return [];
  const whole = alignUp(size, FIRMWARE_PAGE);
  const room = firmware.end - firmware.start;
  if (whole === 0 || whole > room) {
    throw new MachineError(
      'MEMORY_TOO_SMALL',
      `a firmware image has up to ${room / 2 ** 20} MiB, and this one has ${size} bytes: give a BIOS or UEFI image`,
    );
  }
  const regions = [{ guestAddress: firmware.start, size: whole }];
  if (flashSize === undefined) regions.push({ guestAddress: flash.start, size: VARIABLES_SIZE });
  return regions;
}

/** @throws MachineError MEMORY_TOO_SMALL for more than there is room for */
function flashPlacement({ flash }: AddressMap, size: number | undefined): FlashPlacement | undefined {
  if (flash === undefined || size === undefined) return undefined;
  const room = flash.end - flash.start;
  if (size > room) {
    throw new MachineError(
      'MEMORY_TOO_SMALL',
      `flash memory has up to ${room / 2 ** 20} MiB, and this image has ${size} bytes: give a smaller one`,
    );
  }
  return { address: flash.start, ...FLASH_CHIPS };
}

/** @throws MachineError OVERLAP, NO_ADDRESS_SPACE */
function checkLowAddresses(
  map: AddressMap,
  { configuration, lowWindow }: PciPlacement,
  vcpuCount: number,
): void {
  const { size } = map.pciConfiguration;
  if (configuration.size !== size) {
    throw new MachineError(
      'UNSUPPORTED',
      `PCI configuration space has ${size} bytes, not ${configuration.size}: leave its size out`,
    );
  }
  const { gic, firmware, flash, fwCfgAddress } = map;
  const low = new AddressAllocator('addresses below RAM', { start: 0, end: map.ramStart });
  if (firmware) low.reserve(firmware.start, firmware.end - firmware.start, 'the firmware');
  if (flash) low.reserve(flash.start, flash.end - flash.start, 'flash memory');
  for (const { kind, address } of map.serialPorts) low.reserve(address, SERIAL_SIZES[kind], 'a serial port');
  low.reserve(map.rtc.address, RTC_SIZE, 'the clock');
  if (fwCfgAddress !== undefined) low.reserve(fwCfgAddress, FW_CFG_LENGTH.memory, 'fw_cfg');
  low.reserve(gic.distributorAddress, GIC_DISTRIBUTOR_SIZE, 'the interrupt controller');
  const redistributors = gic.redistributorAddress(vcpuCount);
  low.reserve(redistributors, vcpuCount * GIC_REDISTRIBUTOR_SIZE, 'the interrupt controller');
  low.reserve(gic.itsAddress, GIC_ITS_SIZE, 'the interrupt translation service');
  low.reserve(configuration.address, configuration.size, 'PCI configuration space');
  low.reserve(lowWindow.start, lowWindow.end - lowWindow.start, 'PCI memory');
}
