import { execFileSync, spawnSync } from 'node:child_process';
import {
  linkSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BIN, type CliResult, tsvmm } from './support/cli.ts';

const TERMINAL = fileURLToPath(new URL('support/terminal.py', import.meta.url));
const MIB = 2 ** 20;

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tsvmm-disk-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Runs in the directory with the images. */
function disk(...args: string[]): CliResult {
  const { status, stdout, stderr } = tsvmm(args, { cwd: directory });
  return { status, stdout, stderr };
}

/** What a command that has to succeed prints. */
function done(...args: string[]): string {
  const { status, stdout, stderr } = disk(...args);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return stdout;
}

function qemuImg(...args: string[]): string {
  return execFileSync('qemu-img', args, {
    cwd: directory,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** What qemu-img says, whatever its exit status, which says it too. */
function qemuCheck(file: string): { readonly status: number | null; readonly result: object } {
  const args = ['check', '--output=json', file];
  const { status, stdout } = spawnSync('qemu-img', args, { cwd: directory, encoding: 'utf8' });
  return { status, result: JSON.parse(stdout) as object };
}

/** A raw image with data, zeroes and holes. */
function writeRaw(name: string): Buffer {
  const bytes = Buffer.alloc(4 * MIB);
  for (let i = 0; i < 300_000; i++) bytes[100_000 + i] = (i * i) >> 5;
  bytes.fill(7, 3 * MIB, 3 * MIB + 70_000);
  writeFileSync(join(directory, name), bytes);
  return bytes;
}

describe('disk info', () => {
  test.each([
    ['compat=0.10,cluster_size=4k'],
    ['compression_type=zstd,refcount_bits=64,lazy_refcounts=on'],
    ['extended_l2=on,cluster_size=128k'],
  ])('says what qemu-img says: %s', (options) => {
    qemuImg('create', '-q', '-f', 'qcow2', '-o', options, 'a', '100M');
    qemuImg('snapshot', '-c', 'first', 'a');
    const theirs = JSON.parse(qemuImg('info', '--output=json', 'a'));
    // The icount of a machine that was not running.
    for (const snapshot of theirs.snapshots) delete snapshot.icount;
    expect(JSON.parse(done('disk', 'info', '--json', 'a'))).toMatchObject(theirs);
    expect(done('disk', 'info', 'a')).toContain('size:      100 MiB (104857600 bytes)\n');
  });

  test('follows the chain of backing images', () => {
    writeRaw('base');
    qemuImg('create', '-q', '-f', 'qcow2', '-b', 'base', '-F', 'raw', 'middle');
    qemuImg('create', '-q', '-f', 'qcow2', '-b', 'middle', '-F', 'qcow2', 'top', '8M');
    const theirs = JSON.parse(qemuImg('info', '--backing-chain', '--output=json', 'top'));
    expect(JSON.parse(done('disk', 'info', '--backing-chain', '--json', 'top'))).toMatchObject(theirs);
    rmSync(join(directory, 'base'));
    expect(done('disk', 'info', 'middle')).toContain('backing:   base (raw)\n');
    const { status, stderr } = disk('disk', 'info', '--backing-chain', 'top');
    expect(stderr).toBe(
      'tsvmm: base cannot be opened for reading: it does not exist, or the folder it is in does not (ENOENT); check the path\n',
    );
    expect(status).toBe(1);
  });
});

describe('disk check', () => {
  /** A qcow2 image of 261 clusters, all in use, with one cluster's refcount changed. */
  function damaged(cluster: number, refcount: number): void {
    qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=4k', 'a', '4M');
    execFileSync('qemu-io', ['-c', 'write -P 1 0 1M', 'a'], { cwd: directory });
    const bytes = readFileSync(join(directory, 'a'));
    const block = Number(bytes.readBigUInt64BE(Number(bytes.readBigUInt64BE(48))));
    bytes.writeUInt16BE(refcount, block + 2 * cluster);
    // Some room behind them.
    writeFileSync(join(directory, 'a'), Buffer.concat([bytes, Buffer.alloc(40 * 4096)]));
  }

  test.each([
    ['sound', 50, 1, 0],
    ['corrupt', 50, 0, 2],
    ['leaking', 300, 1, 3],
  ])('finds what qemu-img finds in a %s image, with its exit status', (_, cluster, refcount, status) => {
    damaged(cluster, refcount);
    const theirs = qemuCheck('a');
    const ours = disk('disk', 'check', '--json', 'a');
    expect({ ...ours, stdout: JSON.parse(ours.stdout) }).toEqual({
      status: theirs.status,
      stdout: theirs.result,
      stderr: '',
    });
    expect(ours.status).toBe(status);
  });

  test('repairs what qemu-img then finds sound', () => {
    damaged(300, 1);
    expect(done('disk', 'check', '-r', 'leaks', 'a')).toContain('The image has no errors.\n');
    expect(qemuCheck('a').status).toBe(0);
    damaged(50, 0);
    expect(disk('disk', 'check', '-r', 'leaks', 'a').status).toBe(2);
    expect(done('disk', 'check', '-r', 'all', 'a')).toContain('Repaired: ');
    expect(qemuCheck('a').status).toBe(0);
  });

  test('says of an image whose writer was killed that its counts will be made right', () => {
    damaged(300, 1);
    const path = join(directory, 'a');
    const bytes = readFileSync(path);
    // The dirty bit of the incompatible features.
    bytes.writeUInt8(bytes.readUInt8(79) | 1, 79);
    writeFileSync(path, bytes);
    const { status, stdout } = disk('disk', 'check', 'a');
    expect(status).toBe(3);
    expect(stdout).toContain('Whoever writes to it next makes its counts right');
    done('disk', 'check', '-r', 'leaks', 'a');
    expect(JSON.parse(qemuImg('info', '--output=json', 'a'))).toMatchObject({ 'dirty-flag': false });
    expect(qemuCheck('a').status).toBe(0);
  });

  test('is not for raw images', () => {
    writeRaw('raw');
    expect(disk('disk', 'check', 'raw')).toEqual({
      status: 63,
      stdout: '',
      stderr: 'tsvmm: raw: there is nothing to check in raw images, only in qcow2 ones\n',
    });
  });
});

describe('disk convert', () => {
  test.each([
    [['-O', 'qcow2']],
    [['-f', 'raw', '-O', 'qcow2', '-c', '-o', 'compression_type=zstd,cluster_size=32K']],
    [['-O', 'qcow2', '-o', 'compat=0.10']],
    [['-O', 'raw']],
  ])('copies what qemu-img finds identical: %j', (options) => {
    const bytes = writeRaw('raw');
    expect(done('disk', 'convert', ...options, 'raw', 'copy')).toBe('');
    qemuImg('compare', 'raw', 'copy');
    done('disk', 'convert', 'copy', 'back');
    expect(readFileSync(join(directory, 'back')).equals(bytes)).toBe(true);
    if (options.includes('qcow2')) expect(qemuCheck('copy').status).toBe(0);
  });

  test('tells what is wrong with the new name', () => {
    writeRaw('raw');
    linkSync(join(directory, 'raw'), join(directory, 'other'));
    for (const name of ['raw', 'other']) {
      expect(disk('disk', 'convert', 'raw', name).stderr).toBe(
        `tsvmm: ${name} is the image that is to be converted: give the new one another name.\n`,
      );
    }
    expect(disk('disk', 'convert', 'raw', 'missing/new').stderr).toMatch(
      /^tsvmm: missing\/new cannot be created: /,
    );
  });

  test('that fails leaves what was there', () => {
    writeRaw('raw');
    writeFileSync(join(directory, 'copy'), 'precious');
    truncateSync(join(directory, 'raw'), 3 * MIB);
    const { status, stderr } = disk('disk', 'convert', '-O', 'qcow2', '-o', 'cluster_size=3K', 'raw', 'copy');
    expect(stderr).toMatch(/^tsvmm: A cluster size is a power of two/);
    expect(status).toBe(1);
    expect(readFileSync(join(directory, 'copy'), 'utf8')).toBe('precious');
    expect(readdirSync(directory).toSorted()).toEqual(['copy', 'raw']);
  });

  test('shows a bar on a terminal, and Ctrl-C leaves what was there', () => {
    // Much to compress, so that there is a middle.
    execFileSync('openssl', ['rand', '-out', 'raw', String(192 * MIB)], { cwd: directory });
    writeFileSync(join(directory, 'copy'), 'precious');
    const steps = JSON.stringify([
      ['expect', 'of 192 MiB'],
      ['send', '\x03'],
    ]);
    const args = ['disk', 'convert', '-O', 'qcow2', '-c', 'raw', 'copy'];
    const output = execFileSync('python3', [TERMINAL, steps, process.execPath, BIN, ...args], {
      cwd: directory,
      encoding: 'utf8',
      env: { ...process.env, TERM: 'xterm' },
    });
    const result = JSON.parse(output) as { status: number; output: string };
    expect(result.output).toContain('[..............................] ');
    expect(result.status).toBe(130);
    expect(readFileSync(join(directory, 'copy'), 'utf8')).toBe('precious');
    expect(readdirSync(directory).toSorted()).toEqual(['copy', 'raw']);
  });
});

describe('disk resize', () => {
  test.each(['raw', 'qcow2'])('changes the size that qemu-img reads of a %s image', (format) => {
    qemuImg('create', '-q', '-f', format, 'a', '100M');
    const sizeOf = () => JSON.parse(qemuImg('info', '-f', format, '--output=json', 'a'))['virtual-size'];
    done('disk', 'resize', '-f', format, 'a', '+20M');
    expect(sizeOf()).toBe(120 * MIB);
    const refused = disk('disk', 'resize', '-f', format, 'a', '-50M');
    expect(refused.stderr).toContain('add --shrink\n');
    expect(refused.status).toBe(1);
    expect(sizeOf()).toBe(120 * MIB);
    done('disk', 'resize', '-f', format, '--shrink', 'a', '-50M');
    expect(sizeOf()).toBe(70 * MIB);
    done('disk', 'resize', '-f', format, 'a', '1G');
    expect(sizeOf()).toBe(1024 * MIB);
    expect(disk('disk', 'resize', '-f', format, '--shrink', 'a', '-2G').status).toBe(35);
  });

  test('of a machine that runs is not built, and says so', () => {
    const { status, stderr } = disk('disk', 'resize', '0', '1G', 'socket');
    expect(stderr).toMatch(/^tsvmm: the disk of a machine that runs cannot be resized yet/);
    expect(status).toBe(35);
  });
});

test('disk map says what qemu-img says', () => {
  writeRaw('raw');
  qemuImg('convert', '-O', 'qcow2', 'raw', 'base');
  qemuImg('create', '-q', '-f', 'qcow2', '-b', 'base', '-F', 'qcow2', 'top', '8M');
  execFileSync('qemu-io', ['-c', 'write -P 1 1M 192k', '-c', 'write -z 4M 1M', 'top'], { cwd: directory });
  for (const file of ['raw', 'base', 'top']) {
    const theirs = JSON.parse(qemuImg('map', '--output=json', file));
    const ours = JSON.parse(done('disk', 'map', '--json', file));
    // Newer versions of qemu-img say whether it is compressed.
    expect(ours).toEqual(theirs.map((entry: object) => ({ compressed: false, ...entry })));
  }
  const lines = done('disk', 'map', 'top').split('\n');
  expect(lines).toContainEqual(expect.stringMatching(/^0x100000 +0x30000 +0x[0-9a-f]+ +top$/));
  expect(lines).toContainEqual(expect.stringMatching(/^0x300000 +0x20000 +0x[0-9a-f]+ +base$/));
});

describe('making images', () => {
  test('create_qcow2, of a size or over a backing image that is seen from the working directory', () => {
    done('create_qcow2', 'a', '1073741824');
    expect(JSON.parse(qemuImg('info', '--output=json', 'a'))).toMatchObject({ 'virtual-size': 1024 * MIB });
    writeRaw('raw');
    execFileSync('mkdir', ['sub'], { cwd: directory });
    done('create_qcow2', '--backing-file', 'raw', 'sub/b');
    expect(qemuImg('compare', 'raw', 'sub/b')).toContain('identical');
    expect(disk('create_qcow2', 'c').stderr).toContain('either a SIZE or a --backing-file');
    expect(disk('create_qcow2', 'c', '1G', '--backing-file', 'raw').status).toBe(35);
  });

  test('disk create, with the options of qemu-img', () => {
    const options = 'cluster_size=1M,compat=v3,compression_type=zstd,lazy_refcounts=on,refcount_bits=8';
    done('disk', 'create', '-f', 'qcow2', '-o', options, 'a', '3G');
    expect(qemuCheck('a').status).toBe(0);
    expect(JSON.parse(qemuImg('info', '--output=json', 'a'))).toMatchObject({
      'virtual-size': 3072 * MIB,
      'cluster-size': MIB,
      'format-specific': {
        data: { compat: '1.1', 'compression-type': 'zstd', 'lazy-refcounts': true, 'refcount-bits': 8 },
      },
    });
    expect(disk('disk', 'create', '-o', 'cluster_size=1M', 'b', '1G').stderr).toBe(
      'tsvmm: -o is for qcow2 images, not for raw ones\n',
    );
    expect(disk('disk', 'create', '-f', 'qcow2', '-o', 'clustersize=1M', 'b', '1G').stderr).toContain(
      'did you mean `cluster_size`?',
    );
  });

  test('that cannot be as they are asked for leaves what was there', () => {
    writeFileSync(join(directory, 'a'), 'keep');
    expect(disk('disk', 'create', '-f', 'qcow2', '-o', 'cluster_size=3000', 'a', '1G')).toEqual({
      status: 1,
      stdout: '',
      stderr: 'tsvmm: A cluster size is a power of two from 512 to 2097152, not 3000.\n',
    });
    expect(readFileSync(join(directory, 'a'), 'utf8')).toBe('keep');
    expect(disk('disk', 'create', '-f', 'qcow2', '-o', 'refcount_bits=3', 'b', '1G').status).toBe(1);
    expect(readdirSync(directory)).toEqual(['a']);
  });

  test('create_composite, whose partition table sfdisk reads', () => {
    writeRaw('raw');
    done('create_qcow2', 'b', '8M');
    const guid = '11111111-2222-3333-4444-555555555555';
    done('create_composite', 'disk', 'one:raw', `two:b:writable:${guid}`);
    done('disk', 'convert', 'disk', 'flat');
    const { partitiontable } = JSON.parse(
      execFileSync('sfdisk', ['--json', 'flat'], { cwd: directory, encoding: 'utf8' }),
    );
    expect(partitiontable.label).toBe('gpt');
    expect(partitiontable.partitions).toMatchObject([
      { name: 'one', size: (4 * MIB) / 512 },
      { name: 'two', size: (8 * MIB) / 512, uuid: guid },
    ]);
    expect(disk('create_composite', 'disk', 'one:raw:writeable').stderr).toContain('neither writable nor a');
  });
});
