import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtempDisposable, readFile, rm, watch, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Guest } from '@tsvmm/guest-image';
import { expect } from 'vitest';
import { GuestShell, PROMPT } from '../../../../tools/guest-shell.ts';
import { BIN } from './cli.ts';

const MIB = 2 ** 20;

/** A program that serves a disk at a socket, and that can be killed and started again. */
class DiskServer implements AsyncDisposable {
  readonly image: string;
  readonly socket: string;
  readonly #folder: string;
  readonly #command: readonly string[];
  #process: ChildProcess | undefined;

  constructor(folder: string, name: string, command: (image: string, socket: string) => readonly string[]) {
    this.#folder = folder;
    this.image = join(folder, `${name}.img`);
    this.socket = join(folder, `${name}.sock`);
    this.#command = command(this.image, this.socket);
  }

  /** Resolves when there is a socket. */
  async start(): Promise<void> {
    await rm(this.socket, { force: true });
    const [program = '', ...args] = this.#command;
    const created = (async () => {
      for await (const _change of watch(this.#folder)) if (existsSync(this.socket)) return;
    })();
    this.#process = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    await created;
  }

  async kill(): Promise<void> {
    if (!this.#process || this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/**
 * Boots a guest that reads and writes the disks of two other programs, QEMU's and ours, which are killed and started again
 * meanwhile.
 */
export async function killDiskServers(guest: Guest, hypervisor: string): Promise<void> {
  await using temporary = await mkdtempDisposable(join(tmpdir(), 'tsvmm-vhost-user-'));
  const folder = temporary.path;
  await using qemu = new DiskServer(folder, 'qemu', (image, socket) => [
    'qemu-storage-daemon',
    ...['--blockdev', `driver=file,node-name=disk,filename=${image}`],
    ...[
      '--export',
      `type=vhost-user-blk,id=export,node-name=disk,addr.type=unix,addr.path=${socket},writable=on,num-queues=2`,
    ],
  ]);
  await using ours = new DiskServer(folder, 'ours', (image, socket) => [
    ...[process.execPath, BIN, '--log-level', 'warn', 'device', 'block'],
    ...['--socket-path', socket, '--file', image],
  ]);
  const before = randomBytes(16 * MIB);
  for (const server of [qemu, ours]) {
    await writeFile(server.image, before);
    await server.start();
  }
  const disks = [qemu, ours].flatMap(({ socket }) => ['--vhost-user', `block,socket=${socket}`]);
  await using shell = new GuestShell(
    spawn(
      process.execPath,
      [BIN, 'run', '--hypervisor', hypervisor, '-p', 'quiet', ...disks, '-i', guest.initrd, guest.kernel],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    ),
  );
  await shell.until(PROMPT);
  const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');
  const sum = md5(before);
  expect(await shell.run('md5sum /dev/vda /dev/vdb')).toMatch(new RegExp(`${sum} .*${sum} `, 's'));
  await shell.run('dd if=/dev/urandom of=/tmp/data bs=1M count=8');
  for (const [server, disk] of [
    [ours, 'vdb'],
    [qemu, 'vda'],
  ] as const) {
    // Copies of the data, one after the other, that are announced while they are written.
    shell.type(
      `for copy in 0 1 0 1 0 1; do echo COP''Y; dd if=/tmp/data of=/dev/${disk} bs=64k seek=$((copy * 128)) conv=fsync 2>/dev/null || echo FAIL''ED; done; echo WRIT''TEN`,
    );
    for (let round = 0; round < 3; round++) {
      await shell.until('COPY');
      await server.kill();
      await server.start();
    }
    expect(await shell.until('WRITTEN')).not.toContain('FAILED');
  }
  const sums = await shell.run(
    'echo 3 > /proc/sys/vm/drop_caches; cat /tmp/data /tmp/data | md5sum; md5sum /dev/vda /dev/vdb; dmesg | grep -c "I/O error"',
  );
  const written = md5(await readFile(qemu.image));
  expect(written).not.toBe(sum);
  expect(md5(await readFile(ours.image))).toBe(written);
  expect(sums.match(new RegExp(written, 'g'))).toHaveLength(3);
  expect(sums).toMatch(/^0\r?$/m);
}
