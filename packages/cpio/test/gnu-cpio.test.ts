import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cpioArchive, readCpio } from '../src/index.ts';

let directory = '';
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tsvmm-cpio-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

const cpio = (options: string, input: Uint8Array | string, cwd = directory) =>
  execFileSync('cpio', options.split(' '), {
    cwd,
    input,
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
  });

const BYTES = Uint8Array.from({ length: 1001 }, (_, i) => i * 7);

test('cpio lists what the writer wrote', () => {
  const archive = cpioArchive((writer) => {
    writer.directory('dev', { mode: 0o1777 });
    writer.device('dev/console', 'character-device', { major: 5, minor: 1 }, { mode: 0o600 });
    writer.device('dev/vda', 'block-device', { major: 254, minor: 16 });
    writer.file('init', '#!/bin/sh\n', { mode: 0o4755, uid: 1000, gid: 100, mtime: 86400 });
    writer.symlink('bin', 'usr/bin');
    writer.hardLinks(['one', 'two'], 'twin');
    writer.fifo('pipe');
    writer.socket('socket');
    writer.file('deep/er/file', '');
  });
  const lines = cpio('-itvn --quiet', archive).toString().trimEnd().split('\n');
  expect(lines.map((line) => line.replace(/ +/g, ' '))).toEqual([
    'drwxrwxrwt 2 0 0 0 Jan 1 1970 dev',
    'crw------- 1 0 0 5, 1 Jan 1 1970 dev/console',
    'brw-r--r-- 1 0 0 254, 16 Jan 1 1970 dev/vda',
    '-rwsr-xr-x 1 1000 100 10 Jan 2 1970 init',
    'lrwxrwxrwx 1 0 0 7 Jan 1 1970 bin -> usr/bin',
    '-rw-r--r-- 2 0 0 0 Jan 1 1970 one',
    '-rw-r--r-- 2 0 0 4 Jan 1 1970 two',
    'prw-r--r-- 1 0 0 0 Jan 1 1970 pipe',
    'srw-r--r-- 1 0 0 0 Jan 1 1970 socket',
    'drwxr-xr-x 2 0 0 0 Jan 1 1970 deep',
    'drwxr-xr-x 2 0 0 0 Jan 1 1970 deep/er',
    '-rw-r--r-- 1 0 0 0 Jan 1 1970 deep/er/file',
  ]);
});

test('cpio extracts what the writer wrote', () => {
  const target = join(directory, 'extracted');
  mkdirSync(target);
  const archive = cpioArchive((writer) => {
    writer.file('a/b/data', BYTES, { mode: 0o640, mtime: 1234567 });
    writer.symlink('a/link', 'b/data');
    writer.hardLinks(['x', 'a/y', 'z'], BYTES);
  });
  cpio('-idm --quiet', archive, target);
  expect(readFileSync(join(target, 'a/b/data'))).toEqual(Buffer.from(BYTES));
  expect(lstatSync(join(target, 'a/b/data'))).toMatchObject({ mode: 0o100640, mtimeMs: 1234567000 });
  expect(readlinkSync(join(target, 'a/link'))).toBe('b/data');
  expect(readFileSync(join(target, 'x'))).toEqual(Buffer.from(BYTES));
  expect(lstatSync(join(target, 'x')).ino).toBe(lstatSync(join(target, 'z')).ino);
});

describe.each(['newc', 'crc'])('what cpio -H %s wrote', (format) => {
  const source = () => join(directory, `source-${format}`);
  let archive: Buffer;
  beforeAll(() => {
    mkdirSync(join(source(), 'sub'), { recursive: true });
    writeFileSync(join(source(), 'sub/data'), BYTES);
    writeFileSync(join(source(), 'empty'), '');
    chmodSync(join(source(), 'empty'), 0o2750);
    utimesSync(join(source(), 'empty'), 77, 77);
    linkSync(join(source(), 'sub/data'), join(source(), 'twin'));
    symlinkSync('sub/data', join(source(), 'link'));
    execFileSync('mkfifo', [join(source(), 'pipe')]);
    archive = cpio(`-o -H ${format} --quiet`, '.\nsub\nsub/data\ntwin\nempty\nlink\npipe\n', source());
  });

  test('is read', () => {
    const entries = new Map([...readCpio(archive)].map((entry) => [entry.name, entry]));
    expect([...entries.keys()].toSorted()).toEqual(['.', 'empty', 'link', 'pipe', 'sub', 'sub/data', 'twin']);
    for (const [name, entry] of entries) {
      const stat = lstatSync(join(source(), name));
      const { ino, mode, uid, gid, nlink, mtime } = entry;
      expect({ mode, uid, gid, nlink, mtime }, name).toEqual({
        mode: stat.mode & 0o7777,
        uid: stat.uid,
        gid: stat.gid,
        nlink: stat.nlink,
        mtime: Math.floor(stat.mtimeMs / 1000),
      });
      if (name === 'twin') expect(ino).toBe(entries.get('sub/data')?.ino);
    }
    expect(entries.get('pipe')?.type).toBe('fifo');
    expect(entries.get('sub')?.type).toBe('directory');
    expect(entries.get('link')).toMatchObject({ type: 'symlink', data: Buffer.from('sub/data') });
    const linked = [entries.get('twin')?.data, entries.get('sub/data')?.data];
    expect(linked.find((data) => data?.length)).toEqual(Buffer.from(BYTES));
  });

  test('is read from a SharedArrayBuffer without copying the data', () => {
    const shared = new Uint8Array(new SharedArrayBuffer(archive.length));
    shared.set(archive);
    for (const { data } of readCpio(shared)) expect(data.buffer).toBe(shared.buffer);
  });
});

test('archives that cpio wrote are read one after the other', () => {
  writeFileSync(join(directory, 'f'), 'f');
  const one = cpio('-o -H newc --quiet -C 4', 'f\n');
  const two = cpioArchive((writer) => writer.file('g', 'g'));
  const names = [...readCpio(Buffer.concat([new Uint8Array(8), one, two, new Uint8Array(700), one]))];
  expect(names.map(({ name }) => name)).toEqual(['f', 'g', 'f']);
});
