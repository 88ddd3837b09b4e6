import { ByteWriter } from '@tsvmm/wasm-emitter';

/** A hint about the branch instruction at a position of a function's code. */
export interface BranchHint {
  /** Bytes from the start of the code, after the declarations of locals. */
  readonly position: number;
  readonly likely: boolean;
}

const CODE_SECTION = 10;
const HEADER_SIZE = 8;

/**
 * Adds branch hints to a module (branch hinting proposal: custom section `metadata.code.branch_hint`, before the code): the
 * engine moves what is unlikely out of the way.
 *
 * @param importedFunctions how many functions the module imports: indices count them first.
 * @param hints of each defined function, in order, by ascending position.
 */
export function addBranchHints(
  module: Uint8Array,
  importedFunctions: number,
  hints: readonly (readonly BranchHint[])[],
): Uint8Array<ArrayBuffer> {
  const reader = { bytes: module, position: HEADER_SIZE };
  let codeSection = HEADER_SIZE;
  for (;;) {
    codeSection = reader.position;
    const id = module[reader.position++];
    const size = readUnsigned(reader);
    if (id === CODE_SECTION) {
      break;
    }
    reader.position += size;
  }
  const section = new ByteWriter(4096);
  section.name('metadata.code.branch_hint');
  section.unsigned(hints.filter((list) => list.length > 0).length);
  readUnsigned(reader);
  hints.forEach((list, index) => {
    const size = readUnsigned(reader);
    const start = reader.position;
    if (list.length > 0) {
      writeFunctionHints(section, importedFunctions + index, list, skipLocals(reader) - start);
    }
    reader.position = start + size;
  });

  const result = new ByteWriter(module.length + section.length + 16);
  result.bytes(module.subarray(0, codeSection));
  result.byte(0);
  result.vector(section.view());
  result.bytes(module.subarray(codeSection));
  return result.toBytes();
}

function writeFunctionHints(
  section: ByteWriter,
  functionIndex: number,
  hints: readonly BranchHint[],
  codeStart: number,
): void {
  section.unsigned(functionIndex);
  section.unsigned(hints.length);
  for (const { position, likely } of hints) {
    section.unsigned(codeStart + position);
    section.byte(1);
    section.byte(likely ? 1 : 0);
  }
}

interface Reader {
  readonly bytes: Uint8Array;
  position: number;
}

/** Moves behind the declarations of locals: runs of a count and a type. */
function skipLocals(reader: Reader): number {
  for (let runs = readUnsigned(reader); runs > 0; runs--) {
    readUnsigned(reader);
    reader.position++;
  }
  return reader.position;
}

function readUnsigned(reader: Reader): number {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = reader.bytes[reader.position++] ?? 0;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      return value >>> 0;
    }
  }
}
