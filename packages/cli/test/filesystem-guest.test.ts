import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { tsvmm } from './support/cli.ts';

const environment = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
const TIME = 1_600_000_000;

/** Names, types, lengths and contents of all sorts. */
function makeTree(root: string): void {
  mkdirSync(join(root, 'many'), { recursive: true });
  for (let i = 0; i < 100; i++) writeFileSync(join(root, 'many', `file-${i}`), 'line\n'.repeat(i * 37));
  let deep = root;
  for (let depth = 0; depth < 12; depth++) {
    deep = join(deep, `level ${depth}`);
    mkdirSync(deep);
  }
  writeFileSync(join(deep, 'grüße'), 'UTF-8', { mode: 0o4755 });
  writeFileSync(join(root, 'large'), Buffer.alloc(3_000_001, 'large '));
  writeFileSync(join(root, 'sparse'), 'start');
  truncateSync(join(root, 'sparse'), 5_000_000);
  writeFileSync(join(root, 'sparse'), 'end', { flag: 'a' });
  linkSync(join(root, 'large'), join(root, 'hard'));
  symlinkSync('many/file-7', join(root, 'short'));
  symlinkSync('x/'.repeat(90), join(root, 'long'));
  execFileSync('mkfifo', [join(root, 'fifo')]);
}

/** What the guest prints of a tree: its names and what they are, sorted, and the sums of all contents. */
const LIST = [
  'find . -path ./lost+found -prune -o -print | sort | while read -r n; do stat -c \'%n|%f|%u:%g|%Y\' "$n"; done',
  'find . -type f | sort | while read -r n; do stat -c \'%s|%h\' "$n"; md5sum "$n"; done',
  'find . -type l | sort | while read -r n; do readlink "$n"; done',
];

/** The same by this program. */
function list(root: string): readonly string[] {
  const names = ['.', ...readdirSync(root, { recursive: true, encoding: 'utf8' }).map((name) => `./${name}`)];
  names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const all = names.map((name) => ({ name, path: join(root, name), stat: lstatSync(join(root, name)) }));
  return [
    ...all.map(
      ({ name, stat }) => `${name}|${stat.mode.toString(16)}|0:0|${Math.floor(stat.mtimeMs / 1000)}`,
    ),
    ...all
      .filter(({ stat }) => stat.isFile())
      .flatMap(({ name, path, stat }) => [
        `${stat.size}|${stat.nlink}`,
        `${createHash('md5').update(readFileSync(path)).digest('hex')}  ${name}`,
      ]),
    ...all.filter(({ stat }) => stat.isSymbolicLink()).map(({ path }) => readlinkSync(path)),
  ];
}

test.each(['ext4', 'ext2'])(
  'a guest mounts %s, finds what was put in, and writes to it',
  (type) => {
    const folder = mkdtempSync(join(tmpdir(), 'tsvmm-filesystem-'));
    try {
      const [root, image] = [join(folder, 'root'), join(folder, 'image')];
      makeTree(root);
      for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
        const path = join(root, name);
        if (!lstatSync(path).isSymbolicLink()) utimesSync(path, TIME, TIME);
      }
      utimesSync(root, TIME, TIME);
      expect(tsvmm(['disk', 'from-dir', '-t', type, '--owner', '0:0', root, image])).toMatchObject({
        status: 0,
        stderr: '',
      });
      const lines = [
        `mkdir /tree; mount -t ${type} /dev/vda /tree; cd /tree`,
        // The terminal shows each line, so what marks the ends must not stand in it; between lines it shows prompts.
        ["echo B''EGIN", ...LIST, "echo E''ND"].join('; '),
        'echo written > many/new; rm many/file-7; mkdir -p a/b/c; mv large a/b/c',
        'cd /; umount /tree; poweroff -f',
      ];
      const input = lines.map((line) => `${line}\n`).join('');
      const { status, stdout } = tsvmm(['run', '-b', image], { input, timeout: 120_000 });
      expect(status).toBe(0);
      const output = stdout.replaceAll('\r', '');
      const listing = /^BEGIN\n(.*?)\nEND$/ms.exec(output)?.[1] ?? output;
      expect(listing.split('\n')).toEqual(list(root));
      const run = (program: string, ...args: readonly string[]) =>
        execFileSync(program, args, {
          encoding: 'utf8',
          env: environment,
          stdio: ['ignore', 'pipe', 'pipe'],
        });
      run('e2fsck', '-fn', image);
      expect(run('debugfs', '-R', 'cat many/new', image)).toBe('written\n');
      expect(run('debugfs', '-R', 'stat a/b/c/large', image)).toMatch(/Size: 3000001\n.*Links: 2 /s);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  300_000,
);
