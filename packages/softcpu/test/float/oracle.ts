import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Records of one operation under one rounding mode. */
export interface Block {
  readonly operation: string;
  readonly frm: number;
  /** Three doublewords a record: see {@link RECORD}. */
  readonly operands: BigUint64Array<ArrayBuffer>;
}

/** Doublewords of a record of operands. */
export const RECORD = 3;
/** What stands for the flags of an illegal instruction. */
export const ILLEGAL = 0x100n;

/** Builds `oracle.c`; the directory is the caller's to remove. */
export function buildOracle(): { readonly directory: string; readonly program: string } {
  const directory = mkdtempSync(join(tmpdir(), 'float-oracle-'));
  const program = join(directory, 'oracle');
  const source = new URL('./oracle.c', import.meta.url).pathname;
  execFileSync('riscv64-linux-gnu-gcc', ['-O2', '-static', '-Wall', '-Werror', '-o', program, source]);
  return { directory, program };
}

/** What QEMU's user-mode emulation computes: for every block, pairs of result and flags. */
export function runOracle(program: string, blocks: readonly Block[]): BigUint64Array[] {
  const parts: Uint8Array[] = [];
  let records = 0;
  for (const { operation, frm, operands } of blocks) {
    const count = operands.length / RECORD;
    const header = new Uint8Array(24);
    new TextEncoder().encodeInto(operation, header);
    new Uint32Array(header.buffer, 16).set([frm, count]);
    parts.push(header, new Uint8Array(operands.buffer, operands.byteOffset, operands.byteLength));
    records += count;
  }
  const { stdout, stderr, status } = spawnSync('qemu-riscv64-static', [program], {
    input: Buffer.concat(parts),
    maxBuffer: records * 16 + 65_536,
  });
  if (status !== 0 || stdout.length !== records * 16) {
    throw new Error(`qemu-riscv64-static failed (${status}): ${stderr}`);
  }
  const all = new BigUint64Array(records * 2);
  new Uint8Array(all.buffer).set(stdout);
  let start = 0;
  return blocks.map(({ operands }) => {
    const end = start + (operands.length / RECORD) * 2;
    const results = all.subarray(start, end);
    start = end;
    return results;
  });
}
