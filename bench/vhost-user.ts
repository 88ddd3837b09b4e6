import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { UnixSocket } from '../packages/base/src/index.ts';
import { featureSet, VirtioFeature } from '../packages/devices/src/index.ts';
import { VhostUserFrontend } from '../packages/vhost-user/src/index.ts';
// As the packages see each other.
import { GuestMemory } from '../packages/vm-memory/dist/index.js';
import type { BenchmarkRow } from './run.ts';
import { BlockDriver, QUEUE_SIZE } from './support/block-driver.ts';
import { hostTime } from './support/processor-time.ts';
import { median } from './support/timing.ts';

const TSVMM = fileURLToPath(new URL('../packages/cli/bin/tsvmm.js', import.meta.url));
const MIB = 2 ** 20;
const DISK_SIZE = 64 * MIB;
const MEMORY = 16 * MIB;
const BLOCK = 4096;
const DEPTHS = [1, 32];
const SECONDS = 1;
const ROUNDS = 9;
const WARM_UP_ROUNDS = 2;
const FEATURES = featureSet([VirtioFeature.version1, VirtioFeature.indirectDesc, VirtioFeature.eventIdx]);

export const description =
  "4 KiB random reads of a disk's process by a driver of our own, without a guest, against qemu-storage-daemon";

interface Measurement {
  readonly rate: number;
  readonly median: number;
  readonly percentile99: number;
  readonly processorTime: number;
}

/** Both serve the same image, from the page cache; the driver asks them in turn. */
export async function run(report: (row: BenchmarkRow) => void): Promise<void> {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'tsvmm-vhost-user-'));
  const image = join(directory.path, 'disk');
  writeFileSync(image, Buffer.alloc(DISK_SIZE, 'tsvmm '));
  await using servers = new AsyncDisposableStack();
  const serve = async (name: string, program: string, parameters: (socket: string) => readonly string[]) => {
    const socket = join(directory.path, name);
    return servers.use(await Server.start(program, parameters(socket), socket));
  };
  const ours = await serve('ours', process.execPath, (socket) => [
    ...[TSVMM, 'device', 'block', '--no-syslog', '--log-level', 'warn'],
    ...['--socket-path', socket, '--file', `${image}:read-only`],
  ]);
  const peer = await serve('peer', 'qemu-storage-daemon', (socket) => [
    ...['--blockdev', `driver=file,node-name=file,filename=${image},read-only=on,locking=off,aio=io_uring`],
    ...['--object', 'iothread,id=io'],
    '--export',
    `type=vhost-user-blk,id=export,node-name=file,addr.type=unix,addr.path=${socket},iothread=io`,
  ]);
  for (const depth of DEPTHS) {
    const measured = new Map<Server, Measurement[]>([
      [peer, []],
      [ours, []],
    ]);
    for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round++) {
      for (const [server, results] of measured) {
        const result = await server.measure(depth);
        if (round >= 0) results.push(result);
      }
    }
    const row = (what: string, unit: string, key: keyof Measurement) => {
      const [our, their] = [ours, peer].map((server) =>
        median((measured.get(server) ?? []).map((measurement) => measurement[key])),
      ) as [number, number];
      const ratio = key === 'rate' ? our / their : their / our;
      report({ what: `depth ${depth}: ${what}`, ours: our, peer: their, unit, ratio });
    };
    row('reads', '1/s', 'rate');
    row('latency, half', 'us', 'median');
    row('latency, 99 %', 'us', 'percentile99');
    row('CPU a request', 'us', 'processorTime');
  }
}

/** A process that serves a disk, with its front end here. */
class Server implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #memory: GuestMemory;
  readonly #frontend: VhostUserFrontend;

  private constructor(process: ChildProcess, memory: GuestMemory, frontend: VhostUserFrontend) {
    this.#process = process;
    this.#memory = memory;
    this.#frontend = frontend;
  }

  static async start(program: string, parameters: readonly string[], socket: string): Promise<Server> {
    const child = spawn(program, parameters, { stdio: ['ignore', 'inherit', 'inherit'] });
    using connection = await connect(socket, child);
    const memory = GuestMemory.create({ regions: [{ base: 0, size: MEMORY }], backing: 'file' });
    const { number } = connection.descriptor;
    const frontend = await VhostUserFrontend.open(
      { kind: 'vhost-user', socket: number, path: undefined, configLength: 0 },
      {
        name: program,
        features: FEATURES,
        queueSizes: [QUEUE_SIZE],
        config: new Uint8Array(0),
        events: { configChanged() {}, log() {}, failed },
      },
      memory,
    );
    return new Server(child, memory, frontend);
  }

  /** Has it serve a driver for a while. */
  async measure(depth: number): Promise<Measurement> {
    using driver = new BlockDriver(this.#memory, depth, BLOCK);
    await this.#frontend.activate(FEATURES, [driver.queue]);
    const pid = this.#process.pid ?? 0;
    const before = hostTime(pid);
    const { requests, time, latencies } = driver.read(DISK_SIZE, SECONDS);
    const processorTime = (1e6 * (hostTime(pid) - before)) / requests;
    await this.#frontend.reset();
    const quantile = (part: number) => latencies[Math.floor(part * (latencies.length - 1))] ?? Number.NaN;
    return { rate: requests / time, median: quantile(0.5), percentile99: quantile(0.99), processorTime };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    await this.#frontend[Symbol.asyncDispose]();
    this.#process.kill('SIGTERM');
    if (this.#process.exitCode === null) await ended;
    this.#memory[Symbol.dispose]();
  }
}

/** Connects as soon as somebody listens. */
async function connect(path: string, server: ChildProcess): Promise<UnixSocket> {
  for (;;) {
    try {
      return UnixSocket.connect(path, 'stream');
    } catch (error) {
      const { code = '' } = error as { readonly code?: string };
      const isEarly = code === 'ENOENT' || code === 'ECONNREFUSED';
      if (!isEarly || server.exitCode !== null) throw error;
    }
    await sleep(10);
  }
}

/** What a server cannot go on after. */
function failed(error: unknown): never {
  throw error;
}
