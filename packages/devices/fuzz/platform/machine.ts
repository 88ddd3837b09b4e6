import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GuestMemory } from '@tsvmm/vm-memory';
import {
  ACPI_PM_LENGTH,
  AcpiPm,
  Bus,
  type BusDevice,
  ByteRing,
  CMOS_RTC_LENGTH,
  CMOS_RTC_PORT,
  CmosRtc,
  DEBUGCON_LENGTH,
  DEBUGCON_PORT,
  Debugcon,
  describeAcpiPm,
  describeCmosRtc,
  describeDebugcon,
  describeFwCfg,
  describePl011,
  describePrimeCellRtc,
  describeUart16550,
  FW_CFG_LENGTH,
  FW_CFG_PORT,
  FwCfg,
  I8042,
  I8042_LENGTH,
  I8042_PORT,
  type InterruptLine,
  PCI_PORT_IO_LENGTH,
  PciBus,
  PciMemoryConfig,
  PciMemoryWindow,
  PciPortIo,
  PciRoot,
  Pflash,
  PflashFile,
  PL011_LENGTH,
  Pl011,
  PRIMECELL_RTC_LENGTH,
  PrimeCellRtc,
  PvpanicDevice,
  PvpanicFunction,
  type TimedDevice,
  UART16550_LENGTH,
  Uart16550,
} from '../../src/index.ts';
import { pciRootLayout } from '../../src/pci/root.ts';
import { CheckedLine } from '../checked-line.ts';

const FLASH_SIZE = 0x4000;
export const FLASH_BLOCK = 0x1000;
export const PVPANIC_BAR = 0x4000_0000;
const PVPANIC = 1 << 3;

/** Where devices are, on one bus for ports and memory. */
export const RANGES = {
  i8042: { start: I8042_PORT, length: I8042_LENGTH },
  cmos: { start: CMOS_RTC_PORT, length: CMOS_RTC_LENGTH },
  uart: { start: 0x3f8, length: UART16550_LENGTH },
  debugcon: { start: DEBUGCON_PORT, length: DEBUGCON_LENGTH },
  fwCfg: { start: FW_CFG_PORT, length: FW_CFG_LENGTH.ports },
  acpiPm: { start: 0x600, length: ACPI_PM_LENGTH },
  pciPorts: { start: 0xcf8, length: PCI_PORT_IO_LENGTH },
  pl011: { start: 0x0900_0000, length: PL011_LENGTH },
  pl030: { start: 0x0901_0000, length: PRIMECELL_RTC_LENGTH },
  flash: { start: 0x0a00_0000, length: FLASH_SIZE },
  ecam: { start: 0x3000_0000, length: 0x10_0000 },
  cam: { start: 0x3100_0000, length: 0x1_0000 },
  window: { start: PVPANIC_BAR, length: 0x100_0000 },
} as const;
export type RangeName = keyof typeof RANGES;

/** The devices of a machine that are no virtio devices, with time that stands still until a program moves it. */
export class PlatformMachine implements Disposable {
  readonly bus = new Bus();
  readonly output = ByteRing.create(4096);
  readonly input = ByteRing.create(1024);
  readonly power: AcpiPm;
  readonly clocks: readonly TimedDevice[];
  /** How often the guest asked for a reset, to be turned off or to sleep. */
  requests = 0;
  #now = Date.UTC(2024, 1, 28, 23, 59, 58);
  readonly #flash: Flash;
  readonly #pvpanic = new PvpanicDevice();

  constructor() {
    const now = () => this.#now;
    const count = () => this.requests++;
    const { output, input } = this;
    const line = (): InterruptLine => new CheckedLine();
    this.#flash = new Flash();
    this.power = new AcpiPm(describeAcpiPm({ interrupt: 1 }), line(), { powerOff: count, suspend: count });
    const cmos = new CmosRtc(
      describeCmosRtc({ interrupt: 2, memory: { low: 2 ** 30, high: 2 ** 33 } }),
      line(),
      {
        now,
        onAlarm: () => this.power.raiseRtcAlarm(),
      },
    );
    const pl030 = new PrimeCellRtc(describePrimeCellRtc({ part: 'pl030', interrupt: 3 }), line(), { now });
    this.clocks = [cmos, pl030];
    this.#pvpanic.space.setBarAddress(0, PVPANIC_BAR);
    const address = { bus: 0, device: 1, function: 0 };
    const { space, state } = this.#pvpanic.descriptor(address);
    const pvpanic = new PvpanicFunction(this.#pvpanic.space, state);
    if (space !== this.#pvpanic.space.state) throw new Error('pvpanic has two configuration spaces');
    const pci = new PciBus();
    pci.insert(PVPANIC, pvpanic);
    const root = new PciRoot(new SharedArrayBuffer(pciRootLayout.size), pci, count);
    const devices: Readonly<Record<RangeName, BusDevice>> = {
      i8042: new I8042(count),
      cmos,
      uart: new Uart16550(describeUart16550({ output, input, interrupt: 4 }), line()),
      debugcon: new Debugcon(describeDebugcon({ output })),
      fwCfg: new FwCfg(
        describeFwCfg({
          registers: 'ports',
          files: [{ name: 'opt/test', data: new Uint8Array(100).fill(7) }],
        }),
        GuestMemory.create({ regions: [{ base: 0, size: 0x1_0000 }], backing: 'anonymous' }),
      ),
      acpiPm: this.power,
      pciPorts: new PciPortIo(root, count),
      pl011: new Pl011(describePl011({ output, input, interrupt: 5 }), line()),
      pl030,
      flash: new Pflash(this.#flash.device.describe({ blockSize: FLASH_BLOCK, bankWidth: 1 })),
      ecam: new PciMemoryConfig(root, 'ecam'),
      cam: new PciMemoryConfig(root, 'cam'),
      window: new PciMemoryWindow(root, RANGES.window.start),
    };
    for (const name of Object.keys(RANGES) as RangeName[]) {
      this.bus.insert(RANGES[name].start, RANGES[name].length, devices[name]);
    }
  }

  /** Lets time pass. Negative: the host's clock is set back. */
  pass(milliseconds: number): void {
    this.#now += milliseconds;
    for (const clock of this.clocks) {
      clock.nextDeadline();
      clock.tick();
    }
  }

  /** Takes all output, so that no write waits for room. */
  drain(): string {
    let text = '';
    for (let bytes = this.output.peek(); bytes.length > 0; bytes = this.output.peek()) {
      text += Buffer.from(bytes).toString('latin1');
      this.output.consume(bytes.length);
    }
    return text;
  }

  [Symbol.dispose](): void {
    this.#flash[Symbol.dispose]();
    this.#pvpanic[Symbol.dispose]();
    this.output.close();
    this.input.close();
  }
}

/** Flash memory in a file without a name. */
class Flash implements Disposable {
  readonly device: PflashFile;

  constructor() {
    const folder = mkdtempSync(join(tmpdir(), 'tsvmm-flash-'));
    try {
      const path = join(folder, 'flash');
      const file = openSync(path, 'w');
      ftruncateSync(file, FLASH_SIZE);
      closeSync(file);
      this.device = PflashFile.open(path);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  [Symbol.dispose](): void {
    this.device[Symbol.dispose]();
  }
}
