import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { FileDescriptor, pipe, Readiness, UnixSocket, Watcher } from '@tsvmm/base';
import { JailError } from './errors.ts';
import { breachOf } from './evidence.ts';
import { type BlockedCall, describeExit, type JailExit, signalName } from './exit.ts';
import { BEGIN, LOADED, type Packet, packetText, receivePacket, SEALED } from './handshake.ts';
import { native } from './native.ts';
import { OutputTail } from './output-tail.ts';
import { compilePolicy } from './seccomp/compile.ts';
import type { Policy } from './seccomp/policy.ts';
import { Supervisor } from './seccomp/supervisor.ts';
import { hostArchitecture } from './seccomp/system-calls.ts';
import { type ResourceLimits, spawnProcess } from './spawn.ts';

const DEFAULT_LIMITS: ResourceLimits = { openFiles: 4096, coreBytes: 0 };

const WITHOUT_IO_URING: Policy = {
  rules: new Map([
    ['io_uring_setup', { alternatives: [], action: { kind: 'return', errno: constants.errno.ENOSYS } }],
  ]),
  defaultAction: { kind: 'allow' },
};

/** How a process is confined. */
export interface Jail {
  readonly policy: Policy;
  /** The directory that becomes the process's root; an empty, read-only one when left out. */
  readonly root?: string;
  /** Called for each system call that the policy does not allow, which is then made; without it the process is killed. */
  readonly onBlockedCall?: (call: BlockedCall) => void;
}

export interface JailedProcessOptions {
  /** What the process is, for messages: `block`, `console`. */
  readonly name: string;
  /** A file whose module calls `runJailed` of `@tsvmm/jail/process`. */
  readonly program: URL;
  /** Left out, the program runs in a plain child process. */
  readonly jail?: Jail;
  /** A packet that is on the link from the start, for `prepare`; its descriptors stay the caller's. */
  readonly opening?: { readonly bytes: Uint8Array; readonly descriptors?: readonly FileDescriptor[] };
  /** Options for the process's Node, such as `--max-old-space-size=64`. */
  readonly nodeOptions?: readonly string[];
  /** Besides at most 4,096 open files and no core dumps. */
  readonly limits?: ResourceLimits;
}

/**
 * A process of Node that runs one program. It loads all its code, then loses the file system and all system calls that its
 * policy does not name; only then, and after this side has looked whether that is so, its `run` is called.
 *
 * It ends with the thread that started it. Disposing kills it and waits for its end.
 */
