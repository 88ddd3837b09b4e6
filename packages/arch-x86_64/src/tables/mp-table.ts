import { MachineError, type PciInterrupt } from '@tsvmm/arch';
import { bytes, type Fields, type Layout, struct, u8, u16, u32 } from '@tsvmm/struct';
import { type MemoryImage, sumOf } from './memory-image.ts';

// Intel's MultiProcessor Specification 1.4: processors and interrupts, for systems that do not read ACPI.

/** Section 4.1. */
const floatingPointer = struct(
  {
    signature: bytes(4),
    physicalAddress: u32,
    length: u8,
    specRev: u8,
    checksum: u8,
    features: bytes(5),
  },
  { name: 'MP floating pointer structure', packed: true },
);

/** Section 4.2. */
const configurationHeader = struct(
  {
    signature: bytes(4),
    baseTableLength: u16,
    specRev: u8,
    checksum: u8,
    oemId: bytes(8),
    productId: bytes(12),
    oemTablePointer: u32,
    oemTableSize: u16,
    entryCount: u16,
    localApicAddress: u32,
    extendedTableLength: u16,
    extendedTableChecksum: u8,
    reserved: u8,
  },
  { name: 'MP configuration table header', packed: true },
);

/** Section 4.3.1. */
const processor = struct(
  {
    type: u8,
    localApicId: u8,
    localApicVersion: u8,
    flags: u8,
    signature: u32,
    featureFlags: u32,
    reserved: bytes(8),
  },
  { name: 'processor entry', packed: true },
);

/** Section 4.3.2. */
const bus = struct({ type: u8, busId: u8, busType: bytes(6) }, { name: 'bus entry', packed: true });

/** Section 4.3.3. */
const ioApic = struct(
  { type: u8, id: u8, version: u8, flags: u8, address: u32 },
  { name: 'I/O APIC entry', packed: true },
);

/** Sections 4.3.4 and 4.3.5: an I/O or a local interrupt. */
const interrupt = struct(
  {
    type: u8,
    interruptType: u8,
    flags: u16,
    sourceBusId: u8,
    sourceBusIrq: u8,
    destinationApicId: u8,
    destinationInput: u8,
  },
  { name: 'interrupt entry', packed: true },
);

const EntryType = { processor: 0, bus: 1, ioApic: 2, ioInterrupt: 3, localInterrupt: 4 } as const;
const InterruptType = { int: 0, nmi: 1, extInt: 3 } as const;

const SPEC_REV_1_4 = 4;
/** Of an integrated APIC. */
const APIC_VERSION = 0x14;
const ENABLED = 1 << 0;
const BOOT_PROCESSOR = 1 << 1;
/** Family 6; processors with CPUID say the rest themselves. */
const PROCESSOR_SIGNATURE = 0x600;
const PROCESSOR_FPU_AND_APIC = 0x201;

/** Interrupt flags: as the bus has it, or level-triggered and active high. */
const CONFORMS = 0;
const LEVEL_ACTIVE_HIGH = 0b1101;

const PCI_BUS = 0;
const ISA_BUS = 1;
const ISA_INTERRUPTS = 16;
const ALL_LOCAL_APICS = 0xff;
/** 255 means all of them. */
const MAXIMUM_APIC_ID = 254;

export interface MpTableOptions {
  /** Where the configuration table goes, and how many bytes there are from there on. */
  readonly address: number;
  readonly size: number;
  /** Where the floating pointer goes: the last 16 bytes of conventional memory is one of the places. */
  readonly floatingPointerAddress: number;
  readonly vcpuCount: number;
  readonly localApicAddress: number;
  readonly ioApicAddress: number;
  /** The interrupt of ACPI events. */
  readonly sciSource: number;
  readonly pciInterrupts: readonly PciInterrupt[];
}

/**
 * Makes the configuration table and the floating pointer to it.
 *
 * @throws MachineError MEMORY_TOO_SMALL when there are too many processors and interrupts
 */
