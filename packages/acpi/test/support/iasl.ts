import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';

/** Bytes of a table's header, of which iasl writes the creator and the checksum itself. */
export const HEADER = 36;

/** What iasl has to say of the code in a Notify: its name, such as "Error Disconnect Recover". */
const NOTIFICATION = /(?<=\bNotify \(.*\)) \/\/ .*/g;
const COMPLAINT = /\b(?:warning|error|invalid|unknown|incorrect|illegal)\b/i;

/** The source that iasl makes of a table; it must have nothing to complain about. */
export function disassemble(table: Uint8Array): string {
  using directory = temporaryDirectory();
  writeFileSync(join(directory.path, 'table.dat'), table);
  // -dl: ASL without the operators of ASL+, which do not say which of two ways the AML was written.
  expect(iasl(directory.path, '-dl', 'table.dat')).not.toMatch(COMPLAINT);
  const source = readFileSync(join(directory.path, 'table.dsl'), 'utf8');
  expect(source.replaceAll(NOTIFICATION, '')).not.toMatch(COMPLAINT);
  return source;
}

/** The table that iasl compiles from source, without an error or a warning but those in `allowed`. */
export function compile(source: string, allowed: readonly number[] = []): Uint8Array<ArrayBuffer> {
  using directory = temporaryDirectory();
  writeFileSync(join(directory.path, 'table.dsl'), source);
  // -oa: no optimisations, which would write names and constants another way.
  const ignored = allowed.flatMap((number) => ['-vw', `${number}`]);
  const said = iasl(directory.path, '-oa', '-vr', ...ignored, 'table.dsl');
  expect(said).toContain('0 Errors, 0 Warnings');
  return new Uint8Array(readFileSync(join(directory.path, 'table.aml')));
}

function iasl(cwd: string, ...options: string[]): string {
  const { stdout, stderr } = spawnSync('iasl', options, { cwd, encoding: 'utf8' });
  return stdout + stderr;
}

function temporaryDirectory() {
  const path = mkdtempSync(join(tmpdir(), 'tsvmm-acpi-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}