export class JailedProcess implements AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  /** A seqpacket socket to the program. */
  readonly link: UnixSocket;
  /** How it ended; never rejects. */
  readonly exit: Promise<JailExit>;
  readonly #pidfd: FileDescriptor;
  readonly #output: OutputTail;
  #supervisor: Supervisor | undefined;
  #blocked: BlockedCall | undefined;

  private constructor(
    name: string,
    pid: number,
    pidfd: FileDescriptor,
    link: UnixSocket,
    output: OutputTail,
  ) {
    this.name = name;
    this.pid = pid;
    this.link = link;
    this.#pidfd = pidfd;
    this.#output = output;
    const { promise, resolve } = Promise.withResolvers<JailExit>();
    this.exit = promise;
    const watcher = new Watcher(pidfd.number, Readiness.readable, () => {
      watcher[Symbol.dispose]();
      resolve(this.#collect());
    });
  }

  /**
   * @throws JailError NO_NAMESPACES with what to change on this host, SETUP_FAILED, NOT_SEALED, UNSUPPORTED_ARCHITECTURE,
   * BAD_POLICY for a policy that does not become a filter
   */
  static async start(options: JailedProcessOptions): Promise<JailedProcess> {
    const { jail } = options;
    const filter = jail && compilePolicy(jail.policy, { architecture: hostArchitecture(), notify: true });
    const [control, childControl] = UnixSocket.pair('seqpacket');
    using _control = control;
    const jailed = JailedProcess.#spawn(options, childControl);
    try {
      const { opening } = options;
      if (opening !== undefined) jailed.link.sendMessage(opening.bytes, opening.descriptors);
      await jailed.#expect(control, LOADED);
      if (jail !== undefined && filter !== undefined) await jailed.#seal(control, jail, filter);
      control.sendMessage(Buffer.from(BEGIN));
    } catch (error) {
      await jailed[Symbol.asyncDispose]();
      throw error;
    }
    return jailed;
  }

  static #spawn(options: JailedProcessOptions, control: UnixSocket): JailedProcess {
    using owned = new DisposableStack();
    owned.use(control);
    const [link, childLink] = UnixSocket.pair('seqpacket');
    owned.use(childLink);
    const { reader, writer } = pipe();
    owned.use(writer);
    const nothing = owned.use(FileDescriptor.open('/dev/null', 'read'));
    using kept = new DisposableStack();
    kept.use(link);
    kept.use(reader);
    const { pid, pidfd } = spawnProcess({
      program: process.execPath,
      arguments: [process.execPath, ...(options.nodeOptions ?? []), fileURLToPath(options.program)],
      environment: environment(),
      descriptors: [nothing, writer, writer, control.descriptor, childLink.descriptor],
      limits: { ...DEFAULT_LIMITS, ...options.limits },
      namespaces: options.jail !== undefined,
      ...(options.jail && withoutIoUring(options.jail.policy)),
    });
    kept.move();
    return new JailedProcess(options.name, pid, pidfd, link, new OutputTail(reader));
  }

  /** Whether it is still there to be killed. */
  kill(): boolean {
    return this.#pidfd.isOpen && native.signalProcess(this.#pidfd.number, constants.signals.SIGKILL);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.exit;
    this.link[Symbol.dispose]();
  }

  async #seal(control: UnixSocket, jail: Jail, filter: Uint8Array): Promise<void> {
    native.enclose(this.#pidfd.number, jail.root ?? '');
    control.sendMessage(filter);
    const { descriptors } = await this.#expect(control, SEALED);
    const [listener] = descriptors;
    if (listener === undefined) {
      throw new JailError('NOT_SEALED', `the process of ${this.name} did not send its filter's listener`);
    }
    const { onBlockedCall } = jail;
    this.#supervisor = new Supervisor(listener, hostArchitecture(), (call) => {
      if (onBlockedCall !== undefined) {
        onBlockedCall(call);
        return true;
      }
      this.#blocked ??= call;
      this.kill();
      return false;
    });
    const breach = breachOf(this.pid);
    if (breach !== undefined) {
      throw new JailError('NOT_SEALED', `the process of ${this.name} is not confined: ${breach}`);
    }
  }

  async #expect(control: UnixSocket, word: string): Promise<Packet> {
    const packet = await receivePacket(control);
    if (packet !== undefined && packetText(packet) === word) return packet;
    this.kill();
    throw new JailError(
      'SETUP_FAILED',
      `the process of ${this.name} was not ${word}: ${describeExit(this.name, await this.exit)}`,
    );
  }

  #collect(): JailExit {
    const result = new Int32Array(2);
    native.waitProcess(this.#pidfd.number, result);
    this.#pidfd[Symbol.dispose]();
    this.#supervisor?.[Symbol.dispose]();
    const output = this.#output.text;
    this.#output[Symbol.dispose]();
    const [status = -1, signal = 0] = result;
    if (signal === 0) return { kind: 'exited', status, output };
    const blocked = this.#blocked;
    return { kind: 'killed', signal: signalName(signal), ...(blocked && { blocked }), output };
  }
}

/**
 * What is done through an io_uring passes filters by. libuv makes one for each event loop, before the policy applies; it does
 * without where the kernel has none, which is what processes see whose policy does not speak of io_uring.
 */
function withoutIoUring(policy: Policy): { readonly filter?: Uint8Array } {
  if (policy.rules.has('io_uring_enter')) return {};
  const filter = compilePolicy(WITHOUT_IO_URING, { architecture: hostArchitecture(), notify: false });
  return { filter };
}

/** Of this process's environment: where node-gyp-build finds add-ons, and Node what V8 has compiled. */
const PASSED_ON = ['PREBUILDS_ONLY', 'NODE_COMPILE_CACHE'];

function environment(): readonly string[] {
  const passedOn = PASSED_ON.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [`${name}=${value}`];
  });
  // What is done through an io_uring passes filters by: libuv is to have none.
  return ['UV_USE_IO_URING=0', ...passedOn];
}
