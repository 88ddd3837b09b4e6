import { damaged, readSections, type Section, SectionType } from './elf.ts';

const SYMBOL_BYTES = 24;
const RELA_BYTES = 24;
const SECTION_HEADER_BYTES = 64;
const STB_LOCAL = 0;
const STT_NOTYPE = 0;

/**
 * Takes the assembler's private labels out of a kernel module, as `strip --strip-unneeded` does: local symbols
 * without a type that no relocation refers to. The kernel has no use for them, but reads, hashes and sorts them.
 *
 * RISC-V is where it matters: linker relaxation leaves a label for every instruction that something might have asked
 * about, 97 in 100 symbols, and two thirds of a file. The signature that is appended to a module goes with them
 * (the kernel notes that by the taint E), so a module that would not shrink by half is returned as it is.
 * @throws {GuestImageError} BAD_MODULE for a damaged module
 */
export function stripModule(module: Uint8Array): Uint8Array {
  const sections = readSections(module);
  const symbols = sections.find(({ type }) => type === SectionType.SYMTAB);
  // Kinds of sections that also hold symbol numbers, and which kernel modules do not have.
  const isForeign = ({ type }: Section) =>
    type === SectionType.REL || type === SectionType.GROUP || type === SectionType.SYMTAB_SHNDX;
  if (symbols === undefined || sections.some(isForeign)) return module;
  const strings = sections[symbols.link];
  if (strings?.type !== SectionType.STRTAB) throw damaged('its symbols have no names');

  const relocations = sections.filter(
    ({ type, link }) => type === SectionType.RELA && link === symbols.index,
  );
  const table = keptSymbols(symbols.data, strings.data, relocations);
  if (
    symbols.data.length + strings.data.length - table.symbols.length - table.strings.length <
    module.length / 2
  ) {
    return module;
  }
  const replaced = new Map<Section, Uint8Array>([
    [symbols, table.symbols],
    [strings, table.strings],
    ...relocations.map((section) => [section, renumber(section.data, table.numbers)] as const),
  ]);
  return rewrite(module, sections, replaced, { section: symbols, info: table.firstGlobal });
}

interface SymbolTable {
  readonly symbols: Uint8Array;
  readonly strings: Uint8Array;
  /** The new number of each old symbol; 0 for those that are gone. */
  readonly numbers: Uint32Array;
  /** A symbol table's sh_info: the number of the first symbol that is not local. */
  readonly firstGlobal: number;
}

function keptSymbols(symbols: Uint8Array, strings: Uint8Array, relocations: readonly Section[]): SymbolTable {
  const count = Math.floor(symbols.length / SYMBOL_BYTES);
  const isReferred = new Uint8Array(count);
  for (const { data } of relocations) {
    const view = viewOf(data);
    for (let at = 0; at + RELA_BYTES <= data.length; at += RELA_BYTES) {
      const number = view.getUint32(at + 12, true);
      if (number >= count) throw damaged(`a relocation refers to symbol ${number} of ${count}`);
      isReferred[number] = 1;
    }
  }

  const view = viewOf(symbols);
  const keptNames: Uint8Array[] = [Uint8Array.of(0)];
  const nameOffsets = new Map([[0, 0]]);
  let namesBytes = 1;
  const kept = new Uint8Array(symbols.length);
  const keptView = viewOf(kept);
  const numbers = new Uint32Array(count);
  let keptCount = 0;
  let firstGlobal = 0;
  for (let number = 0; number < count; number++) {
    const at = number * SYMBOL_BYTES;
    const bind = view.getUint8(at + 4) >> 4;
    const type = view.getUint8(at + 4) & 0xf;
    if (number > 0 && bind === STB_LOCAL && type === STT_NOTYPE && !isReferred[number]) continue;
    const nameAt = view.getUint32(at, true);
    let nameOffset = nameOffsets.get(nameAt);
    if (nameOffset === undefined) {
      const end = strings.indexOf(0, nameAt);
      if (end < 0) throw damaged(`the name of symbol ${number} is cut off`);
      nameOffset = namesBytes;
      nameOffsets.set(nameAt, nameOffset);
      keptNames.push(strings.subarray(nameAt, end + 1));
      namesBytes += end + 1 - nameAt;
    }
    kept.set(symbols.subarray(at, at + SYMBOL_BYTES), keptCount * SYMBOL_BYTES);
    keptView.setUint32(keptCount * SYMBOL_BYTES, nameOffset, true);
    numbers[number] = keptCount++;
    if (bind === STB_LOCAL) firstGlobal = keptCount;
  }
  return {
    symbols: kept.subarray(0, keptCount * SYMBOL_BYTES),
    strings: Buffer.concat(keptNames),
    numbers,
    firstGlobal,
  };
}

function renumber(relocations: Uint8Array, numbers: Uint32Array): Uint8Array {
  const renumbered = new Uint8Array(relocations);
  const view = viewOf(renumbered);
  for (let at = 0; at + RELA_BYTES <= renumbered.length; at += RELA_BYTES) {
    view.setUint32(at + 12, numbers[view.getUint32(at + 12, true)] ?? 0, true);
  }
  return renumbered;
}

/** Lays the sections out anew in the order of the file, the section table behind them. */
function rewrite(
  module: Uint8Array,
  sections: readonly Section[],
  replaced: ReadonlyMap<Section, Uint8Array>,
  symbolTable: { section: Section; info: number },
): Uint8Array {
  const oldTable = Number(viewOf(module).getBigUint64(40, true));
  // Copies: the slice of a Buffer would be the module itself.
  const table = new Uint8Array(module.subarray(oldTable, oldTable + sections.length * SECTION_HEADER_BYTES));
  const tableView = viewOf(table);
  const chunks: Uint8Array[] = [module.subarray(0, 64)];
  let offset = 64;
  const put = (data: Uint8Array, alignment: number) => {
    const padding = -offset & (alignment - 1);
    chunks.push(new Uint8Array(padding), data);
    offset += padding + data.length;
    return offset - data.length;
  };
  for (const section of sections.toSorted((a, b) => a.offset - b.offset)) {
    if (section.index === 0) continue;
    const data = replaced.get(section) ?? section.data;
    const at = put(data, powerOfTwo(section.addralign));
    const header = section.index * SECTION_HEADER_BYTES;
    tableView.setBigUint64(header + 24, BigInt(at), true);
    if (section.type !== SectionType.NOBITS) tableView.setBigUint64(header + 32, BigInt(data.length), true);
  }
  tableView.setUint32(symbolTable.section.index * SECTION_HEADER_BYTES + 44, symbolTable.info, true);
  const tableAt = put(table, 8);
  const file = Buffer.concat(chunks);
  file.writeBigUInt64LE(BigInt(tableAt), 40);
  return file;
}

function powerOfTwo(alignment: number): number {
  if (alignment > 4096 || (alignment & (alignment - 1)) !== 0)
    throw damaged(`a section is aligned to ${alignment}`);
  return Math.max(alignment, 1);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
