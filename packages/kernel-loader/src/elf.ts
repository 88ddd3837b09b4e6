import { KernelImageError } from './errors.ts';
import { checkRange, copyToGuest, type KernelMemory } from './memory.ts';
import type { Architecture, LoadedKernel, LoadOptions } from './options.ts';
import { pvhEntry } from './pvh.ts';
import { type ByteSource, readFully, truncated } from './source.ts';

// The ELF header and program headers of the System V ABI; names are those of its structures.

const ELFCLASS32 = 1;
const ELFDATA2LSB = 1;
const ET_EXEC = 2;
const ET_DYN = 3;
const PT_LOAD = 1;
const PT_NOTE = 4;
/** More program headers than any kernel has; a hostile file could claim 65535. */
const MAX_PROGRAM_HEADERS = 128;

/** e_machine by architecture, 64 bits; x86_64 is also entered in 32-bit mode. */
const MACHINES: Readonly<Record<Architecture, readonly number[]>> = {
  riscv64: [243],
  aarch64: [183],
  x86_64: [62, 3],
};
/** The architecture of an ELF file. @throws KernelImageError WRONG_ARCHITECTURE for one that no machine here has */
export function elfArchitecture(head: Uint8Array): Architecture {
  const data = new DataView(head.buffer, head.byteOffset, head.length);
  const machine = head.length < 20 ? 0 : data.getUint16(18, head[5] === ELFDATA2LSB);
  for (const [architecture, machines] of Object.entries(MACHINES)) {
    if (machines.includes(machine)) return architecture as Architecture;
  }
  const name = MACHINE_NAMES[machine] ?? `machine ${machine}`;
  const message = `The kernel is for ${name}: give one for ${Object.keys(MACHINES).join(', ')}.`;
  throw new KernelImageError('WRONG_ARCHITECTURE', message);
}

const MACHINE_NAMES: Readonly<Record<number, string>> = {
  3: 'i386',
  8: 'MIPS',
  20: 'PowerPC',
  21: 'PowerPC64',
  22: 'S390',
  40: 'ARM',
  62: 'x86_64',
  183: 'aarch64',
  243: 'RISC-V',
  258: 'LoongArch',
};

/** A program header, with values above 2^53 still exact. */
export interface Segment {
  readonly type: number;
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly vaddr: bigint;
  /** Guest-physical, with the caller's offset. */
  readonly address: number;
  readonly fileSize: number;
  readonly memorySize: number;
}

export const isElf = (head: Uint8Array) => String.fromCharCode(...head.subarray(0, 4)) === '\x7fELF';

const malformed = (what: string) =>
  new KernelImageError('NOT_A_KERNEL', `The ELF file is no kernel that can be booted: ${what}.`);

export async function loadElf(
  source: ByteSource,
  head: Uint8Array,
  memory: KernelMemory,
  options: LoadOptions,
): Promise<Omit<LoadedKernel, 'compression'>> {
  const header = readHeader(head, source.size, options.architecture);
  const segments = await readSegments(source, header, options.elfOffset ?? 0);
  const loads = segments
    .filter(({ type, memorySize }) => type === PT_LOAD && memorySize > 0)
    .sort((a, b) => a.address - b.address);
  const [first] = loads;
  if (first === undefined) throw malformed('it has nothing to load');

  let end = 0;
  for (const { address, offset, fileSize, memorySize } of loads) {
    if (fileSize > memorySize) throw malformed('a segment has more bytes in the file than in memory');
    if (offset + fileSize > source.size) throw truncated(offset + fileSize, source.size);
    checkRange(memory, address, memorySize);
    if (address < end) throw malformed('its segments overlap');
    end = address + memorySize;
  }
  const entry = physicalEntry(loads, header.entry);
  const pvh = await pvhEntry(
    source,
    segments.filter(({ type }) => type === PT_NOTE),
  );

  if (pvh !== undefined && !isInside(loads, pvh)) throw malformed('its PVH entry is in none of its segments');

  for (const { address, offset, fileSize, memorySize } of loads) {
    await copyToGuest(source, offset, fileSize, memory, address);
    memory.fill(address + fileSize, memorySize - fileSize, 0);
  }
  return {
    format: header.is32 ? 'elf32' : 'elf64',
    start: first.address,
    end,
    entry,
    ...(pvh !== undefined && { pvhEntry: pvh }),
  };
}

