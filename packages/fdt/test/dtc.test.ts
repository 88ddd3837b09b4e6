import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { DeviceTree, parseFdt, toBytes, toDts } from '../src/index.ts';
import { machine } from './machine.ts';

/** Runs dtc, which must have nothing to say. */
function dtc(
  from: 'dts' | 'dtb',
  to: 'dts' | 'dtb',
  input: Uint8Array | string,
  ...options: string[]
): Buffer {
  const { status, stdout, stderr } = spawnSync('dtc', ['-I', from, '-O', to, ...options], { input });
  expect(stderr.toString()).toBe('');
  expect(status).toBe(0);
  return stdout;
}

test('dtc reads what was written, without a warning, and writes the same tree', () => {
  const blob = toBytes(machine());
  const again = dtc('dtb', 'dtb', blob);
  expect(toBytes(parseFdt(again))).toEqual(blob);
  const source = dtc('dtb', 'dts', blob).toString();
  expect(source).toContain('interrupts-extended = <0x01 0x0b 0x01 0x09>;');
  expect(source).toContain('stdout-path = "/soc/serial@10000000";');
  expect(source).toContain('reg = <0x00 0x80000000 0x100 0x00>;');
  expect(source).toContain('/memreserve/\t0x0000000080000000 0x0000000000001000;');
});

test('dtc compiles what was printed to the same tree', () => {
  const tree = machine();
  // In source, dtc would rather see labels than phandles.
  const compiled = dtc('dts', 'dtb', toDts(tree), '-W', 'no-interrupts_extended_property');
  expect(toBytes(parseFdt(compiled))).toEqual(toBytes(tree));
});

test('what dtc compiles is read', () => {
  const source = `/dts-v1/;
    /memreserve/ 0x10 0x20;
    / {
      #address-cells = <1>;
      #size-cells = <1>;
      aliases { s = &s; };
      s: dev@10 { reg = <0x10 1>; empty; text = "a", "b\\n"; mixed = <&s 2>, [01 02 03]; big = /bits/ 64 <0x123456789abcdef0>; };
    };`;
  const tree = parseFdt(dtc('dts', 'dtb', source, '-@', '-b', '3'));
  const dev = tree.find('/dev@10');
  expect(tree.bootCpuId).toBe(3);
  expect(tree.reservations).toEqual([{ address: 0x10n, size: 0x20n }]);
  expect(tree.root.children.get('aliases')?.getStrings('s')).toEqual(['/dev@10']);
  expect(tree.find('/__symbols__')?.getStrings('s')).toEqual(['/dev@10']);
  expect(dev?.getU32s('reg')).toEqual([0x10, 1]);
  expect(dev?.properties.get('empty')).toEqual(new Uint8Array());
  expect(dev?.getStrings('text')).toEqual(['a', 'b\n']);
  expect(dev?.properties.get('mixed')).toEqual(Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3));
  expect(dev?.getU64s('big')).toEqual([0x1234_5678_9abc_def0n]);
  expect(dev?.phandle).toBe(1);
  // The next node that needs a phandle gets one of its own.
  expect(tree.root.node('other').phandle).toBe(2);
  expect(toBytes(parseFdt(dtc('dts', 'dtb', toDts(tree), '-b', '3')))).toEqual(toBytes(tree));
});

test('version 16, which does not give the size of the structure, is read', () => {
  const blob = toBytes(machine());
  expect(toBytes(parseFdt(dtc('dtb', 'dtb', blob, '-V', '16')))).toEqual(blob);
});

test('padding behind the tree and space inside it are ignored', () => {
  const blob = toBytes(machine());
  const padded = dtc('dtb', 'dtb', blob, '-p', '4096');
  expect(toBytes(parseFdt(Buffer.concat([padded, new Uint8Array(99).fill(7)])))).toEqual(blob);
});

test('an empty tree is one', () => {
  expect(dtc('dtb', 'dts', toBytes(new DeviceTree())).toString()).toBe('/dts-v1/;\n\n/ {\n};\n');
});
