import { readFileSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { GuestImageError } from '../src/errors.ts';
import { readModuleInfo } from '../src/modinfo.ts';
import { stripModule } from '../src/strip.ts';
import { program } from './support/program.ts';
import { TemporaryDirectory } from './support/temporary.ts';

/** A relocatable object with a .modinfo section of these strings, made by the RISC-V assembler. */
function assemble(entries: readonly string[]): Buffer {
  using directory = new TemporaryDirectory();
  const lines = entries.map((entry) => `.asciz ${JSON.stringify(entry)}`);
  const source = ['.text', 'f: la a0, f', '.section .modinfo, "a"', ...lines, ''].join('\n');
  writeFileSync(directory.join('module.s'), source);
  program('riscv64-linux-gnu-gcc', ['-c', '-o', directory.join('module.ko'), directory.join('module.s')]);
  return readFileSync(directory.join('module.ko'));
}

test('reads dependencies, soft dependencies and aliases of an object', () => {
  const object = assemble([
    'license=GPL',
    'softdep=pre: crypto-crc32c other post: later',
    'alias=fs-ext4',
    'alias=virtio:d00000002v*',
    'depends=jbd2,mbcache',
    'name=ext4',
    'no value',
  ]);
  expect(readModuleInfo(object)).toEqual({
    depends: ['jbd2', 'mbcache'],
    softDepends: ['crypto-crc32c', 'other'],
    aliases: ['fs-ext4', 'virtio:d00000002v*'],
  });
});

test('an empty list of dependencies has no members', () => {
  expect(readModuleInfo(assemble(['depends=', 'name=virtio_blk'])).depends).toEqual([]);
});

test('an object without the section is refused', () => {
  const object = assemble(['name=x']);
  object.write('.notinfo', object.indexOf('.modinfo'), 'latin1');
  expect(() => readModuleInfo(object)).toThrow(/no \.modinfo section/);
});

test('damaged objects are refused with BAD_MODULE or read, never anything else', () => {
  const object = assemble(['name=x', 'depends=a,b']);
  const damage = fc.record({
    at: fc.nat(object.length - 1),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 16 }),
    length: fc.nat(object.length),
    cuts: fc.boolean(),
  });
  fc.assert(
    fc.property(damage, ({ at, bytes, length, cuts }) => {
      const damaged = Uint8Array.from(object);
      damaged.set(bytes.subarray(0, damaged.length - at), at);
      const file = cuts ? damaged.subarray(0, length) : damaged;
      for (const read of [readModuleInfo, stripModule]) {
        try {
          read(file);
        } catch (error) {
          expect(error).toBeInstanceOf(GuestImageError);
          expect(error).toHaveProperty('code', 'BAD_MODULE');
        }
      }
    }),
    { numRuns: 3000 },
  );
});
