import {
  chmodSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { scanDirectory } from '../src/index.ts';
import { complaints, debugfs, extract, Folder, makeImage, python, run } from './support/tools.ts';

/** A tree with what a user can make, and what is hard about it. */
function makeTree(root: string): void {
  mkdirSync(join(root, 'usr/bin'), { recursive: true });
  writeFileSync(join(root, 'usr/bin/tool'), '#!/bin/sh\n', { mode: 0o755 });
  linkSync(join(root, 'usr/bin/tool'), join(root, 'usr/bin/link'));
  symlinkSync('usr/bin', join(root, 'bin'));
  symlinkSync('x'.repeat(200), join(root, 'long'));
  writeFileSync(join(root, 'sparse'), 'start');
  truncateSync(join(root, 'sparse'), 2 ** 26);
  writeFileSync(join(root, 'data'), Buffer.alloc(300_000, 'abc'));
  mkdirSync(join(root, 'private'));
  chmodSync(join(root, 'private'), 0o1700);
  lutimesSync(join(root, 'data'), 0, 1_234_567_890.5);
  python(
    `
import os, sys
root = sys.argv[1].encode()
os.mkfifo(root + b'/fifo')
open(root + b'/\\xff\\xfe not utf-8', 'w').write('odd')
os.setxattr(root + b'/data', 'user.note', b'kept')
for i in range(300): open(root + b'/usr/bin/%d' % i, 'w').write('x' * (i * 40))
`,
    root,
  );
}

test.each(['ext4', 'ext2'] as const)('a directory and the %s image of it are alike', async (type) => {
  using folder = new Folder();
  const [root, image, out] = [folder.file('root'), folder.file('image'), folder.file('out')];
  makeTree(root);
  mkdirSync(out);
  await makeImage(image, () => scanDirectory(root), { type });
  expect(complaints(image)).toBe('');
  extract(image, out);
  run('rmdir', [`${out}/lost+found`]);
  // Names, types, contents, permissions, owners and times; GNU find reads both.
  // FIFOs are not copied by debugfs, which has to say what they are.
  expect(debugfs(image, 'stat fifo')).toContain('Type: FIFO');
  run('diff', ['--recursive', '--no-dereference', '--exclude=fifo', root, out]);
  const list = (path: string) =>
    run('sh', ['-c', 'cd "$1" && find . -type f -printf "%P %M %U %G %s %Ts\\n" | sort', '-', path]);
  expect(list(out)).toBe(list(root));
  expect(debugfs(image, 'stat usr/bin/tool')).toMatch(/Links: 2 /);
  expect(debugfs(image, 'stat private')).toMatch(/Mode: +01700/);
  expect(debugfs(image, 'stat data')).toContain('mtime: 0x499602d2:77359400');
  expect(debugfs(image, 'ea_list data')).toContain('user.note (4) = "kept"');
  expect(Number(/Blockcount: (\d+)/.exec(debugfs(image, 'stat sparse'))?.[1])).toBe(8);
});

test('what cannot be read is named', () => {
  using folder = new Folder();
  expect(() => [...scanDirectory(folder.file('none'))]).toThrow(
    expect.objectContaining({ code: 'UNREADABLE', message: expect.stringContaining('ENOENT') }),
  );
});

test('a file is no directory, and a link to a directory is', () => {
  using folder = new Folder();
  writeFileSync(folder.file('file'), '');
  mkdirSync(folder.file('directory/below'), { recursive: true });
  symlinkSync('directory', folder.file('link'));
  expect(() => [...scanDirectory(folder.file('file'))]).toThrow(
    expect.objectContaining({ code: 'NOT_A_DIRECTORY', path: folder.file('file') }),
  );
  const paths = [...scanDirectory(folder.file('link'))].map(({ path }) => Buffer.from(path).toString());
  expect(paths).toEqual(['', 'below']);
});

test('a file that shrinks while it is read is an error', () => {
  using folder = new Folder();
  writeFileSync(folder.file('file'), Buffer.alloc(100, 1));
  const entry = [...scanDirectory(folder.path)].find(({ type }) => type === 'file');
  truncateSync(folder.file('file'), 50);
  expect(() => entry?.type === 'file' && [...(entry.content() as Iterable<unknown>)]).toThrow(
    expect.objectContaining({ code: 'BAD_CONTENT', path: 'file' }),
  );
});

test('an owner is given to everything', () => {
  using folder = new Folder();
  writeFileSync(folder.file('file'), '');
  for (const entry of scanDirectory(folder.path, { owner: { uid: 5, gid: 6 } })) {
    expect(entry).toMatchObject({ uid: 5, gid: 6 });
  }
});