interface Header {
  readonly is32: boolean;
  readonly entry: bigint;
  /** Where the program headers are, how long each is, and how many. */
  readonly phoff: number;
  readonly phentsize: number;
  readonly phnum: number;
}

function readHeader(head: Uint8Array, fileSize: number, architecture: Architecture): Header {
  const data = new DataView(head.buffer, head.byteOffset, head.length);
  if (head.length < 64) throw truncated(64, fileSize);
  const is32 = data.getUint8(4) === ELFCLASS32;
  const isLittleEndian = data.getUint8(5) === ELFDATA2LSB;
  const machine = data.getUint16(18, isLittleEndian);
  const fits =
    isLittleEndian && MACHINES[architecture].includes(machine) && (!is32 || architecture === 'x86_64');
  if (!fits) {
    const bits = is32 ? 32 : 64;
    const order = isLittleEndian ? 'little' : 'big';
    const name = MACHINE_NAMES[machine] ?? `machine ${machine}`;
    const message = `The kernel is for ${name} (${bits}-bit, ${order}-endian); this machine is ${architecture}: give a kernel built for it.`;
    throw new KernelImageError('WRONG_ARCHITECTURE', message);
  }
  const type = data.getUint16(16, true);
  if (type !== ET_EXEC && type !== ET_DYN) throw malformed('it is an object file or a core dump');
  const [phoff, sizes] = is32 ? [data.getUint32(28, true), 42] : [Number(data.getBigUint64(32, true)), 54];
  const phentsize = data.getUint16(sizes, true);
  const phnum = data.getUint16(sizes + 2, true);
  if (phentsize < (is32 ? 32 : 56) || phentsize > 256)
    throw malformed('its program headers have a wrong size');
  if (phnum > MAX_PROGRAM_HEADERS) throw malformed(`it has ${phnum} program headers`);
  const entry = is32 ? BigInt(data.getUint32(24, true)) : data.getBigUint64(24, true);
  return { is32, entry, phoff, phentsize, phnum };
}

async function readSegments(source: ByteSource, header: Header, elfOffset: number): Promise<Segment[]> {
  const { is32, phoff, phentsize, phnum } = header;
  if (phoff + phnum * phentsize > source.size) throw truncated(phoff + phnum * phentsize, source.size);
  const table = new Uint8Array(phnum * phentsize);
  await readFully(source, phoff, table);
  const data = new DataView(table.buffer);
  return Array.from({ length: phnum }, (_, index) => {
    const at = index * phentsize;
    const word = (offset: number) => data.getUint32(at + offset, true);
    const long = (offset: number) => Number(data.getBigUint64(at + offset, true));
    return is32
      ? {
          type: word(0),
          offset: word(4),
          vaddr: BigInt(word(8)),
          address: word(12) + elfOffset,
          fileSize: word(16),
          memorySize: word(20),
        }
      : {
          type: word(0),
          offset: long(8),
          vaddr: data.getBigUint64(at + 16, true),
          address: long(24) + elfOffset,
          fileSize: long(32),
          memorySize: long(40),
        };
  });
}

/** Linux gives its entry as a virtual address for some architectures and as a physical one for others. */
function physicalEntry(segments: readonly Segment[], entry: bigint): number {
  for (const { vaddr, address, memorySize } of segments) {
    const within = entry - vaddr;
    if (within >= 0n && within < BigInt(memorySize)) return address + Number(within);
  }
  const physical = Number(entry);
  if (!isInside(segments, physical)) {
    throw malformed(`its entry, 0x${entry.toString(16)}, is in none of its segments`);
  }
  return physical;
}

function isInside(segments: readonly Segment[], physical: number): boolean {
  return segments.some(({ address, memorySize }) => physical >= address && physical < address + memorySize);
}