export function mpTable(options: MpTableOptions): readonly [table: MemoryImage, pointer: MemoryImage] {
  const { address, size, floatingPointerAddress, vcpuCount, sciSource, pciInterrupts } = options;
  const entries = new Entries();
  for (let id = 0; id < vcpuCount; id++) {
    entries.add(processor, {
      type: EntryType.processor,
      localApicId: id,
      localApicVersion: APIC_VERSION,
      flags: ENABLED | (id === 0 ? BOOT_PROCESSOR : 0),
      signature: PROCESSOR_SIGNATURE,
      featureFlags: PROCESSOR_FPU_AND_APIC,
    });
  }
  entries.addBus(PCI_BUS, 'PCI   ');
  entries.addBus(ISA_BUS, 'ISA   ');
  // crosvm's id, as long as it is one.
  const ioApicId = Math.min(vcpuCount + 1, MAXIMUM_APIC_ID);
  entries.add(ioApic, {
    type: EntryType.ioApic,
    id: ioApicId,
    version: APIC_VERSION,
    flags: ENABLED,
    address: options.ioApicAddress,
  });

  const ioInterrupt = (flags: number, sourceBusId: number, sourceBusIrq: number, input: number) => {
    entries.add(interrupt, {
      type: EntryType.ioInterrupt,
      interruptType: InterruptType.int,
      flags,
      sourceBusId,
      sourceBusIrq,
      destinationApicId: ioApicId,
      destinationInput: input,
    });
  };
  const pciSources = new Set(pciInterrupts.map(({ source }) => source));
  for (let irq = 0; irq < ISA_INTERRUPTS; irq++) {
    if (!pciSources.has(irq))
      ioInterrupt(irq === sciSource ? LEVEL_ACTIVE_HIGH : CONFORMS, ISA_BUS, irq, irq);
  }
  for (const { device, pin, source } of pciInterrupts) {
    ioInterrupt(CONFORMS, PCI_BUS, (device << 2) | (pin - 1), source);
  }
  entries.addLocalInterrupt(InterruptType.extInt, 0);
  entries.addLocalInterrupt(InterruptType.nmi, 1);

  return [
    { address, bytes: configurationTable(entries, options, size) },
    { address: floatingPointerAddress, bytes: pointerTo(address) },
  ];
}

/** Entries of the configuration table, in the order in which they are added: by type. */
class Entries {
  readonly #parts: Uint8Array[] = [];
  #size = 0;

  get count(): number {
    return this.#parts.length;
  }

  get size(): number {
    return this.#size;
  }

  add<F extends Fields>(layout: Layout<F>, values: Record<string, number>): Uint8Array {
    const entry = new Uint8Array(layout.size);
    Object.assign(layout.attach(entry.buffer), values);
    this.#parts.push(entry);
    this.#size += entry.length;
    return entry;
  }

  addBus(busId: number, name: string): void {
    const entry = this.add(bus, { type: EntryType.bus, busId });
    entry.set(encoder.encode(name), bus.offsets.busType);
  }

  addLocalInterrupt(interruptType: number, input: number): void {
    this.add(interrupt, {
      type: EntryType.localInterrupt,
      interruptType,
      flags: CONFORMS,
      sourceBusId: ISA_BUS,
      sourceBusIrq: 0,
      destinationApicId: ALL_LOCAL_APICS,
      destinationInput: input,
    });
  }

  writeTo(target: Uint8Array): void {
    let offset = 0;
    for (const part of this.#parts) {
      target.set(part, offset);
      offset += part.length;
    }
  }
}

const encoder = new TextEncoder();

function configurationTable(
  entries: Entries,
  { localApicAddress }: MpTableOptions,
  size: number,
): Uint8Array<ArrayBuffer> {
  const length = configurationHeader.size + entries.size;
  if (length > size) {
    throw new MachineError(
      'MEMORY_TOO_SMALL',
      `the MP table has ${length} bytes, and there is room for ${size}: use fewer CPUs or PCI devices`,
    );
  }
  const table = new Uint8Array(length);
  entries.writeTo(table.subarray(configurationHeader.size));
  const header = configurationHeader.attach(table.buffer);
  header.signature.set(encoder.encode('PCMP'));
  header.baseTableLength = length;
  header.specRev = SPEC_REV_1_4;
  header.oemId.set(encoder.encode('TSVMM   '));
  header.productId.set(encoder.encode('TSVMM       '));
  header.entryCount = entries.count;
  header.localApicAddress = localApicAddress;
  header.checksum = -sumOf(table) & 0xff;
  return table;
}

function pointerTo(table: number): Uint8Array<ArrayBuffer> {
  const pointer = new Uint8Array(floatingPointer.size);
  const fields = floatingPointer.attach(pointer.buffer);
  fields.signature.set(encoder.encode('_MP_'));
  fields.physicalAddress = table;
  fields.length = floatingPointer.size / 16;
  fields.specRev = SPEC_REV_1_4;
  fields.checksum = -sumOf(pointer) & 0xff;
  return pointer;
}
