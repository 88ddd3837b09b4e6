import {
  AddressAllocator,
  type AddressRange,
  alignUp,
  type Board,
  type BoardOptions,
  type BootImage,
  type BootOptions,
  type BootRegisters,
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
  attachPl030,
  type BusEntry,
  DeviceClock,
  type DeviceEnvironment,
  describePl030,
} from '@tsvmm/devices';
import { toBytes } from '@tsvmm/fdt';
import type { VmOptions } from '@tsvmm/hypervisor';
import { loadKernel } from '@tsvmm/kernel-loader';
import type { GuestMemory } from '@tsvmm/vm-memory';
import { machineDeviceTree } from './device-tree.ts';
import {
  COMMAND_LINE_MAXIMUM,
  FDT_ALIGNMENT,
  FDT_MAXIMUM,
  GIC_CPU_INTERFACE_ADDRESS,
  GIC_DISTRIBUTOR_ADDRESS,
  GIC_DISTRIBUTOR_SIZE,
  GIC_ITS_ADDRESS,
  GIC_ITS_SIZE,
  GIC_REDISTRIBUTOR_SIZE,
  INITRD_ALIGNMENT,
  PCI_CAM_ADDRESS,
  PCI_CAM_SIZE,
  PCI_LOW_WINDOW,
  PCI_PIN_SOURCES,
  pciHighWindow,
  RAM_START,
  RTC_ADDRESS,
  RTC_SIZE,
  RTC_SOURCE,
  SERIAL_ADDRESSES,
  SERIAL_SIZE,
  SERIAL_SOURCES,
  SPI_COUNT,
} from './layout.ts';

/** PSTATE (Arm ARM, section C5.2): mode, and all of D, A, I and F masked. */
const MODE_EL1H = 0x5n;
const MODE_EL2H = 0x9n;
const ALL_MASKED = 0x3c0n;

/** What was loaded, and where. */
interface Payload {
  readonly image: AddressRange;
  readonly entry: number;
  readonly initrd: AddressRange | undefined;
}

/** The aarch64 machine: GICv3 with ITS, or GICv2; PSCI; PCI by CAM; four UARTs and a clock at low addresses. */
export class Aarch64Board implements Board {
  readonly architecture = 'aarch64';
  readonly vm: VmOptions;
  readonly serialPorts: readonly SerialPlacement[];
  readonly pci: PciPlacement;
  readonly vcpuRegisters: BootRegisters = {};
  readonly #options: BoardOptions;

  /** @throws MachineError UNSUPPORTED for what this board does not have, NO_ADDRESS_SPACE, OVERLAP for memory or a place for PCI that the layout has no room for */
  constructor(options: BoardOptions) {
    const { ramSize, vcpuCount, addressBits, pci } = options;
    refuseOptions('aarch64', options, ['acpiTables', 'smbios']);
    this.#options = options;
    this.vm = {
      architecture: 'aarch64',
      ram: [{ guestAddress: RAM_START, size: ramSize }],
      vcpuCount,
      gic: {
        distributorAddress: GIC_DISTRIBUTOR_ADDRESS,
        redistributorAddress: GIC_DISTRIBUTOR_ADDRESS - vcpuCount * GIC_REDISTRIBUTOR_SIZE,
        cpuInterfaceAddress: GIC_CPU_INTERFACE_ADDRESS,
        itsAddress: GIC_ITS_ADDRESS,
        sources: SPI_COUNT,
      },
    };
    this.serialPorts = SERIAL_ADDRESSES.map((address, index) => ({
      space: 'mmio',
      address,
      source: SERIAL_SOURCES[index] ?? 0,
    }));
    const cam = pci?.configuration ?? { start: PCI_CAM_ADDRESS, end: PCI_CAM_ADDRESS + PCI_CAM_SIZE };
    this.pci = {
      configuration: { kind: 'cam', address: cam.start, size: cam.end - cam.start },
      lowWindow: pci?.memory ?? PCI_LOW_WINDOW,
      highWindow: pciHighWindow(ramSize, addressBits),
      pinSources: PCI_PIN_SOURCES,
    };
    checkLowAddresses(this.pci, vcpuCount);
  }

