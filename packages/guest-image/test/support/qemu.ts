import { spawn } from 'node:child_process';

export interface QemuRun {
  /** QEMU's arguments. */
  readonly parameters: readonly string[];
  /** Typed, all at once, when the shell asks for the first command. */
  readonly input: string;
}

/** A guest that has not ended by then hangs; QEMU is ended with it, milliseconds. */
const PATIENCE = 50_000;

/** Runs QEMU with its serial port on pipes until the guest ends it; gives all that the guest printed. */
export async function runQemu(run: QemuRun): Promise<string> {
  const display = ['-display', 'none', '-monitor', 'none', '-serial', 'stdio'];
  const qemu = spawn('qemu-system-riscv64', [...display, ...run.parameters], {
    stdio: ['pipe', 'pipe', 'inherit'],
    timeout: PATIENCE,
  });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let output = '';
  let hasTyped = false;
  qemu.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    if (!hasTyped && output.includes('tsvmm:~#')) {
      hasTyped = true;
      qemu.stdin.write(run.input);
    }
  });
  qemu.once('error', reject);
  qemu.once('close', (status) => {
    if (status === 0) resolve(output.replaceAll('\r', ''));
    else reject(new Error(`QEMU ended with ${status}:\n${output}`));
  });
  return promise;
}