  createPlatformDevices(
    environment: DeviceEnvironment,
    onFailure: (error: unknown) => void,
  ): PlatformDevices {
    const mmio: BusEntry[] = [];
    using cleanup = new DisposableStack();
    if (this.#hasRtc) {
      const rtc = describePl030({ interrupt: RTC_SOURCE });
      mmio.push({ start: RTC_ADDRESS, length: RTC_SIZE, device: rtc });
      cleanup.use(new DeviceClock(attachPl030(rtc, environment), onFailure));
    }
    const owned = cleanup.move();
    return { mmio, pio: [], [Symbol.dispose]: () => owned.dispose() };
  }

  /**
   * A kernel goes to the start of RAM, the initrd behind it, the device tree to the end; firmware goes behind the device
   * tree, which it finds at the start of RAM. Either has its address in x0 (Linux, Documentation/arch/arm64/booting.rst).
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
      platform,
      ramSize: this.#options.ramSize,
      commandLine: commandLine.toString(),
      image: payload.image,
      initrd: payload.initrd,
      serialPorts: this.serialPorts,
      standardOutput: options.standardOutput,
      pci: this.pci,
      pciInterrupts: options.pciInterrupts,
      rtc: this.#hasRtc,
      seeds: randomSeeds(),
    });
    const address = image.kind === 'firmware' ? RAM_START : this.#endOfRam(payload);
    memory.copyIn(address, toBytes(tree, { maxSize: FDT_MAXIMUM }));
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
    if (image.kind === 'firmware') {
      const firmware = await loadFirmware(memory, image.source, RAM_START + FDT_MAXIMUM);
      return { image: firmware, entry: firmware.start, initrd: undefined };
    }
    const kernel = await loadKernel(image.source, memory, {
      architecture: 'aarch64',
      ramBase: RAM_START,
      // Its addresses are offsets into RAM, as crosvm has it.
      elfOffset: RAM_START,
      maxUnpackedSize: this.#options.ramSize,
    });
    const initrd =
      image.initrd && (await loadInitrd(memory, image.initrd, alignUp(kernel.end, INITRD_ALIGNMENT)));
    return { image: { start: kernel.start, end: kernel.end }, entry: kernel.entry, initrd };
  }

  /** Where the device tree goes when it is the last thing in RAM. */
  #endOfRam({ image, initrd }: Payload): number {
    const last = RAM_START + this.#options.ramSize - FDT_MAXIMUM;
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

/** @throws MachineError OVERLAP, NO_ADDRESS_SPACE */
function checkLowAddresses({ configuration, lowWindow }: PciPlacement, vcpuCount: number): void {
  if (configuration.size !== PCI_CAM_SIZE) {
    throw new MachineError(
      'UNSUPPORTED',
      `PCI configuration space has ${PCI_CAM_SIZE} bytes, not ${configuration.size}: leave its size out`,
    );
  }
  const low = new AddressAllocator('addresses below RAM', { start: 0, end: RAM_START });
  for (const address of SERIAL_ADDRESSES) low.reserve(address, SERIAL_SIZE, 'a serial port');
  low.reserve(RTC_ADDRESS, RTC_SIZE, 'the clock');
  const redistributors = vcpuCount * GIC_REDISTRIBUTOR_SIZE;
  const gic = redistributors + GIC_DISTRIBUTOR_SIZE;
  low.reserve(GIC_DISTRIBUTOR_ADDRESS - redistributors, gic, 'the interrupt controller');
  low.reserve(GIC_ITS_ADDRESS, GIC_ITS_SIZE, 'the interrupt translation service');
  low.reserve(configuration.address, configuration.size, 'PCI configuration space');
  low.reserve(lowWindow.start, lowWindow.end - lowWindow.start, 'PCI memory');
}
